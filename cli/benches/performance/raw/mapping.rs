//! Memory that is shared with KVM.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

/// Anonymous memory, or a vCPU's run page.
pub(super) struct Mapping {
    start: NonNull<libc::c_void>,
    size: usize,
}

impl Mapping {
    pub(super) fn new(file: Option<&File>, size: usize) -> io::Result<Self> {
        let (flags, fd) = match file {
            Some(file) => (libc::MAP_SHARED, file.as_raw_fd()),
            None => (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE, -1),
        };
        // SAFETY: a new mapping at an address that the kernel chooses; the result is checked.
        let start = unsafe {
            libc::mmap(ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0)
        };
        match NonNull::new(start) {
            Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(Self { start, size }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The address of the first byte in this process.
    pub(super) fn start(&self) -> *mut u8 {
        self.start.as_ptr().cast()
    }

    /// Copies bytes to an offset from the start.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        let address = address as usize;
        if address.checked_add(bytes.len()).is_none_or(|end| end > self.size) {
            return Err(io::Error::other("a segment outside the memory"));
        }
        // SAFETY: the range was just checked, and the guest doesn't run yet.
        unsafe {
            let target = self.start.as_ptr().cast::<u8>().add(address);
            ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len());
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this object's own mapping, which is no longer used: machines close their vCPUs
        // first.
        unsafe { libc::munmap(self.start.as_ptr(), self.size) };
    }
}

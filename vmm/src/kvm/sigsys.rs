//! Says which system call a filter has forbidden, and ends the program.
//!
//! A filter answers a forbidden call with SIGSYS (`SECCOMP_RET_TRAP`, seccomp(2)) on the thread
//! that made it, so that the handler can name both. It runs at an arbitrary place of the program,
//! so it allocates nothing and takes no lock (signal-safety(7)): it formats one line on its stack,
//! writes it with one call, and ends the process.

use std::fmt;
use std::io;

use syscalls::Sysno;
use vmm_sys_util::signal::register_signal_handler;

use crate::error::{Error, Result};

/// The exit status, that of a wrong input: what made the program do this was probably one.
const STATUS: i32 = 2;

/// The index of `si_syscall` in a `siginfo_t` that is read as an array of `int` (`siginfo_t` in
/// `include/uapi/asm-generic/siginfo.h`: three numbers, padding, an address, then this).
const SI_SYSCALL: usize = 6;

/// Installs the handler.
pub(super) fn install() -> Result<()> {
    register_signal_handler(libc::SIGSYS, on_sigsys).map_err(|errno| Error::System {
        what: "the handler of forbidden system calls can't be installed",
        source: io::Error::from_raw_os_error(errno.errno()),
    })
}

extern "C" fn on_sigsys(_: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a pointer to a whole siginfo_t, which is 128 bytes long.
    let number = unsafe { *info.cast::<i32>().add(SI_SYSCALL) };
    // SAFETY: a handler with SA_SIGINFO gets a ucontext_t, which holds the registers of the call.
    let registers = unsafe { (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
    let second = registers[libc::REG_RSI as usize] as u32;
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, with a zero at the end (prctl(2)).
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();

    let mut line = Line::default();
    // Text that doesn't fit is left out.
    let _ = describe(&mut line, number, second, std::str::from_utf8(name).unwrap_or("?"));
    // SAFETY: the pointer and the length are those of a live local.
    unsafe { libc::write(libc::STDERR_FILENO, line.bytes.as_ptr().cast(), line.length) };
    // SAFETY: _exit has no preconditions. It runs none of the program's code.
    unsafe { libc::_exit(STATUS) };
}

/// What is written, `second` being the call's second argument.
fn describe(line: &mut impl fmt::Write, number: i32, second: u32, thread: &str) -> fmt::Result {
    line.write_str("jitterbug: the system call `")?;
    match usize::try_from(number).ok().and_then(Sysno::new) {
        Some(Sysno::ioctl) => write!(line, "ioctl` with request {second:#x}")?,
        Some(call) => write!(line, "{}`", call.name())?,
        None => write!(line, "{number}`")?,
    }
    writeln!(
        line,
        " is forbidden in thread `{thread}`: the program ends. Please report this with the command; \
         --no-seccomp turns the filter off (docs/security.md)"
    )
}

/// A text of bounded length on the stack.
struct Line {
    bytes: [u8; 320],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 320], length: 0 }
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(number: i32) -> String {
        let mut line = Line::default();
        describe(&mut line, number, 0xae80, "vcpu12345678901").unwrap();
        String::from_utf8_lossy(&line.bytes[..line.length]).into_owned()
    }

    #[test]
    fn a_call_is_named_and_an_unknown_one_has_its_number() {
        let socket = described(libc::SYS_socket as i32);
        assert!(socket.contains("call `socket` is forbidden in thread `vcpu1234"), "{socket}");
        assert!(socket.ends_with("(docs/security.md)\n"), "{socket}");
        let ioctl = described(libc::SYS_ioctl as i32);
        assert!(ioctl.contains("`ioctl` with request 0xae80 is"), "{ioctl}");
        assert!(described(99_999).contains("call `99999` is"));
        assert!(described(-1).contains("call `-1` is"));
    }
}

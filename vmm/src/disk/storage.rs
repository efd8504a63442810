//! Where a disk's contents are.

use std::io;

use devices::virtio::Action;

/// The contents of a disk. The calls may take as long as the host likes, so no lock may be held
/// meanwhile. Ranges are within the disk.
pub(crate) trait Storage: Send {
    /// Fills `data` from the byte at `offset`.
    fn read(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()>;

    /// Writes `data` at the byte at `offset`. What was written survives the end of this process.
    fn write(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes what was written survive the end of the host.
    fn flush(&mut self) -> io::Result<()>;

    /// What has happened to the file meanwhile, if it is no longer the disk that was opened.
    fn damage(&self) -> Option<String> {
        None
    }
}

/// Does what a block device asks for.
pub(crate) fn perform(storage: &mut dyn Storage, action: &mut Action) -> io::Result<()> {
    match action {
        Action::Read { offset, data } => storage.read(*offset, data),
        Action::Write { offset, data, durable } => {
            storage.write(*offset, data)?;
            if *durable { storage.flush() } else { Ok(()) }
        }
        Action::Flush => storage.flush(),
    }
}

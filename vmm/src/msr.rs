//! Performs accesses to model-specific registers that exit, for either scheduler.
//!
//! Hooks see a read when its value is known, and a write before it takes effect. So a caller begins
//! the access, reports it, and ends it.

use crate::cpu::Debuggable;
use crate::error::Result;
use crate::exit::Exit;
use crate::fault::MsrFault;
use crate::hook::MsrAccess;

/// Begins the access that an exit reports: a read is performed. `None` for any other exit.
pub(crate) fn begin(cpu: &mut impl Debuggable, exit: &Exit) -> Result<Option<MsrAccess>> {
    Ok(match *exit {
        Exit::MsrRead { index } => {
            Some(MsrAccess { index, write: false, value: cpu.read_msr(index)? })
        }
        Exit::MsrWrite { index, value } => {
            Some(MsrAccess { index, write: true, value: Some(value) })
        }
        _ => None,
    })
}

/// Ends an access: a write is performed, unless a fault strikes the access.
pub(crate) fn end(
    cpu: &mut impl Debuggable,
    access: &MsrAccess,
    fault: Option<MsrFault>,
) -> Result<()> {
    match (fault, access.write) {
        (Some(MsrFault::Refused), _) => {
            cpu.answer_msr(None);
            return Ok(());
        }
        (Some(MsrFault::Reads(value)), false) => cpu.answer_msr(Some(value)),
        _ => {}
    }
    match access {
        MsrAccess { index, write: true, value: Some(value) } => cpu.write_msr(*index, *value),
        _ => Ok(()),
    }
}

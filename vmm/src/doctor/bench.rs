//! The test bench of the self-tests: it runs assembled code and checks the exits.
//!
//! ```text
//! let mut bench = test_guest.kernel(|a| { a.hlt()?; done(a) })?;
//! bench.expect(Entry::Resume, &Exit::Halt)?;
//! bench.expect_done()?;
//! ```

use std::rc::Rc;
use std::time::{Duration, Instant};

use iced_x86::code_asm::CodeAssembler;

use super::layout::{self, DONE, TRAP};
use super::outcome::{Outcome, Tested};
use super::test_guest::{Assembled, assemble};
use crate::cpu::Cpu;
use crate::disassemble;
use crate::error::Result;
use crate::exit::{Bytes, Entry, Exit};
use crate::kvm::kick::{Alarm, Bound};
use crate::kvm::{KvmCpu, Vm};
use crate::thread_time::thread_time;

/// How long one self-test guest may run before it counts as hung.
pub(super) const TEST_TIMEOUT: Duration = Duration::from_millis(250);
/// How often this time is granted again when other threads had the processor: a mechanism must not
/// be reported as missing because the host is busy. (A guest that KVM has put to sleep looks the
/// same.)
const MAX_TIMEOUT_EXTENSIONS: u32 = 6;

/// One machine, with code to run and a deadline.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) cpu: KvmCpu,
    pub(super) vm: Rc<Vm>,
    /// Whether the guest spins until the mechanism works: if it never exits, the mechanism doesn't
    /// work.
    pub(super) spins: bool,
    alarm: Alarm,
    /// Binds the vCPU to the thread, from the moment when the guest was given its time.
    bound: Option<Bound>,
    deadline: Instant,
    /// The thread's processor time when the guest was given its time.
    begun: Duration,
    /// How often the time can still be extended.
    patience: u32,
}

impl Bench {
    /// Creates a bench whose time starts now.
    pub(super) fn new(cpu: KvmCpu, vm: Rc<Vm>) -> Result<Self> {
        let deadline = Instant::now();
        let (begun, patience) = (Duration::ZERO, 0);
        let alarm = Alarm::new()?;
        let mut bench =
            Self { cpu, vm, spins: false, alarm, bound: None, deadline, begun, patience };
        bench.allow(TEST_TIMEOUT)?;
        Ok(bench)
    }

    /// Gives the guest this much time from now.
    pub(super) fn allow(&mut self, time: Duration) -> Result<()> {
        self.bound = Some(self.cpu.bind_to_thread());
        self.begun = thread_time();
        self.patience = MAX_TIMEOUT_EXTENSIONS;
        self.deadline = Instant::now() + time;
        self.alarm.set(time)
    }

    /// Whether time is left, or an extension is due.
    fn may_run(&mut self) -> Result<bool> {
        let now = Instant::now();
        if now < self.deadline {
            return Ok(true);
        }
        if self.patience == 0 || thread_time().saturating_sub(self.begun) > TEST_TIMEOUT / 2 {
            return Ok(false);
        }
        self.patience -= 1;
        self.deadline = now + TEST_TIMEOUT;
        self.alarm.set(TEST_TIMEOUT)?;
        Ok(true)
    }

    /// Installs a handler of the test in the IDT.
    pub(super) fn handle(
        &mut self,
        vector: u8,
        code: impl FnOnce(&mut CodeAssembler) -> Assembled,
    ) -> Result<()> {
        let (address, entry, gate) = layout::own_handler(vector);
        self.vm.memory().write(address, &assemble(64, address, code)?)?;
        self.vm.memory().write(entry, &gate)
    }

    /// Runs to the next exit. [`Exit::Kicked`] means that the time has expired.
    pub(super) fn run(&mut self, entry: Entry) -> Result<Exit> {
        let mut entry = entry;
        while self.may_run()? {
            match self.cpu.run(entry)? {
                // A kick by an earlier alarm.
                Exit::Kicked => entry = Entry::Resume,
                exit => return Ok(exit),
            }
        }
        Ok(Exit::Kicked)
    }

    /// Runs to the next exit, with no answer to give.
    pub(super) fn resume(&mut self) -> Result<Exit> {
        self.run(Entry::Resume)
    }

    /// Runs on, and reports any other exit than this as a failure of the mechanism.
    pub(super) fn expect(&mut self, entry: Entry, wanted: &Exit) -> Tested<()> {
        let exit = self.run(entry)?;
        if exit == *wanted { Ok(()) } else { Err(self.odd(&exit).into()) }
    }

    /// Runs to the end of the guest's code.
    pub(super) fn expect_done(&mut self) -> Tested<()> {
        self.expect_port(DONE).map(drop)
    }

    /// Runs to a write to this port, and returns the byte that is written.
    pub(super) fn expect_port(&mut self, wanted: u16) -> Tested<u8> {
        match self.resume()? {
            Exit::PortWrite { port, data, .. } if port == wanted => {
                Ok(data.first().copied().unwrap_or(0))
            }
            exit => Err(self.odd(&exit).into()),
        }
    }

    /// The time of one run, which must end with a write to this port.
    pub(super) fn time_to_port(&mut self, wanted: u16) -> Tested<Duration> {
        let start = Instant::now();
        self.expect_port(wanted)?;
        Ok(start.elapsed())
    }

    /// What an unexpected exit says about the mechanism.
    pub(super) fn odd(&self, exit: &Exit) -> Outcome {
        match exit {
            Exit::Kicked if self.spins => Outcome::silent("accepted, never fires"),
            Exit::Kicked => Outcome::hangs("never comes back"),
            Exit::PortWrite { port: DONE, .. } => {
                Outcome::silent("accepted, never fires: the guest runs past it")
            }
            Exit::PortWrite { port: TRAP, data, .. } => {
                let vector = data.first().copied().unwrap_or(0);
                Outcome::missing(format!("the guest gets {}", exception(vector)))
            }
            Exit::InternalError { instruction, .. } if !instruction.is_empty() => {
                let text = disassemble::one(instruction, 0, 64);
                Outcome::missing(format!("KVM internal error at `{text}`"))
            }
            Exit::InternalError { suberror, .. } => {
                Outcome::missing(format!("KVM internal error (suberror {suberror})"))
            }
            Exit::Shutdown => Outcome::missing("the guest triple-faults"),
            Exit::Debug { pc, dr6 } => {
                Outcome::missing(format!("a debug exit at {pc:#x}, DR6 {dr6:#x}"))
            }
            Exit::Int3 { pc } => Outcome::missing(format!("an int3 exit at {pc:#x}")),
            exit => Outcome::missing(format!("unexpected exit: {exit:x?}")),
        }
    }
}

/// The answer to a read, with these bytes.
pub(super) fn data(bytes: &[u8]) -> Entry {
    Entry::Data(Bytes::from_slice(bytes))
}

/// The name of an exception by its vector.
fn exception(vector: u8) -> String {
    let name = match vector {
        0 => "#DE",
        1 => "#DB",
        2 => "an NMI",
        3 => "#BP",
        6 => "#UD",
        7 => "#NM",
        8 => "#DF",
        12 => "#SS",
        13 => "#GP",
        14 => "#PF",
        17 => "#AC",
        19 => "#XM",
        _ => return format!("vector {vector:#x}"),
    };
    name.into()
}

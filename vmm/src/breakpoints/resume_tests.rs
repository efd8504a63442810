use super::*;
use crate::breakpoints::Halts;
use crate::cpu::Cpu;
use crate::guest_debug::{Breakpoint, Length, SLOTS, Trigger};
use crate::kvm::DebugCapabilities;
use crate::memory::{Memory, MemorySize};
use crate::registers::{Activity, DebugRegisters, SystemRegisters};

const START: u64 = 0x1000;
const LENGTH: u64 = 8;

/// A processor in a loop of [`LENGTH`] NOPs from [`START`].
#[derive(Default)]
struct Processor {
    registers: Registers,
    debug: GuestDebug,
    /// The instruction that KVM emulates: the flag has no effect on its breakpoint.
    emulated: Option<u64>,
    /// The instruction that touches the data of every watchpoint, and how often it did.
    toucher: Option<u64>,
    touched: u64,
    /// The number of instructions between kicks.
    kick: u64,
    /// The number of instructions to the next kick.
    left: u64,
    executed: u64,
    debug_changes: u32,
}

impl Cpu for Processor {
    fn run(&mut self, _: Entry) -> Result<Exit> {
        while self.left > 0 {
            let at = self.registers.rip;
            let passes = self.registers.rflags & RF != 0 && self.emulated != Some(at);
            let set = || self.debug.breakpoints.iter().flatten();
            let stops = set().any(|it| it.address == at && it.trigger == Trigger::Execute);
            let touches = self.toucher == Some(at);
            let watchpoints = set().filter(|it| it.trigger != Trigger::Execute).count();
            let hits = if touches { (1 << watchpoints) - 1 } else { 0 };
            if stops && !passes {
                let first = self.debug.breakpoints.iter().position(|slot| {
                    slot.is_some_and(|it| it.address == at && it.trigger == Trigger::Execute)
                });
                return Ok(Exit::Debug { pc: at, dr6: 1 << first.unwrap() });
            }
            self.registers.rflags &= !RF;
            self.registers.rip = START + (at + 1 - START) % LENGTH;
            self.executed += 1;
            self.left -= 1;
            self.touched += u64::from(touches);
            let step = if self.debug.step { DR6_STEP } else { 0 };
            if step | hits != 0 {
                return Ok(Exit::Debug { pc: self.registers.rip, dr6: step | hits });
            }
        }
        self.left = self.kick;
        Ok(Exit::Kicked)
    }

    fn registers(&mut self) -> Result<Registers> {
        Ok(self.registers)
    }

    fn set_registers(&mut self, registers: &Registers) -> Result<()> {
        self.registers = *registers;
        Ok(())
    }

    fn system_registers(&mut self) -> Result<SystemRegisters> {
        Ok(SystemRegisters::default())
    }

    fn debug_registers(&mut self) -> Result<DebugRegisters> {
        Ok(DebugRegisters::default())
    }

    fn msr(&mut self, _: u32) -> Result<u64> {
        unreachable!("no MSR")
    }

    fn tsc_khz(&mut self) -> Result<u32> {
        unreachable!("no TSC")
    }

    fn activity(&mut self) -> Result<Activity> {
        Ok(Activity::Running)
    }
}

impl Debuggable for Processor {
    fn set_debug(&mut self, debug: &GuestDebug) -> Result<()> {
        self.debug = *debug;
        self.debug_changes += 1;
        Ok(())
    }

    fn raise_breakpoint(&mut self, _: &GuestDebug) -> Result<()> {
        unreachable!("no INT3")
    }

    fn finish_access(&mut self, _: Entry) -> Result<Option<Exit>> {
        Ok(None)
    }

    fn halt(&mut self) -> Result<()> {
        unreachable!("no HLT")
    }

    fn enable_interrupts(&mut self) -> Result<()> {
        unreachable!("no STI")
    }

    fn has_pending_interrupt(&mut self) -> Result<bool> {
        Ok(false)
    }

    fn nmi(&mut self) -> Result<()> {
        unreachable!("no NMI")
    }

    fn read_msr(&mut self, _: u32) -> Result<Option<u64>> {
        unreachable!("no RDMSR")
    }

    fn write_msr(&mut self, _: u32, _: u64) -> Result<()> {
        unreachable!("no WRMSR")
    }

    fn answer_msr(&mut self, _: Option<u64>) {}
}

/// Runs to `kicks` kicks; returns the number of hits.
fn hits(processor: &mut Processor, breakpoints: &mut Breakpoints, kicks: u32) -> u64 {
    let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    memory.write(START, &[0x90; LENGTH as usize]).unwrap();
    let (mut hits, mut kicked) = (0, 0);
    while kicked < kicks {
        match breakpoints.run(processor, &memory, Entry::Resume, Want::default()).unwrap() {
            Stop::Breakpoint(at) => {
                assert_eq!(processor.registers.rip, at);
                hits += 1;
            }
            Stop::Exit(Exit::Kicked) => kicked += 1,
            stop => panic!("{stop:?}"),
        }
        assert_eq!(processor.registers.rflags & RF, 0, "the flag is not seen");
    }
    hits
}

fn at(addresses: &[u64], resume_flag: bool) -> (Processor, Breakpoints) {
    let stopping = DebugCapabilities {
        breakpoints: true,
        steps: true,
        resume_flag,
        ..DebugCapabilities::default()
    };
    let mut breakpoints = Breakpoints::new(stopping, Halts::Exit);
    breakpoints.want(addresses.iter().copied());
    let registers = Registers { rip: START, ..Registers::default() };
    (Processor { registers, kick: 100, left: 100, ..Processor::default() }, breakpoints)
}

#[test]
fn each_execution_is_one_hit_and_the_breakpoints_stay() {
    for addresses in [&[START + 3][..], &[START, START + 1], &[START, START + 7]] {
        for resume_flag in [true, false] {
            let (mut processor, mut breakpoints) = at(addresses, resume_flag);
            let hits = hits(&mut processor, &mut breakpoints, 3);
            let turns = processor.executed.div_ceil(LENGTH);
            assert!(turns > 30, "{turns}");
            let count = addresses.len() as u64;
            assert!(hits.abs_diff(turns * count) <= count, "{hits} in {turns} turns");
            assert_eq!(processor.debug_changes == 1, resume_flag, "{}", processor.debug_changes);
        }
    }
}

#[test]
fn a_kick_before_the_instruction_is_no_second_hit() {
    let (mut processor, mut breakpoints) = at(&[START + 3], true);
    processor.kick = 3;
    let hits = hits(&mut processor, &mut breakpoints, 400);
    assert!(hits.abs_diff(processor.executed.div_ceil(LENGTH)) <= 1, "{hits}");
    // A kick that comes at once, after the breakpoint has been reported.
    let (mut processor, mut breakpoints) = at(&[START], true);
    assert_eq!(hits_of_kicks_at_once(&mut processor, &mut breakpoints), 1);
}

fn hits_of_kicks_at_once(processor: &mut Processor, breakpoints: &mut Breakpoints) -> u64 {
    processor.left = 1;
    let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
    let mut run = |processor: &mut Processor| {
        breakpoints.run(processor, &memory, Entry::Resume, Want::default()).unwrap()
    };
    let mut hits = 0;
    for _ in 0..4 {
        hits += u64::from(run(processor) == Stop::Breakpoint(START));
        processor.left = 0;
    }
    hits
}

#[test]
fn an_instruction_that_kvm_emulates_is_stepped_over() {
    let (mut processor, mut breakpoints) = at(&[START + 3], true);
    processor.emulated = Some(START + 3);
    let hits = hits(&mut processor, &mut breakpoints, 3);
    assert!(hits > 30 && hits.abs_diff(processor.executed.div_ceil(LENGTH)) <= 1, "{hits}");
}

/// Watchpoints are hit by instructions with a breakpoint and without, beside breakpoints that are
/// left by the flag, by steps, or that are too many for the debug registers that are left.
#[test]
fn watchpoints_are_hit_once_for_each_access_beside_breakpoints() {
    for breakpoints in [&[][..], &[3], &[4], &[3, 4], &[2, 3, 4], &[0, 1, 2, 3, 4, 5]] {
        for (resume_flag, watched) in [(true, 1), (false, 1), (true, 2), (false, 2)] {
            let addresses: Vec<_> = breakpoints.iter().map(|offset| START + offset).collect();
            let (mut processor, state) = at(&addresses, resume_flag);
            processor.toucher = Some(START + 3);
            let watchpoint = |number| Breakpoint {
                address: 0x5000 + 8 * number,
                trigger: Trigger::Write(Length::Eight),
            };
            let mut state = state.watching((0..watched).map(watchpoint));
            let what = format!("{breakpoints:?}, {watched} watched, by the flag: {resume_flag}");
            let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
            memory.write(START, &[0x90; LENGTH as usize]).unwrap();
            let (mut hits, mut touched, mut kicked) = (0u64, 0u64, 0);
            while kicked < 3 {
                match state.run(&mut processor, &memory, Entry::Resume, Want::default()).unwrap() {
                    Stop::Breakpoint(_) => hits += 1,
                    Stop::Watchpoints(bits) => {
                        assert_eq!(bits, (1 << watched) - 1, "{what}");
                        assert_eq!(processor.registers.rip, START + 4, "{what}");
                        touched += 1;
                    }
                    Stop::Exit(exit) => {
                        assert_eq!(exit, Exit::Kicked, "{what}");
                        kicked += 1;
                    }
                }
                // Before the first instruction nothing is set.
                let set = processor.debug.breakpoints.iter().flatten();
                let set = set.filter(|it| it.trigger != Trigger::Execute).count() as u64;
                assert!(set == watched || processor.executed == 0, "{what}: {set} are set");
            }
            assert!(touched > 30 && touched == processor.touched, "{what}: {touched}");
            let turns = processor.executed.div_ceil(LENGTH);
            let count = addresses.len() as u64;
            assert!(hits.abs_diff(turns * count) <= count, "{what}: {hits} in {turns} turns");
            assert_eq!(state.must_step(), count + watched > SLOTS as u64, "{what}");
        }
    }
}

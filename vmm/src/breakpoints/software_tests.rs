//! INT3s on a model of a processor that executes the bytes of memory.

use super::*;
use crate::breakpoints::{Halts, Want};
use crate::cpu::Cpu;
use crate::guest_debug::GuestDebug;
use crate::kvm::DebugCapabilities;
use crate::memory::MemorySize;
use crate::registers::{Activity, DebugRegisters, Registers, SystemRegisters};

const START: u64 = 0x1000;
const LENGTH: u64 = 16;
const NOP: u8 = 0x90;

/// A processor in a loop of one-byte instructions: NOPs and INT3s.
struct Processor<'m> {
    memory: &'m Memory,
    registers: Registers,
    debug: GuestDebug,
    raises: bool,
    /// The number of instructions between kicks.
    kick: u64,
    left: u64,
    executed: u64,
    /// The number of the guest's own INT3s whose handler has run.
    caught: u64,
}

impl Processor<'_> {
    fn advance(&mut self) {
        self.registers.rip = START + (self.registers.rip + 1 - START) % LENGTH;
        self.executed += 1;
        self.left -= 1;
    }
}

impl Cpu for Processor<'_> {
    fn run(&mut self, _: Entry) -> Result<Exit> {
        while self.left > 0 {
            let at = self.registers.rip;
            let breaks = self.debug.breakpoints.iter().flatten().any(|it| it.address == at);
            if std::mem::take(&mut self.raises) {
                assert_eq!(self.memory.executed(at), INT3);
                assert!(!self.debug.step, "the handler would see the trap flag");
                self.caught += 1;
            } else if breaks {
                return Ok(Exit::Debug { pc: at, dr6: 1 });
            } else if self.memory.executed(at) == INT3 {
                assert!(self.debug.software_breakpoints, "the guest is given #BP");
                return Ok(Exit::Int3 { pc: at });
            }
            self.advance();
            if self.debug.step {
                return Ok(Exit::Debug { pc: self.registers.rip, dr6: DR6_STEP });
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

impl Debuggable for Processor<'_> {
    fn set_debug(&mut self, debug: &GuestDebug) -> Result<()> {
        self.debug = *debug;
        Ok(())
    }

    fn raise_breakpoint(&mut self, _: &GuestDebug) -> Result<()> {
        self.raises = true;
        Ok(())
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

struct Bench {
    memory: Memory,
    int3s: Arc<Int3s>,
}

impl Bench {
    fn new() -> Self {
        let memory = Memory::new(MemorySize::new(2 << 20).unwrap()).unwrap();
        memory.write(START, &[NOP; LENGTH as usize]).unwrap();
        let code = Code::of_bytes(START..START + LENGTH);
        Self { memory, int3s: Arc::new(Int3s { code, gate: Gate::default() }) }
    }

    fn processor(&self, kick: u64) -> Processor<'_> {
        Processor {
            memory: &self.memory,
            registers: Registers { rip: START, ..Registers::default() },
            debug: GuestDebug::default(),
            raises: false,
            kick,
            left: kick,
            executed: 0,
            caught: 0,
        }
    }

    fn breakpoints(&self, vcpu: u32, addresses: &[u64]) -> Breakpoints {
        let stopping = DebugCapabilities {
            breakpoints: true,
            steps: true,
            block_interrupts: true,
            int3: true,
            ..DebugCapabilities::default()
        };
        let mut breakpoints = Breakpoints::new(stopping, Halts::Exit);
        breakpoints.use_int3s(vcpu, self.int3s.clone());
        breakpoints.want(addresses.iter().copied());
        breakpoints
    }

    /// Runs to a number of kicks; returns the number of hits.
    fn hits(&self, cpu: &mut Processor, breakpoints: &mut Breakpoints, kicks: u32) -> u64 {
        let (mut hits, mut kicked) = (0, 0);
        while kicked < kicks {
            match breakpoints.run(cpu, &self.memory, Entry::Resume, Want::default()).unwrap() {
                Stop::Breakpoint(at) => {
                    assert_eq!(cpu.registers.rip, at);
                    let mut byte = [0];
                    self.memory.read(at, &mut byte).unwrap();
                    hits += 1;
                }
                Stop::Exit(Exit::Kicked) => kicked += 1,
                other => panic!("{other:?}"),
            }
        }
        hits
    }
}

fn many() -> Vec<u64> {
    (START + 1..START + 13).collect()
}

#[test]
fn each_execution_is_one_hit_however_often_it_is_kicked() {
    for kick in [1, 2, 3, 7, 16, 100] {
        let bench = Bench::new();
        let mut cpu = bench.processor(kick);
        let mut breakpoints = bench.breakpoints(0, &many());
        let hits = bench.hits(&mut cpu, &mut breakpoints, 2000 / kick as u32);
        assert!(!breakpoints.must_step() && breakpoints.software.is_used);
        let turns = cpu.executed / LENGTH;
        assert!(turns > 100, "{turns}");
        assert!(hits.abs_diff(turns * 12) <= 12, "{hits} in {turns} turns, a kick each {kick}");
    }
}

#[test]
fn four_addresses_get_no_int3() {
    let bench = Bench::new();
    let mut cpu = bench.processor(100);
    let mut breakpoints = bench.breakpoints(0, &many()[..4]);
    bench.hits(&mut cpu, &mut breakpoints, 5);
    assert!(!breakpoints.software.is_used);
    let executed: Vec<u8> = (START..START + LENGTH).map(|at| bench.memory.executed(at)).collect();
    assert_eq!(executed, [NOP; LENGTH as usize]);
    // Of more, those that are no instruction of the image get the hardware's.
    let outside = [&many()[..], &[START - 1, START + LENGTH]].concat();
    let mut breakpoints = bench.breakpoints(0, &outside);
    bench.hits(&mut cpu, &mut breakpoints, 5);
    assert_eq!(breakpoints.software.others, [START - 1, START + LENGTH]);
    let too_many = [&outside[..], &[1, 2, 3]].concat();
    breakpoints.want(too_many.into_iter());
    bench.hits(&mut cpu, &mut breakpoints, 5);
    assert!(breakpoints.must_step());
    assert_eq!(bench.memory.executed(START + 1), NOP);
}

#[test]
fn the_guest_is_given_the_bp_of_its_own_int3() {
    for kick in [1, 2, 5, 100] {
        let bench = Bench::new();
        // One below an INT3 of ours, and one that is only the guest's.
        for own in [START + 3, START + 14] {
            bench.memory.write(own, &[INT3]).unwrap();
        }
        let mut cpu = bench.processor(kick);
        let mut breakpoints = bench.breakpoints(0, &many());
        let hits = bench.hits(&mut cpu, &mut breakpoints, 2000 / kick as u32);
        let turns = cpu.executed / LENGTH;
        assert!(cpu.caught.abs_diff(turns * 2) <= 2, "{} caught in {turns} turns", cpu.caught);
        assert!(hits.abs_diff(turns * 12) <= 12, "{hits} in {turns} turns, a kick each {kick}");
    }
}

#[test]
fn what_another_vcpu_wants_is_passed_without_a_report() {
    let bench = Bench::new();
    let (mut one, mut other) = (bench.processor(50), bench.processor(50));
    let mut ones = bench.breakpoints(0, &many()[..6]);
    let mut others = bench.breakpoints(1, &many()[6..]);
    let (mut first, mut second) = (0, 0);
    for _ in 0..50 {
        first += bench.hits(&mut one, &mut ones, 1);
        second += bench.hits(&mut other, &mut others, 1);
    }
    for (hits, cpu) in [(first, one), (second, other)] {
        assert!(hits.abs_diff(cpu.executed / LENGTH * 6) <= 6, "{hits}");
    }
    assert_eq!(others.hits().iter().map(|hits| hits.hits).sum::<u64>(), second);
}

#[test]
fn a_store_to_the_code_goes_below_the_int3() {
    let bench = Bench::new();
    let breakpoints = bench.breakpoints(0, &many());
    let exit = |address| Exit::MmioWrite { address, data: smallvec::smallvec![0xf8] };
    assert!(breakpoints.store_to_code(&bench.memory, &exit(START + 2)).unwrap());
    assert!(!breakpoints.store_to_code(&bench.memory, &exit(0x8000)).unwrap());
    let mut byte = [0];
    bench.memory.read(START + 2, &mut byte).unwrap();
    assert_eq!(byte, [0xf8]);
}

#[test]
fn an_interrupt_at_an_int3_is_no_second_hit() {
    let bench = Bench::new();
    let mut cpu = bench.processor(1000);
    let mut breakpoints = bench.breakpoints(0, &many());
    let mut run = |cpu: &mut Processor, interrupt| {
        let want = Want { interrupt, ..Want::default() };
        breakpoints.run(cpu, &bench.memory, Entry::Resume, want).unwrap()
    };
    assert_eq!(run(&mut cpu, None), Stop::Breakpoint(START + 1));
    // Its handler executes another of the instructions, on a stack below, and returns.
    let before = cpu.registers;
    cpu.left = 0;
    assert_eq!(run(&mut cpu, Some(0x20)), Stop::Exit(Exit::Kicked));
    cpu.registers = Registers { rip: START + 1, rsp: before.rsp.wrapping_sub(64), ..before };
    assert_eq!(run(&mut cpu, None), Stop::Breakpoint(START + 1), "the handler's own execution");
    cpu.registers = before;
    assert_eq!(run(&mut cpu, None), Stop::Breakpoint(START + 2), "after the return");
}

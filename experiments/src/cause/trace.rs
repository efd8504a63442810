//! Records what the vCPUs of a run did to what they share, in the order in which it happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use inspect::unwind::{CallFrame, Unwinder as _, unwinder};
use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::{Choice, Point};
use vmm::exit::{Bytes, Entry, Exit, little};
use vmm::hook::{ApicEvent, Attach, Context, Hook, IpiMode, Points, Verdict};
use vmm::paging;
use vmm::registers::Registers;

use super::schedule_state::{EnabledTransition, ProgramPoint, ScheduleState};

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A load.
    Read,
    /// A store.
    Write,
    /// A locked read-modify-write.
    Update,
    /// A vCPU takes an interrupt. This is not an access, but is handled like one.
    Interrupt,
    /// A vCPU turns its interrupts off.
    Off,
    /// A vCPU sends an NMI.
    Nmi,
    /// A vCPU sends an INIT.
    Init,
    /// A vCPU sends a SIPI.
    Sipi,
}

impl Kind {
    /// Whether it is an access; the other kinds are about interrupts.
    pub fn is_access(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Update)
    }

    /// Whether it has an immediate effect on other vCPUs.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Nmi | Self::Init | Self::Sipi)
    }
}

/// What an access is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Memory that vCPUs share, by its guest-physical address.
    Memory(u64),
    /// A register of an interrupt controller, by its guest-physical address.
    Device(u64),
    /// A port.
    Port(u16),
    /// The vCPUs that an operation other than an access affects, as a bit mask.
    Vcpus(u64),
}

/// An access to something that is shared, or another operation in the same form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The kind.
    pub kind: Kind,
    /// The target.
    pub target: Target,
    /// The size in bytes, up to 8.
    pub size: u8,
    /// The value before the access.
    pub before: u64,
    /// The value that was read, or the new value.
    pub value: u64,
    /// RIP at the exit: after the instruction for a store, at the instruction otherwise.
    pub rip: u64,
    /// In an interrupt handler: the program point at which the vCPU took the interrupt.
    pub interrupted: Option<ProgramPoint>,
    /// The stack, innermost address first; empty unless stacks are recorded.
    pub stack: Vec<CallFrame>,
}

impl Access {
    /// Whether the access may change its target.
    pub fn writes(&self) -> bool {
        self.kind != Kind::Read
    }

    /// Whether the access changed something.
    fn changes(&self) -> bool {
        match self.target {
            Target::Memory(_) => self.writes() && self.before != self.value,
            Target::Device(_) | Target::Port(_) | Target::Vcpus(_) => true,
        }
    }

    /// Whether both have a target in common, and their order may matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        match (self.target, other.target) {
            (Target::Memory(one), Target::Memory(two)) => {
                let meet = one < two + u64::from(other.size) && two < one + u64::from(self.size);
                meet && (self.writes() || other.writes())
            }
            (Target::Port(_), Target::Port(_)) => true,
            // A write to an interrupt controller may affect any vCPU.
            (Target::Device(_), _) => self.writes(),
            (_, Target::Device(_)) => other.writes(),
            _ => false,
        }
    }
}

/// A decision and its effects, up to the next scheduling point.
#[derive(Clone, Debug)]
pub struct Step {
    /// The scheduling point's number.
    pub point: u64,
    /// The run's hash there.
    pub hash: u64,
    /// The choice.
    pub choice: Choice,
    /// The choices that were possible.
    pub transitions: Vec<EnabledTransition>,
    /// The non-preemptive continuation.
    pub by_itself: Choice,
    /// The vCPU that ran last, and its program point; `None` if no vCPU has run.
    pub left: Option<(u32, ProgramPoint)>,
    /// The program point of the vCPU that was chosen.
    pub program_point: ProgramPoint,
    /// The access that the vCPU made, if any.
    pub access: Option<Access>,
    /// What the access sends, if it is to the interrupt command register.
    pub sends: Option<Sent>,
    /// The interrupt that the vCPU took after its access.
    pub taken: Option<Taken>,
    /// Whether the vCPU turned interrupts off after its access.
    pub turns_off: bool,
    /// Whether the vCPU went to sleep.
    pub halts: bool,
    /// Whether the vCPU ran: most faults only change its state.
    pub runs: bool,
}

/// An event that a vCPU sends to other vCPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// An NMI, an INIT or a SIPI. Other interrupts are recorded when they are taken.
    pub kind: Kind,
    /// The target vCPUs, as a bit mask.
    pub targets: u64,
}

/// An interrupt that a vCPU takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its vector.
    pub vector: u8,
    /// The vCPU that sent it last, if it was an IPI.
    pub sender: Option<u32>,
}

impl Step {
    /// A decision whose effects are not known yet, and to which there was no alternative.
    pub(super) fn new(point: &Point, state: &ScheduleState, choice: Choice) -> Self {
        Self {
            point: point.number,
            hash: point.hash,
            choice,
            transitions: vec![EnabledTransition { choice, preempts: false }],
            by_itself: choice,
            left: point.last.map(|last| (last, state.program_points[last as usize])),
            program_point: state.program_points[choice.vcpu() as usize],
            access: None,
            sends: None,
            taken: None,
            turns_off: false,
            halts: false,
            runs: true,
        }
    }

    /// A fault strikes, and no vCPU runs.
    pub(super) fn of_fault(point: &Point, state: &ScheduleState, choice: Choice) -> Self {
        Self { runs: false, ..Self::new(point, state, choice) }
    }

    /// The vCPU that ran.
    pub fn vcpu(&self) -> u32 {
        self.choice.vcpu()
    }

    /// Whether the order of this step and a step of another vCPU may matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        matches!((&self.access, &other.access), (Some(one), Some(two)) if one.conflicts(two))
    }

    /// Whether the choice deviates from the non-preemptive continuation.
    pub fn deviates(&self) -> bool {
        self.choice != self.by_itself
    }

    /// Whether the choice was a preemption.
    pub fn preempts(&self) -> bool {
        self.transitions
            .iter()
            .any(|transition| transition.choice == self.choice && transition.preempts)
    }
}

/// What is recorded of a vCPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Vcpu {
    /// How many times it has changed something that other vCPUs see.
    progress: u64,
    /// The handlers that it is in: for each, its stack pointer and program point when it was
    /// interrupted.
    handlers: Vec<(u64, ProgramPoint)>,
    /// The handler that it entered in the last step of the run.
    enters: Option<(u64, ProgramPoint)>,
    /// Its last step, and whether interrupts were on there; `None` after an interrupt.
    before: Option<(usize, bool)>,
    /// For each vector, the vCPU that sent it last to this vCPU.
    senders: Vec<(u8, u32)>,
}

/// The recording of a run. It is shared by the hooks of all vCPUs and the chooser.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) steps: Vec<Step>,
    /// The decision that is about to be carried out. Events without a decision come from the proof
    /// of a hang, and are not part of the run.
    pub(super) next: Option<Step>,
    /// Whether current events belong to the last step.
    live: bool,
    pub(super) vcpus: Vec<Vcpu>,
    /// Whether stacks are recorded.
    pub(super) stacks: bool,
}

impl Tape {
    /// How many times a vCPU has changed something that other vCPUs see.
    pub(super) fn progress(&self, vcpu: u32) -> u64 {
        self.vcpus.get(vcpu as usize).map_or(0, |vcpu| vcpu.progress)
    }
}

/// Writes a tape: a hook for each vCPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder(Arc<Mutex<Tape>>);

impl Recorder {
    pub(super) fn tape(&self) -> MutexGuard<'_, Tape> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attach for Recorder {
    fn attach(&self, _: u32, _: u32) -> Box<dyn Hook> {
        Box::new(self.clone())
    }
}

impl Hook for Recorder {
    fn points(&self) -> Points {
        Points::CHOICE | Points::EXIT | Points::ENTRY | Points::APIC
    }

    fn choice(&mut self, context: &mut Context, choice: Choice) {
        let mut tape = self.tape();
        // The access before which a vCPU was stopped comes first, and then the interrupt.
        for vcpu in &mut tape.vcpus {
            vcpu.handlers.extend(vcpu.enters.take());
        }
        let next = tape.next.take();
        tape.live = next.is_some();
        if let Some(step) = next {
            let program_point = step.program_point;
            let (vcpu, on) = (choice.vcpu(), has_interrupts_on(context));
            tape.comes_to(vcpu, on);
            let own = (tape.steps.len(), on);
            if step.runs {
                let interrupted = matches!(choice, Choice::Interrupt(_));
                tape.vcpus[vcpu as usize].before = (!interrupted).then_some(own);
            }
            tape.steps.push(step);
            if let (Choice::Interrupt(vcpu), Ok(registers)) = (choice, context.cpu.registers()) {
                let own = &mut tape.vcpus[vcpu as usize];
                own.enters = Some((registers.rsp, program_point));
                own.progress += 1;
            }
        }
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        let mut tape = self.tape();
        if tape.live {
            note(&mut tape, context, exit);
        }
        Verdict::Continue
    }

    fn apic(&mut self, context: &mut Context, event: &ApicEvent) -> Verdict {
        let mut tape = self.tape();
        let vcpu = context.vcpu;
        match *event {
            ApicEvent::Ipi { mode, targets } if tape.live => {
                let kind = match mode {
                    IpiMode::Nmi => Some(Kind::Nmi),
                    IpiMode::Init => Some(Kind::Init),
                    IpiMode::Startup { .. } => Some(Kind::Sipi),
                    _ => None,
                };
                if let (Some(kind), Some(step)) = (kind, tape.steps.last_mut()) {
                    step.sends = Some(Sent { kind, targets });
                }
                if let IpiMode::Fixed { vector } | IpiMode::LowestPriority { vector } = mode {
                    for (target, to) in (0..).zip(&mut tape.vcpus) {
                        if targets >> target & 1 != 0 {
                            to.senders.retain(|(of, _)| *of != vector);
                            to.senders.push((vector, vcpu));
                        }
                    }
                }
            }
            ApicEvent::Interrupt { vector } if tape.live => {
                let own = &tape.vcpus[vcpu as usize].senders;
                let sender = own.iter().find(|(of, _)| *of == vector).map(|(_, sender)| *sender);
                if let Some(step) = tape.steps.last_mut() {
                    step.taken = Some(Taken { vector, sender });
                }
            }
            // The handler begins with interrupts off; the guest's code did not turn them off.
            ApicEvent::Nmi | ApicEvent::Init => tape.vcpus[vcpu as usize].before = None,
            _ => {}
        }
        Verdict::Continue
    }

    fn entry(&mut self, _: &mut Context, entry: &Entry) {
        let mut tape = self.tape();
        if !tape.live {
            return;
        }
        if let (Entry::Data(data), Some(Step { access: Some(access), .. })) =
            (entry, tape.steps.last_mut())
            && access.kind == Kind::Read
        {
            access.value = little(data);
            access.before = access.value;
        }
    }
}

fn has_interrupts_on(context: &mut Context) -> bool {
    context.cpu.registers().is_ok_and(|registers| registers.rflags & Registers::INTERRUPT_FLAG != 0)
}

impl Tape {
    /// Called when a vCPU reaches its next step or its end, with interrupts on or off. If they were
    /// on at its last step and are off now, it has turned them off since.
    pub(super) fn comes_to(&mut self, vcpu: u32, on: bool) {
        let own = self.vcpus.get_mut(vcpu as usize);
        let Some((number, true)) = own.and_then(|own| own.before.take()).filter(|_| !on) else {
            return;
        };
        if let Some(step) = self.steps.get_mut(number) {
            step.turns_off = true;
        }
    }
}

fn note(tape: &mut Tape, context: &mut Context, exit: &Exit) {
    let stacks = tape.stacks;
    let vcpu = context.vcpu as usize;
    let interrupted = leave_handlers(&mut tape.vcpus[vcpu], context);
    let Some(step) = tape.steps.last_mut() else { return };
    let (kind, target, size, value) = match exit {
        Exit::MmioRead { address, size } => (Kind::Read, place(*address), *size, 0),
        Exit::MmioWrite { address, data } => {
            (Kind::Write, place(*address), data.len() as u8, little(data))
        }
        Exit::PortRead { port, size, .. } => (Kind::Read, Target::Port(*port), *size, 0),
        Exit::PortWrite { port, size, data } => {
            (Kind::Write, Target::Port(*port), *size, little(data))
        }
        Exit::Halt => {
            step.halts = true;
            return;
        }
        _ => return,
    };
    if kind == Kind::Write
        && let Some(access) = &mut step.access
    {
        // This is the second half of a locked instruction.
        (access.kind, access.value) = (Kind::Update, value);
    } else {
        let mut before = Bytes::from_elem(0, usize::from(size));
        if let Target::Memory(address) = target {
            // The read can't fail: the target is shared memory, which the machine itself accesses
            // next.
            let _ = context.memory.read(address, &mut before);
        }
        let registers = context.cpu.registers().unwrap_or_default();
        let stack = if stacks {
            let system = context.cpu.system_registers().unwrap_or_default();
            unwinder().unwind(&registers, &system, context.memory)
        } else {
            Vec::new()
        };
        let (rip, before) = (registers.rip, little(&before));
        step.access = Some(Access { kind, target, size, before, value, rip, interrupted, stack });
    }
    let changes = step.access.as_ref().is_some_and(|access| access.kind != Kind::Read)
        && step.access.as_ref().is_some_and(Access::changes);
    tape.vcpus[vcpu].progress += u64::from(changes);
}

/// Notices when handlers have returned: their stack is gone, or the frame that the interrupt pushed
/// is overwritten (64-bit code on the interrupted stack; Intel SDM vol. 3, 6.14.2). Returns the
/// program point that the innermost remaining handler interrupted.
fn leave_handlers(vcpu: &mut Vcpu, context: &mut Context) -> Option<ProgramPoint> {
    while let Some((rsp, program_point)) = vcpu.handlers.last().copied() {
        let (Ok(registers), Ok(system)) = (context.cpu.registers(), context.cpu.system_registers())
        else {
            return Some(program_point);
        };
        let saved = (rsp & !0xf).wrapping_sub(16);
        let kept = paging::read_integer(&system, context.memory, saved, 8);
        if registers.rsp < rsp && kept.is_ok_and(|kept| kept == rsp) {
            return Some(program_point);
        }
        vcpu.handlers.pop();
    }
    None
}

/// The target of an address, by the range of the interrupt controllers (Intel SDM vol. 3, 11.4.1;
/// 82093AA, 3.0).
fn place(address: u64) -> Target {
    const CONTROLLERS: std::ops::Range<u64> = 0xfec0_0000..0xfef0_0000;
    if CONTROLLERS.contains(&address) { Target::Device(address) } else { Target::Memory(address) }
}

//! What the vCPUs of a run did to what they share, in the order in which it happened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use probes::unwind;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::Choice;
use vmm::exit::{Bytes, Entry, Exit, little};
use vmm::hook::{ApicEvent, Attach, Context, Hook, IpiMode, Points, Verdict};
use vmm::paging;

use super::schedule_state::{EnabledTransition, ProgramPoint};

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A load.
    Read,
    /// A store.
    Write,
    /// A locked read-modify-write.
    Update,
    /// A vCPU takes an interrupt: no access, but as good as one.
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
    /// Whether it is an access to something; otherwise it is about interrupts.
    pub fn is_access(self) -> bool {
        matches!(self, Self::Read | Self::Write | Self::Update)
    }

    /// Whether it does something to other vCPUs at once.
    pub fn is_sent(self) -> bool {
        matches!(self, Self::Nmi | Self::Init | Self::Sipi)
    }
}

/// Where an access goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Memory that vCPUs share, by its guest-physical address.
    Memory(u64),
    /// A register of an interrupt controller, by its guest-physical address.
    Device(u64),
    /// A port.
    Port(u16),
    /// vCPUs, bit by bit: of what is no access, those that it happens to.
    Vcpus(u64),
}

/// An access to something that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// What it does.
    pub kind: Kind,
    /// Where.
    pub target: Target,
    /// Bytes, up to 8.
    pub size: u8,
    /// What was there before.
    pub before: u64,
    /// What was read, or is there now.
    pub value: u64,
    /// RIP at the exit: behind a store, at everything else.
    pub rip: u64,
    /// In an interrupt handler: where the vCPU stood when it took the interrupt.
    pub interrupted: Option<ProgramPoint>,
    /// Who called whom, innermost first; empty where nobody asked for stacks.
    pub stack: Vec<u64>,
}

impl Access {
    /// Whether it may change what is there.
    pub fn writes(&self) -> bool {
        self.kind != Kind::Read
    }

    /// Whether something is different afterwards.
    fn changes(&self) -> bool {
        match self.target {
            Target::Memory(_) => self.writes() && self.before != self.value,
            Target::Device(_) | Target::Port(_) | Target::Vcpus(_) => true,
        }
    }

    /// Whether both are at some common place, and the order of the two may matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        match (self.target, other.target) {
            (Target::Memory(one), Target::Memory(two)) => {
                let meet = one < two + u64::from(other.size) && two < one + u64::from(self.size);
                meet && (self.writes() || other.writes())
            }
            (Target::Port(_), Target::Port(_)) => true,
            // What a controller is told may reach any vCPU.
            (Target::Device(_), _) => self.writes(),
            (_, Target::Device(_)) => other.writes(),
            _ => false,
        }
    }
}

/// A decision and what came of it, up to the next scheduling point.
#[derive(Clone, Debug)]
pub struct Step {
    /// The scheduling point's number.
    pub point: u64,
    /// The run's hash there.
    pub hash: u64,
    /// What was chosen.
    pub choice: Choice,
    /// What could have been chosen.
    pub transitions: Vec<EnabledTransition>,
    /// What would have been if nobody had interfered.
    pub by_itself: Choice,
    /// Which vCPU ran last, and where it stands; `None` if there was none.
    pub left: Option<(u32, ProgramPoint)>,
    /// Where the vCPU stood.
    pub program_point: ProgramPoint,
    /// What it did: nothing, or one access.
    pub access: Option<Access>,
    /// What that access sends, if it is one to the interrupt command register.
    pub sends: Option<Sent>,
    /// The interrupt that it took behind its access.
    pub taken: Option<Taken>,
    /// It turned interrupts off behind its access.
    pub turns_off: bool,
    /// It went to sleep.
    pub halts: bool,
}

/// Something that a vCPU sends to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// An NMI, an INIT or a SIPI. What is taken like any interrupt is told when it is taken.
    pub kind: Kind,
    /// To whom, bit by bit.
    pub targets: u64,
}

/// An interrupt that a vCPU takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Its vector.
    pub vector: u8,
    /// Who sent it last, if it was an IPI.
    pub sender: Option<u32>,
}

impl Step {
    /// The vCPU that ran.
    pub fn vcpu(&self) -> u32 {
        self.choice.vcpu()
    }

    /// Whether the order of this and a step of another vCPU may matter.
    pub fn conflicts(&self, other: &Self) -> bool {
        matches!((&self.access, &other.access), (Some(one), Some(two)) if one.conflicts(two))
    }

    /// Whether it happened because somebody interfered.
    pub fn deviates(&self) -> bool {
        self.choice != self.by_itself
    }

    /// Whether it took the machine away from a vCPU that could have gone on.
    pub fn preempts(&self) -> bool {
        self.transitions
            .iter()
            .any(|transition| transition.choice == self.choice && transition.preempts)
    }
}

/// What is kept of a vCPU.
#[derive(Clone, Debug, Default)]
pub(super) struct Vcpu {
    /// How often it has changed something that others see.
    progress: u64,
    /// The handlers that it is in: its stack pointer when it was interrupted, and where it stood.
    handlers: Vec<(u64, ProgramPoint)>,
    /// The handler that it has gone into at the last step of the run.
    enters: Option<(u64, ProgramPoint)>,
    /// Its last step, and whether it had interrupts on there; nothing where it was interrupted.
    before: Option<(usize, bool)>,
    /// Who has sent it which vector last.
    senders: Vec<(u8, u32)>,
}

/// What a run leaves behind while it goes on. Shared by the hooks of all vCPUs and the chooser.
#[derive(Debug, Default)]
pub(super) struct Tape {
    pub(super) steps: Vec<Step>,
    /// The decision that is about to be carried out. What happens without one is the proof of a hang
    /// at work, and no part of the run.
    pub(super) next: Option<Step>,
    /// Whether what happens now belongs to the last step.
    live: bool,
    pub(super) vcpus: Vec<Vcpu>,
    /// Whether stacks are wanted.
    pub(super) stacks: bool,
}

impl Tape {
    /// How often a vCPU has changed something that others see.
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
        // The access that a vCPU stands before comes first, and then the interrupt.
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
            tape.vcpus[vcpu as usize].before = matches!(choice, Choice::Step(_)).then_some(own);
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
            // Its handler has interrupts off, and nobody turned them off.
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

/// RFLAGS.IF.
const IF: u64 = 1 << 9;

fn has_interrupts_on(context: &mut Context) -> bool {
    context.cpu.registers().is_ok_and(|registers| registers.rflags & IF != 0)
}

impl Tape {
    /// A vCPU comes to its next step, or to its end, with interrupts on or off: if they were on at the
    /// last one, it has turned them off since.
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
        // The second half of a locked instruction.
        (access.kind, access.value) = (Kind::Update, value);
    } else {
        let mut before = Bytes::from_elem(0, usize::from(size));
        if let Target::Memory(address) = target {
            // It is shared memory, which is there: the machine itself does the access next.
            let _ = context.memory.read(address, &mut before);
        }
        let registers = context.cpu.registers().unwrap_or_default();
        let stack = if stacks {
            let system = context.cpu.system_registers().unwrap_or_default();
            unwind::walk(&registers, &system, context.memory)
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

/// Notices that handlers have returned: their stack is gone, or the frame that the interrupt pushed
/// is overwritten (64-bit code on the interrupted stack; Intel SDM vol. 3, 6.14.2). Where the
/// innermost one that is left interrupted the vCPU.
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

/// Where the interrupt controllers are (Intel SDM vol. 3, 11.4.1; 82093AA, 3.0).
fn place(address: u64) -> Target {
    const CONTROLLERS: std::ops::Range<u64> = 0xfec0_0000..0xfef0_0000;
    if CONTROLLERS.contains(&address) { Target::Device(address) } else { Target::Memory(address) }
}

//! Names the variables, functions, lines and stacks of a trace.

use inspect::Stack;
use schemars::JsonSchema;
use serde::Serialize;
use vmm::controlled::Choice;

use super::code;
use super::operation::{Operation, operations_of};
use super::schedule_state::ProgramPoint;
use super::trace::{Access, Kind, Step, Target};
use crate::waits::Names;

/// An access by name. (Interrupts, turning them off, and NMIs, INITs and SIPIs have the same form.)
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Named {
    /// The vCPU.
    pub vcpu: u32,
    /// The scheduling point, from 1; 0 if the access never happens in the shortest schedule.
    pub point: u64,
    /// What it does.
    pub kind: Kind,
    /// The variable, register or port; for an interrupt, its vector.
    pub variable: String,
    /// Its guest-physical address; empty if it has none.
    pub address: String,
    /// Its size in bytes.
    pub size: u8,
    /// The value before the access.
    pub before: String,
    /// The value that was read, or the new value.
    pub value: String,
    /// The function, or the address if no function contains it.
    pub function: String,
    /// The offset of the instruction in the function.
    pub offset: u64,
    /// The source file, as the compiler recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in the source file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Whether it is part of an interrupt handler.
    pub in_handler: bool,
    /// For an interrupt that is taken: the vCPU that sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<u32>,
    /// The stack, innermost function first.
    pub stack: Vec<String>,
}

impl Named {
    /// `file.c:12`, or an empty text.
    pub fn place(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => {
                format!("{}:{line}", file.rsplit('/').next().unwrap_or(file))
            }
            _ => String::new(),
        }
    }

    /// The function, and the offset in it.
    pub fn site(&self) -> String {
        format!("{}+{:#x}", self.function, self.offset)
    }

    /// A noun for it, such as "read", "store" or "update".
    pub fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Read => "read",
            Kind::Write => "store",
            Kind::Update => "update",
            Kind::Interrupt => "delivery",
            Kind::Off if self.instruction.is_some() => "`cli`",
            Kind::Off => "turning interrupts off",
            Kind::Nmi => "NMI",
            Kind::Init => "INIT",
            Kind::Sipi => "SIPI",
        }
    }

    /// A phrase for it if it isn't an access: "vCPU 1's `cli`", "vCPU 2's INIT to vCPU 3".
    pub fn event(&self) -> Option<String> {
        match self.kind {
            Kind::Read | Kind::Write | Kind::Update => None,
            Kind::Interrupt => Some(match self.sender {
                Some(_) => format!("the delivery of {} to vCPU {}", self.request(), self.vcpu),
                None => format!("the delivery of {}", self.request()),
            }),
            Kind::Off => Some(format!("{}'s {}", self.agent(), self.noun())),
            Kind::Nmi | Kind::Init | Kind::Sipi => {
                Some(format!("{}'s {} to {}", self.agent(), self.noun(), self.variable))
            }
        }
    }

    /// A phrase for the interrupt that is taken: "vCPU 0's IPI (vector 35)".
    pub fn request(&self) -> String {
        match self.sender {
            Some(sender) => format!("vCPU {sender}'s IPI ({})", self.variable),
            None => format!("vCPU {}'s interrupt ({})", self.vcpu, self.variable),
        }
    }

    /// What it does, with its value.
    pub fn change(&self) -> String {
        match self.kind {
            Kind::Read => format!("reads {}", self.value),
            Kind::Write => format!("stores {}", self.value),
            Kind::Update => format!("{} -> {}", self.before, self.value),
            Kind::Interrupt => format!("takes {}", self.request()),
            Kind::Off => "turns interrupts off".into(),
            Kind::Nmi | Kind::Init | Kind::Sipi => format!("sends {}", self.noun()),
        }
    }

    /// The flow of control that it belongs to: a vCPU's own program, or its interrupt handlers.
    pub fn flow(&self) -> (u32, bool) {
        (self.vcpu, self.in_handler || self.kind == Kind::Interrupt)
    }

    /// Whether both belong to the same flow of control.
    pub fn is_by_the_same_as(&self, other: &Self) -> bool {
        self.flow() == other.flow()
    }

    /// Its position in the shortest schedule; what never happens is last.
    pub fn order(&self) -> (u64, bool) {
        // An interrupt is taken after the access at that point, and interrupts are turned off after
        // it.
        let behind = matches!(self.kind, Kind::Interrupt | Kind::Off);
        (if self.point == 0 { u64::MAX } else { self.point }, behind)
    }

    /// The vCPU, or its interrupt handler, as text.
    pub fn agent(&self) -> String {
        let handler = if self.in_handler { "'s handler" } else { "" };
        format!("vCPU {}{handler}", self.vcpu)
    }
}

/// A step by name.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct NamedStep {
    /// The scheduling point, from 1.
    pub point: u64,
    /// The vCPU.
    pub vcpu: u32,
    /// Whether the vCPU takes an interrupt after its access.
    pub interrupt: bool,
    /// The vector of that interrupt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vector: Option<u8>,
    /// Whether the vCPU turns interrupts off after its access.
    pub turns_off: bool,
    /// The NMI, INIT or SIPI that the access sends, and to which vCPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sends: Option<(Kind, String)>,
    /// Whether the vCPU goes to sleep at the end of the step.
    pub halts: bool,
    /// Whether a fault strikes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fault: bool,
    /// Whether the step is a switch: it deviates from the non-preemptive continuation.
    pub switch: bool,
    /// Whether the switch is a preemption.
    pub preempts: bool,
    /// The access, if the step has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Named>,
}

/// Gives names to steps and operations.
#[derive(Clone, Copy)]
pub(super) struct Naming<'a>(pub(super) Names<'a>);

impl Naming<'_> {
    pub(super) fn step(self, step: &Step) -> NamedStep {
        let access =
            step.access.as_ref().map(|access| self.access(step.vcpu(), step.point + 1, access));
        NamedStep {
            point: step.point + 1,
            vcpu: step.vcpu(),
            interrupt: matches!(step.choice, Choice::Interrupt(_)),
            vector: step.taken.map(|taken| taken.vector),
            turns_off: step.turns_off,
            sends: step.sends.map(|sent| (sent.kind, vcpus(sent.targets))),
            halts: step.halts,
            fault: matches!(step.choice, Choice::Fault(..)),
            switch: step.deviates(),
            preempts: step.preempts(),
            access,
        }
    }

    /// The first occurrence of an operation in `steps`, the run whose stacks were recorded.
    pub(super) fn operation(self, operation: &Operation, steps: &[Step]) -> Named {
        self.operation_behind(operation, steps, (0, false))
    }

    /// The first occurrence of an operation after another one, because a loop may reach the same
    /// one repeatedly.
    pub(super) fn later(self, operation: &Operation, first: &Named, steps: &[Step]) -> Named {
        let from = if first.point == 0 { (0, false) } else { first.order() };
        self.operation_behind(operation, steps, from)
    }

    /// The first occurrence after this position; points count from 1.
    fn operation_behind(self, operation: &Operation, steps: &[Step], from: (u64, bool)) -> Named {
        let all = steps.iter().enumerate().flat_map(|(number, step)| {
            operations_of(number, step).map(|there| ((step.point + 1, there.order().1), there))
        });
        let mut behind = all.filter(|(order, there)| *order > from && there.is_like(operation));
        match behind.next() {
            Some(((point, _), there)) => self.access(operation.vcpu, point, &there.access),
            None => self.access(operation.vcpu, 0, &operation.access),
        }
    }

    fn access(self, vcpu: u32, point: u64, access: &Access) -> Named {
        let Self(Names { symbols, image }) = self;
        let (mut at, mut instruction) = code::instruction(access, image, symbols);
        if access.kind == Kind::Off {
            instruction = code::interrupts_off(at, image, symbols).map(|(cli, text)| {
                at = cli;
                text
            });
        }
        let (variable, address) = match access.target {
            Target::Memory(address) => (self.0.variable(address), format!("{address:#x}")),
            Target::Device(address) => (device(address).to_owned(), format!("{address:#x}")),
            Target::Port(port) => (format!("port {port:#x}"), String::new()),
            Target::Vcpus(_) if access.kind == Kind::Interrupt => {
                (format!("vector {}", access.value), String::new())
            }
            Target::Vcpus(_) if access.kind == Kind::Off => ("interrupts".into(), String::new()),
            Target::Vcpus(targets) => (vcpus(targets), String::new()),
        };
        let (function, offset) = symbols
            .and_then(|symbols| symbols.function(at))
            .map_or_else(|| (format!("{at:#x}"), 0), |(name, offset)| (name.to_owned(), offset));
        let line = symbols.and_then(|symbols| symbols.line(at));
        let stack = Stack::of(&access.stack, symbols);
        // The innermost frame is the vCPU's RIP, which is after the instruction of a store.
        let mut stack: Vec<String> = stack.frames.iter().map(ToString::to_string).collect();
        if let (Some(innermost), true) = (stack.first_mut(), access.rip != at) {
            *innermost = Stack::new(&[at], symbols).to_string();
        }
        Named {
            vcpu,
            point,
            kind: access.kind,
            variable,
            address,
            size: access.size,
            before: format!("{:#x}", access.before),
            value: format!("{:#x}", access.value),
            function,
            offset,
            file: line.as_ref().map(|line| line.file.clone()),
            line: line.map(|line| line.line),
            instruction,
            in_handler: access.interrupted.is_some(),
            sender: Some(access)
                .filter(|it| it.kind == Kind::Interrupt && it.before > 0)
                .map(|it| it.before as u32 - 1),
            stack,
        }
    }

    /// A program point by name.
    pub(super) fn program_point(self, program_point: ProgramPoint) -> String {
        Stack::new(&[program_point.rip], self.0.symbols).to_string()
    }
}

/// The vCPUs of a bit mask.
fn vcpus(targets: u64) -> String {
    let all: Vec<String> =
        (0..64).filter(|vcpu| targets >> vcpu & 1 != 0).map(|vcpu| vcpu.to_string()).collect();
    format!("vCPU {}", all.join(", "))
}

/// The name of an interrupt controller's register (Intel SDM vol. 3, table 11-1; 82093AA).
fn device(address: u64) -> &'static str {
    match address {
        0xfee0_0020 => "LAPIC id",
        0xfee0_0080 => "LAPIC task priority",
        0xfee0_00b0 => "LAPIC end of interrupt",
        0xfee0_00f0 => "LAPIC spurious vector",
        0xfee0_0300 => "LAPIC interrupt command",
        0xfee0_0310 => "LAPIC interrupt destination",
        0xfee0_0320..0xfee0_0380 => "LAPIC local vector table",
        0xfee0_0380..0xfee0_03f0 => "LAPIC timer",
        0xfec0_0000..0xfee0_0000 => "IOAPIC",
        _ => "LAPIC",
    }
}

/// A place in brackets, to follow a name; empty if the place is unknown.
pub(in crate::cause) fn in_brackets(place: &str) -> String {
    if place.is_empty() { String::new() } else { format!(" ({place})") }
}

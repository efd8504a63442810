//! Names for what a trace holds: variables, functions, lines, stacks.

use probes::Stack;
use serde::Serialize;
use vmm::controlled::Choice;

use super::code;
use super::deed::Deed;
use super::scene::Stand;
use super::trace::{Access, Kind, Step, Target};
use crate::waits::Names;

/// An access by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The vCPU.
    pub vcpu: u32,
    /// The scheduling point, from 1; 0 if it never happens in the shortest schedule.
    pub point: u64,
    /// What it does.
    pub kind: Kind,
    /// The variable, the register or the port.
    pub variable: String,
    /// Its guest-physical address; empty for a port.
    pub address: String,
    /// Bytes.
    pub size: u8,
    /// What was there before.
    pub before: String,
    /// What was read, or is there now.
    pub value: String,
    /// The function, or an address that none has.
    pub function: String,
    /// How far into it the instruction is.
    pub offset: u64,
    /// The source file, as the compiler recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The instruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Whether it is part of an interrupt handler.
    pub in_handler: bool,
    /// Who called whom.
    pub stack: Vec<String>,
}

impl Named {
    /// `file.c:12`, or nothing.
    pub fn place(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => {
                format!("{}:{line}", file.rsplit('/').next().unwrap_or(file))
            }
            _ => String::new(),
        }
    }

    /// The function, and where in it.
    pub fn site(&self) -> String {
        format!("{}+{:#x}", self.function, self.offset)
    }

    /// "read", "store" or "update".
    pub fn noun(&self) -> &'static str {
        match self.kind {
            Kind::Read => "read",
            Kind::Write => "store",
            Kind::Update => "update",
        }
    }

    /// What it does with its value.
    pub fn change(&self) -> String {
        match self.kind {
            Kind::Read => format!("reads {}", self.value),
            Kind::Write => format!("stores {}", self.value),
            Kind::Update => format!("{} -> {}", self.before, self.value),
        }
    }

    /// Whose flow of control it is: a vCPU's, or that of its interrupt handlers.
    pub fn flow(&self) -> (u32, bool) {
        (self.vcpu, self.in_handler)
    }

    /// Whether both are of one flow of control.
    pub fn is_by_the_same_as(&self, other: &Self) -> bool {
        self.flow() == other.flow()
    }

    /// Its place in the order of the shortest schedule; what never comes is last.
    pub fn order(&self) -> u64 {
        if self.point == 0 { u64::MAX } else { self.point }
    }

    /// Who does it: a vCPU, or its interrupt handler.
    pub fn agent(&self) -> String {
        let handler = if self.in_handler { "'s handler" } else { "" };
        format!("vCPU {}{handler}", self.vcpu)
    }
}

/// A step by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamedStep {
    /// The scheduling point, from 1.
    pub point: u64,
    /// The vCPU.
    pub vcpu: u32,
    /// It takes an interrupt behind its access.
    pub interrupt: bool,
    /// It goes to sleep at its end.
    pub halts: bool,
    /// It happens because the schedule says so: a switch.
    pub switch: bool,
    /// And that is a preemption.
    pub preempts: bool,
    /// Its access, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<Named>,
}

/// Gives names.
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
            halts: step.halts,
            switch: step.deviates(),
            preempts: step.preempts(),
            access,
        }
    }

    /// The first time that it comes. `steps`: those of the run in which stacks were looked at.
    pub(super) fn deed(self, deed: &Deed, steps: &[Step]) -> Named {
        self.deed_behind(deed, steps, 0)
    }

    /// One that comes later than another: the first time behind it, as a loop comes round to the same.
    pub(super) fn later(self, deed: &Deed, first: &Named, steps: &[Step]) -> Named {
        self.deed_behind(deed, steps, first.point)
    }

    /// The first time behind this point, which counts from 1.
    fn deed_behind(self, deed: &Deed, steps: &[Step], point: u64) -> Named {
        let there = |step: &&Step| {
            step.vcpu() == deed.vcpu && step.stand == deed.stand && step.point + 1 > point
        };
        let comes = steps.iter().filter(there).find_map(|step| {
            step.access.as_ref().map(|access| self.access(deed.vcpu, step.point + 1, access))
        });
        comes.unwrap_or_else(|| self.access(deed.vcpu, 0, &deed.access))
    }

    fn access(self, vcpu: u32, point: u64, access: &Access) -> Named {
        let Self(Names { symbols, image }) = self;
        let (at, instruction) = code::instruction(access, image, symbols);
        let (variable, address) = match access.target {
            Target::Memory(address) => (self.0.variable(address), format!("{address:#x}")),
            Target::Device(address) => (device(address).to_owned(), format!("{address:#x}")),
            Target::Port(port) => (format!("port {port:#x}"), String::new()),
        };
        let (function, offset) = symbols
            .and_then(|symbols| symbols.function(at))
            .map_or_else(|| (format!("{at:#x}"), 0), |(name, offset)| (name.to_owned(), offset));
        let line = symbols.and_then(|symbols| symbols.line(at));
        let stack = Stack::new(&access.stack, symbols);
        // The innermost is where the vCPU stood: behind a store.
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
            stack,
        }
    }

    /// Where a vCPU stands.
    pub(super) fn stand(self, stand: Stand) -> String {
        Stack::new(&[stand.rip], self.0.symbols).to_string()
    }
}

/// The register of an interrupt controller (Intel SDM vol. 3, table 11-1; 82093AA).
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

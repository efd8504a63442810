//! Names what each vCPU waits for.

use std::fmt;

use inspect::unwind::{Unwinder as _, unwinder};
use inspect::{Stack, Symbols, image};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vmm::controlled::{Attention, Awaited, Store, Waiter, Waits};
use vmm::exit::little;
use vmm::memory::Memory;

/// One vCPU's row of the table.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Row {
    /// The vCPU.
    pub vcpu: u32,
    /// What it waits for: `change` (of a value), `interrupt`, `sipi`, or `nothing`; `loop` if it
    /// loops and changes only its own state, `time` if it reads a clock again and again, `endless`
    /// if it is in a loop that reads nothing.
    pub waits_for: String,
    /// Its interrupt state, where that matters: `interrupts off, vector 35 pending`, `in NMI`,
    /// `idle and interruptible`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub interrupts: String,
    /// Its stack, with names where there are symbols; empty for a vCPU that was never started.
    pub stack: String,
    /// The values whose change it waits for, or that its loop reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
}

/// A value whose change a vCPU waits for, or that its loop reads.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Value {
    /// The variable, or the guest-physical address.
    pub variable: String,
    /// The value that the vCPU reads there.
    pub value: String,
    /// Which vCPU wrote it last in this run, where, and at which scheduling point.
    pub last_writer: String,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.waits_for.as_str() {
            "sipi" => return write!(f, "vCPU {}: not started: waits for its SIPI", self.vcpu),
            "interrupt" => write!(f, "vCPU {}: sleeps", self.vcpu)?,
            "change" => write!(f, "vCPU {}: waits", self.vcpu)?,
            "loop" => {
                let what = "goes round a loop that changes only state of its own";
                write!(f, "vCPU {}: {what}", self.vcpu)?;
            }
            "endless" => write!(f, "vCPU {}: goes round an endless loop", self.vcpu)?,
            "time" => write!(f, "vCPU {}: waits for time to pass", self.vcpu)?,
            _ => write!(f, "vCPU {}: could run on", self.vcpu)?,
        }
        if !self.interrupts.is_empty() {
            write!(f, ", {}", self.interrupts)?;
        } else if self.waits_for == "interrupt" {
            // A finding of an earlier version has no interrupt state.
            f.write_str(", and no interrupt is on its way")?;
        }
        for (number, value) in self.values.iter().enumerate() {
            let joint = match (self.waits_for.as_str(), number) {
                ("loop", 0) => "; waits for",
                ("time", 0) => ", or for",
                (_, 0) if !self.interrupts.is_empty() => ", for",
                (_, 0) => " for",
                _ => " or",
            };
            write!(
                f,
                "{joint} {} to change from {} ({})",
                value.variable, value.value, value.last_writer
            )?;
        }
        write!(f, "\n  {}", self.stack)
    }
}

impl Row {
    /// The innermost function of its stack.
    pub fn function(&self) -> &str {
        self.stack.split(['+', ' ']).next().unwrap_or_default()
    }

    /// Whether another vCPU waits for the same kind of event in the same function.
    pub fn waits_like(&self, other: &Self) -> bool {
        self.waits_for == other.waits_for && self.function() == other.function()
    }

    /// What the vCPU does, in a few words.
    pub fn in_short(&self) -> String {
        let what = match self.waits_for.as_str() {
            "sipi" => return "is not started".into(),
            "interrupt" => "sleeps",
            "change" => "waits",
            "loop" => "goes round",
            "time" => "waits for time",
            "endless" => "goes round for ever",
            _ => "runs",
        };
        format!("{what} in {}", self.function())
    }
}

/// Names the functions and variables of waiting vCPUs.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The guest's symbols, if it has any.
    pub symbols: Option<&'a Symbols>,
    /// The guest's image, which maps guest-physical memory to linear addresses.
    pub image: &'a [u8],
}

impl Names<'_> {
    /// The rows of these vCPUs.
    pub fn table(&self, waiters: &[Waiter], memory: &Memory) -> Vec<Row> {
        waiters.iter().map(|waiter| self.row(waiter, memory)).collect()
    }

    fn row(&self, waiter: &Waiter, memory: &Memory) -> Row {
        let (waits_for, values) = match &waiter.waits {
            Waits::ForSipi => ("sipi", Vec::new()),
            Waits::ForInterrupt => ("interrupt", Vec::new()),
            Waits::ForChange(awaited) => {
                ("change", awaited.iter().map(|a| self.value(a)).collect())
            }
            Waits::Loop(read) => ("loop", read.iter().map(|a| self.value(a)).collect()),
            Waits::ForTime(read) => ("time", read.iter().map(|a| self.value(a)).collect()),
            Waits::Endless => ("endless", Vec::new()),
            Waits::Not => ("nothing", Vec::new()),
        };
        let stack = if waits_for == "sipi" {
            String::new()
        } else {
            let frames = unwinder().unwind(&waiter.registers, &waiter.system, memory);
            Stack::of(&frames, self.symbols).to_string()
        };
        let interrupts = interrupts(waiter);
        Row { vcpu: waiter.vcpu, waits_for: waits_for.into(), interrupts, stack, values }
    }

    fn value(&self, awaited: &Awaited) -> Value {
        let last_writer = match &awaited.writer {
            Some(store) => self.writer(store),
            None => "never written in this run".into(),
        };
        Value {
            variable: self.variable(awaited.address),
            value: number(&awaited.value),
            last_writer,
        }
    }

    fn writer(&self, store: &Store) -> String {
        // `rip` is after a plain store, so one byte before it lies inside the store's instruction,
        // as with return addresses.
        let inside = store.rip.wrapping_sub(1);
        let symbols = self.symbols;
        let function = symbols
            .and_then(|symbols| symbols.function(inside))
            .map_or_else(|| format!("{:#x}", store.rip), |(name, _)| name.to_owned());
        let line = symbols
            .and_then(|symbols| symbols.line(inside))
            .map(|line| {
                format!(" ({}:{})", line.file.rsplit('/').next().unwrap_or_default(), line.line)
            })
            .unwrap_or_default();
        format!(
            "written {} by vCPU {} in {function}{line} at point {}",
            number(&store.value),
            store.vcpu,
            store.point
        )
    }

    /// The function, and the line if it is known, of an address in the guest's code.
    pub fn place(&self, rip: u64) -> String {
        Stack::new(&[rip], self.symbols).to_string()
    }

    /// The name of the variable at a guest-physical address.
    pub fn variable(&self, physical: u64) -> String {
        let named = image::linear(self.image, physical).and_then(|address| {
            let (name, offset) = self.symbols?.data(address)?;
            Some(if offset == 0 { name.to_owned() } else { format!("{name}+{offset:#x}") })
        });
        named.unwrap_or_else(|| format!("gpa {physical:#x}"))
    }
}

fn number(bytes: &[u8]) -> String {
    format!("{:#x}", little(bytes))
}

/// The interrupt state of a vCPU, where it explains why the vCPU makes no progress. An interrupt
/// that is masked does not count as on its way.
fn interrupts(waiter: &Waiter) -> String {
    let Attention { on, pending, in_nmi } = waiter.attention;
    let mut told = Vec::new();
    if in_nmi {
        told.push("in NMI".to_owned());
    }
    match (&waiter.waits, pending) {
        (Waits::ForSipi, _) => return String::new(),
        (Waits::ForInterrupt, None) if on => {
            told.push("idle and interruptible, and no interrupt is on its way".into());
        }
        (Waits::ForInterrupt, None) => told.push("interrupts off".into()),
        (_, Some(vector)) if !on => told.push(format!("interrupts off, vector {vector} pending")),
        _ => {}
    }
    told.join(", ")
}

#[cfg(test)]
#[path = "waits_tests.rs"]
mod tests;

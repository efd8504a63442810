//! Descriptions of the points in the table: when a point fires, what it costs, and an example.

use inspect::suggest::nearest;
use wildmatch::WildMatchPattern;

use super::{Access, Class, Fixed, Mechanisms, Row, rows};

/// What a point costs the guest, in addition to the time of its scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// Nothing beyond what the scheduler does anyway.
    Nothing,
    /// A kick of the vCPU for each tick.
    Tick,
    /// Nothing beyond the exit, which the guest causes anyway.
    Exit {
        /// The doctor's self-test for this kind of exit, if there is one.
        id: Option<&'static str>,
    },
    /// A stop at an instruction: a breakpoint, or single steps up to it.
    Stop,
    /// A single step for each instruction.
    Step,
    /// A hit of a data watchpoint, or an exit for each access to a page.
    Watch,
    /// An exit for each access to a register.
    Register,
}

impl Price {
    /// The names of the doctor's self-tests that check what the host must support.
    pub fn self_tests(self) -> &'static [&'static str] {
        match self {
            Self::Nothing | Self::Register | Self::Exit { id: None } => &[],
            Self::Tick => &["kick"],
            Self::Exit { id: Some("port-exit") } => &["port-exit"],
            Self::Exit { id: Some(_) } => &["mmio-exit"],
            Self::Watch => &["watch-write", "watch-access", "watch-user", "mmio-exit"],
            Self::Stop => &["breakpoint", "single-step"],
            Self::Step => &["single-step"],
        }
    }
}

impl Row {
    /// What the point costs where it is available; `None` if no scheduler provides it.
    pub fn price(&self) -> Option<Price> {
        if self.never.is_some() {
            return None;
        }
        Some(match self.mechanism {
            Mechanisms::BREAKPOINTS => Price::Stop,
            Mechanisms::STEPS => Price::Step,
            Mechanisms::WATCHES => Price::Watch,
            Mechanisms::MSRS => Price::Register,
            Mechanisms::EXITS => Price::Exit {
                id: match self.name.as_str() {
                    "In" | "Out" => Some("port-exit"),
                    "MMIO_Read" | "MMIO_Write" => Some("mmio-exit"),
                    _ => None,
                },
            },
            _ if self.class == Class::Timer => Price::Tick,
            _ => Price::Nothing,
        })
    }

    /// What makes the point fire.
    pub fn means(&self) -> &'static str {
        match self.price() {
            None => "nothing",
            Some(Price::Nothing) => "the scheduler",
            Some(Price::Tick) => "a timer that kicks the vCPU's thread",
            Some(Price::Exit { .. }) => "an exit of KVM",
            Some(Price::Stop) => "hardware breakpoints, then int3 or single steps",
            Some(Price::Step) => "single steps",
            Some(Price::Watch) => {
                "in run, data watchpoints if they tell what the script uses (run -v says so); else \
                 pages without a memory slot"
            }
            Some(Price::Register) => "KVM's MSR filter",
        }
    }

    /// When the point fires.
    pub fn text(&self) -> &'static str {
        if let Some(fixed) = Fixed::ALL.iter().find(|fixed| fixed.name() == self.name) {
            return fixed.text();
        }
        match self.access() {
            Some(Access::Enter) => "A function is called, or an instruction is next.",
            Some(Access::Exit) => "A function has returned to its caller.",
            Some(Access::Offset) => "The instruction so far into a function is next.",
            Some(Access::Step) => "Each instruction of a function is next.",
            Some(Access::Read) => "Memory has been read.",
            Some(Access::Write) => "Memory has been written.",
            None => match self.name.as_str() {
                "VMM1Hz" => "Once a second on every vCPU that was started.",
                "VMM10Hz" => "Ten times a second on every vCPU that was started.",
                "VMX1Hz" => "Once a second, for the machine.",
                "VMX:TIMER:..." => "Once in each period, for the machine.",
                "VMX:PROFILE:..." => "Once in each period at an irregular time, for the machine.",
                "VMM:PROFILE:..." => "Once in each period at an irregular time, on every vCPU.",
                "VMM:TIMER:..." => "Once in each period, on every vCPU.",
                "MSR_Read:..." => "The guest reads the model-specific register of this number.",
                "MSR_Write:..." => "The guest writes the model-specific register of this number.",
                "USEC:..." => "Each so many microseconds, on every vCPU.",
                _ => "Never.",
            },
        }
    }

    /// A one-line Emmett script for the point. The names of functions and variables are those of
    /// the guest `tsc-sync`. `None` if no scheduler provides the point.
    pub fn example(&self) -> Option<String> {
        self.price()?;
        let point = match self.name.strip_suffix("...") {
            None => self.name.clone(),
            Some(family) => {
                let rest = match self.access() {
                    Some(Access::Enter | Access::Exit | Access::Step) => "determine_platform",
                    Some(Access::Offset) => "determine_platform:0x0",
                    Some(Access::Read | Access::Write) => "platform_type",
                    None if family == "USEC:" => "500",
                    // The register of every example is EFER.
                    None if self.mechanism == Mechanisms::MSRS => "0xc0000080",
                    None => "10msec",
                };
                format!("{family}{rest}")
            }
        };
        let is_of_machine = self.name.starts_with("VMX");
        let body = match (self.class, self.arguments) {
            (Class::Timer, _) if !is_of_machine => "hot[gueststack()]++;".into(),
            (Class::Timer | Class::Lifecycle, _) if is_of_machine => {
                r#"printf("%d vCPUs\n", NUMVCPUS);"#.into()
            }
            (Class::Exit, []) => "exits[EXITNAME]++;".into(),
            (_, []) => r#"printf("%d %s\n", VCPUID, symname(RIP));"#.into(),
            (_, arguments) => {
                let formats = vec!["%#x"; arguments.len()].join(" ");
                let names: Vec<_> = (0..arguments.len()).map(|n| format!("ARG{n}")).collect();
                format!(r#"printf("%d: {formats}\n", VCPUID, {});"#, names.join(", "))
            }
        };
        Some(format!("{point} {{ {body} }}"))
    }

    /// The kind of access, if the point is at an address.
    fn access(&self) -> Option<Access> {
        let place = self.name.strip_prefix("GUEST")?;
        let is = |access: &Access| {
            place.trim_start_matches([':', '_']).starts_with(&format!("{}:", access.name()))
        };
        let found = Access::ALL.into_iter().find(is);
        found.or_else(|| (place == ":...").then_some(Access::Enter))
    }
}

/// The error that a pattern matches no point of the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern} fits no probe point{hint}")]
pub struct NoRow {
    pattern: String,
    hint: String,
}

/// The points whose names match a pattern with `*` and `?`, in any case of letters. A name such as
/// `GUEST:ENTER:main` matches its family.
pub fn matching(pattern: &str) -> Result<Vec<Row>, NoRow> {
    let all = rows();
    let is = |a: &str, b: &str| WildMatchPattern::<'*', '?'>::new_case_insensitive(a).matches(b);
    let of = |fits: &dyn Fn(&Row) -> bool| -> Vec<Row> {
        all.iter().filter(|row| fits(row)).cloned().collect()
    };
    let found = of(&|row| is(pattern, &row.name));
    if !found.is_empty() {
        return Ok(found);
    }
    // The `...` of a family matches anything. `GUEST:ENTER:main` also matches the family
    // `GUEST:...`, but the longer name is meant.
    let mut families =
        of(&|row| row.name.ends_with("...") && is(&row.name.replace("...", "*"), pattern));
    let longest = families.iter().map(|row| row.name.len()).max().unwrap_or_default();
    families.retain(|row| row.name.len() == longest);
    if !families.is_empty() {
        return Ok(families);
    }
    let inside = of(&|row| is(&format!("*{pattern}*"), &row.name));
    let inside: Vec<&str> = inside.iter().map(|row| row.name.as_str()).take(5).collect();
    let names = all.iter().map(|row| row.name.trim_end_matches("..."));
    let hint = match (inside.as_slice(), nearest(pattern, names)) {
        ([], Some(near)) => format!("; did you mean {near}?"),
        ([], None) => String::new(),
        (inside, _) => format!("; in their names have it: {}", inside.join(", ")),
    };
    Err(NoRow { pattern: pattern.to_owned(), hint })
}

#[cfg(test)]
#[path = "about_tests.rs"]
mod tests;

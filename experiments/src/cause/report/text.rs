//! The report as text for a terminal of 100 columns.

use std::fmt::{self, Write as _};

use super::{CurvePoint, Pair, Report, TestedFault, Unordered, summary};
use crate::cause::naming::{Named, in_brackets};
use crate::cause::proof::Scope;
use crate::cause::trace::Kind;
use crate::cause::{FailureRate, Matters};

/// The maximum width of a line.
const WIDTH: usize = 100;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "{}, {} vCPUs: {}", machine.guest, machine.cpus, self.verdict)?;
        heading(f, if self.shown { "Cause" } else { "No cause" })?;
        for sentence in &self.summary {
            paragraph(f, 2, &sentence.replace('`', ""))?;
        }
        if self.shown && !self.pairs.is_empty() {
            self.accesses(f)?;
        }
        if !self.waits.is_empty() {
            heading(f, "At the end")?;
            for row in &self.waits {
                for line in row.to_string().lines() {
                    let indent = if line.starts_with(' ') { 4 } else { 2 };
                    paragraph(f, indent, line.trim())?;
                }
            }
        }
        self.real_time(f)?;
        self.figures(f)?;
        self.unordered(f)?;
        self.inevitable(f)?;
        self.shortest(f)?;
        let cost = &self.cost;
        writeln!(
            f,
            "\n{} runs to find it, {} for the figures, {:.1} s",
            cost.search_runs, cost.proof_runs, cost.seconds
        )
    }
}

impl Report {
    /// The accesses of the sentences, in the order that fails.
    fn accesses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for access in summary::told(&self.pairs, &self.steps) {
            let point = match access.point {
                0 => "never".into(),
                point => format!("point {point}"),
            };
            let what = match access.event() {
                Some(_) if access.kind == Kind::Off => {
                    format!("{point}: {} {}", access.agent(), access.change())
                }
                Some(_) if access.kind == Kind::Interrupt => {
                    format!("{point}: vCPU {} {}", access.vcpu, access.change())
                }
                Some(event) => format!("{point}: {event}"),
                None => format!(
                    "{point}: {} {} ({}, {} byte{}), {}",
                    access.agent(),
                    access.variable,
                    access.address,
                    access.size,
                    if access.size == 1 { "" } else { "s" },
                    access.change()
                ),
            };
            paragraph(f, 2, &what)?;
            let stack = if access.stack.is_empty() {
                format!("{}{}", access.site(), in_brackets(&access.place()))
            } else {
                access.stack.join(" < ")
            };
            paragraph(f, 4, &stack)?;
        }
        Ok(())
    }

    /// The same failure as observed by `run`.
    fn real_time(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(observed) = &self.observed else { return Ok(()) };
        heading(f, "The same in real time")?;
        let window = match &observed.window {
            Some(window) => format!(", no sign of life for {window}"),
            None => String::new(),
        };
        paragraph(f, 2, &format!("{}: {}{window}", observed.command, observed.verdict))?;
        for seen in &observed.vcpus {
            paragraph(f, 2, &format!("vCPU {}: {}", seen.vcpu, seen.doing))?;
            paragraph(f, 4, &seen.stack)?;
        }
        Ok(())
    }

    fn figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        heading(f, "Proof: runs at random, and how many fail")?;
        for Pair { first, second, reversed, scope, among, .. } in &self.pairs {
            let what = match scope {
                Scope::Everything => "",
                Scope::Region => ", with the segment closed to others",
                Scope::FromThere => ", from where it differs on",
            };
            let (one, two) = (short(second), short(first));
            figure(f, *reversed, &format!("{one} before {two}{what}"))?;
            if let Some(among) = among {
                figure(f, *among, "the same, with all other orders as they fail")?;
            }
        }
        if !self.pairs.is_empty() {
            figure(f, self.forced, "all orders as they fail")?;
            for condition in &self.conditions {
                paragraph(f, 6, &format!("and besides: {}", condition.replace('`', "")))?;
            }
        }
        if let Some(other) = &self.unrelated {
            let (first, second) = (short(&other.first), short(&other.second));
            figure(f, other.as_it_was, &format!("and, unrelated, {first} before {second}"))?;
            figure(f, other.turned, "and that turned round")?;
        }
        figure(f, self.chance, "nothing forced")?;
        for TestedFault { point, without, .. } in &self.faults {
            let orders = if self.pairs.is_empty() { "" } else { "all orders as they fail, " };
            figure(f, *without, &format!("{orders}without the fault at point {point}"))?;
        }
        if self.refuted > 0 {
            let plural = if self.refuted == 1 { "" } else { "s" };
            paragraph(
                f,
                2,
                &format!(
                    "{} more order{plural} looked like it and did not stand this test.",
                    self.refuted
                ),
            )?;
        }
        Ok(())
    }

    fn unordered(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.unordered.is_empty() {
            return Ok(());
        }
        heading(f, "Unordered: no lock, IPI or start comes between them")?;
        for Unordered { first, second, turned, matters } in &self.unordered {
            let round = format!("turned round, {} of {} fail", turned.failed, turned.runs);
            let verdict = match matters {
                Matters::Harmful => format!("harmful: {round}"),
                Matters::Sometimes => format!("may matter: {round}"),
                Matters::NoDifference => format!("makes no difference: {round}"),
                Matters::Wait => {
                    format!("the other order came about in none of {} runs", turned.runs)
                }
            };
            let place =
                |access: &Named| format!("{}{}", short(access), in_brackets(&access.place()));
            paragraph(f, 2, &format!("{} and {}: {verdict}", place(first), place(second)))?;
            for stack in [&first.stack, &second.stack].into_iter().filter(|it| !it.is_empty()) {
                paragraph(f, 4, &stack.join(" < "))?;
            }
        }
        Ok(())
    }

    fn inevitable(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(jump) = &self.jump else { return Ok(()) };
        heading(f, "When it became inevitable")?;
        let bar = |sample: &CurvePoint| {
            const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
            BARS[(sample.percent() as usize * 7).div_ceil(100).min(7)]
        };
        let failure_rates: String = self.failure_rates.iter().map(bar).collect();
        let (from, to) = (jump.before.percent(), jump.behind.percent());
        let steps = match (jump.before.steps, jump.behind.steps) {
            (before, behind) if before + 1 == behind => format!("step {behind}"),
            (before, behind) => format!("steps {} to {behind}", before + 1),
        };
        paragraph(
            f,
            2,
            &format!("{failure_rates}  from {from} % to {to} % at {steps}: {}", jump.what),
        )
    }

    fn shortest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schedule = &self.schedule;
        heading(f, "The shortest schedule")?;
        let count = |number: usize, what: &str| {
            format!("{number} {what}{}", if number == 1 { "" } else { "s" })
        };
        let mut text = format!(
            "{}, {}, {}",
            count(schedule.switches.len(), "switch").replace("switchs", "switches"),
            count(schedule.preemptions, "preemption"),
            count(self.steps.len(), "step")
        );
        match (schedule.systematic, schedule.preemptions, schedule.excluded) {
            (false, ..) => text.push_str("; the finding's own, shortened"),
            (true, 0, _) => {}
            (true, _, Some(most)) => {
                let _ = write!(text, "; none of up to {most} switches does with fewer preemptions");
            }
            (true, _, None) => text.push_str("; whether fewer would do was not tried to the end"),
        }
        paragraph(f, 2, &text)?;
        for switch in &schedule.switches {
            let free = if switch.preempts { "preempted" } else { "free" };
            let line = format!(
                "after point {}: {}, then {} ({free})",
                switch.point, switch.from, switch.to
            );
            paragraph(f, 4, &line)?;
        }
        paragraph(f, 2, &schedule.text)
    }
}

fn short(access: &Named) -> String {
    if let Some(event) = access.event() {
        let event = event.replace('`', "");
        let anywhere = access.kind == Kind::Interrupt;
        return if anywhere { event } else { format!("{event} in {}", access.function) };
    }
    format!("{}'s {} of {} in {}", access.agent(), access.noun(), access.variable, access.function)
}

fn figure(f: &mut fmt::Formatter<'_>, rate: FailureRate, what: &str) -> fmt::Result {
    let mut text = what.to_owned();
    if rate.unforced > 0 {
        let _ = write!(text, " (in {} it could not be kept)", rate.unforced);
    }
    if rate.otherwise > 0 {
        let _ = write!(text, " ({} fail otherwise)", rate.otherwise);
    }
    let lines = wrap(&text, WIDTH - 16);
    for (number, line) in lines.iter().enumerate() {
        if number == 0 {
            writeln!(f, "  {:>4} of {:<4}  {line}", rate.failed, rate.runs)?;
        } else {
            writeln!(f, "{:16}{line}", "")?;
        }
    }
    Ok(())
}

fn heading(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "\n{text}")
}

/// Writes a paragraph whose later lines are indented further.
fn paragraph(f: &mut fmt::Formatter<'_>, indent: usize, text: &str) -> fmt::Result {
    for (number, line) in wrap(text, WIDTH - indent - 2).iter().enumerate() {
        let indent = if number == 0 { indent } else { indent + 2 };
        writeln!(f, "{:indent$}{line}", "")?;
    }
    Ok(())
}

/// Breaks text into lines of at most `width` characters, at spaces and after `>` in schedules.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive([' ', '>']) {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + word.trim_end().chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;

//! The `monitor` commands.

use experiments::timeline::{Position, TimelineError};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, outputln};
use inspect::Stack;
use inspect::monitor::{Listed, list_stacks};
use inspect::unwind::{CallFrame, Unwinder as _, unwinder};
use vmm::controlled::About;

use super::target::Debugged;

const HELP: &str = "\
monitor point     where the replay is
monitor point N   lets the next `continue` go to scheduling point N, forwards or backwards
monitor stacks    the call stack of each vCPU
monitor waits     what each vCPU waits for
monitor schedule  the schedule around here";

/// How many segments of the schedule are shown before and after the current one.
const AROUND: usize = 5;

impl MonitorCmd for Debugged<'_> {
    fn handle_monitor_cmd(
        &mut self,
        command: &[u8],
        mut out: ConsoleOutput<'_>,
    ) -> Result<(), TimelineError> {
        let command = String::from_utf8_lossy(command);
        let words: Vec<_> = command.split_whitespace().collect();
        let answer = match words[..] {
            ["help"] => HELP.to_owned(),
            ["point"] => self.here(),
            ["point", number] => self.point(number),
            ["stacks"] => self.stacks()?,
            ["waits"] => self.waits()?,
            ["schedule"] => self.schedule(),
            _ => format!("no such command: {}\n{HELP}", command.trim().escape_debug()),
        };
        outputln!(out, "{answer}");
        Ok(())
    }
}

impl Debugged<'_> {
    fn here(&self) -> String {
        let (of, vcpu) = (self.timeline.recorded().points, self.timeline.vcpu());
        match self.timeline.position() {
            Position::End => {
                let verdict = &self.timeline.recorded().verdict;
                format!("at the end of the replay, after {of} points: {verdict}")
            }
            Position::At { point, executed: 0 } => {
                format!("at point {point} of {of}: vCPU {vcpu} is next")
            }
            Position::At { point, executed } => {
                let instructions = if executed == 1 { "instruction" } else { "instructions" };
                format!("{executed} {instructions} of vCPU {vcpu} after point {point} of {of}")
            }
        }
    }

    fn point(&mut self, number: &str) -> String {
        let of = self.timeline.recorded().points;
        match number.parse::<u64>() {
            Ok(number) if number <= of => {
                self.next_point = Some(number);
                format!("the next `continue` goes to point {number} of {of}")
            }
            _ => format!("{}: not a point: they are 0 to {of}", number.escape_debug()),
        }
    }

    fn stacks(&mut self) -> Result<String, TimelineError> {
        let mut listed = Vec::new();
        for vcpu in 0..self.timeline.vcpus() {
            let standing = self.timeline.standing(vcpu)?;
            let memory = self.timeline.machine().memory();
            let frames = match standing.about {
                About::Start => Vec::new(),
                _ => unwinder().unwind(&standing.registers, &standing.system, &**memory),
            };
            let heading = self.states.get(vcpu as usize).cloned().unwrap_or_default();
            listed.push(Listed { heading, frames });
        }
        let name = |frames: &[CallFrame]| Stack::of(frames, self.names.symbols);
        Ok(list_stacks(listed, name).trim_end().to_owned())
    }

    fn waits(&mut self) -> Result<String, TimelineError> {
        let machine = self.timeline.machine();
        let waiters = machine.waiters()?;
        let rows = self.names.table(&waiters, machine.memory());
        let rows: Vec<_> = rows.iter().map(|row| row.to_string().trim_end().to_owned()).collect();
        Ok(rows.join("\n"))
    }

    /// The segments around the current one, which is in brackets.
    fn schedule(&self) -> String {
        let before = self.timeline.choices_before() as u64;
        let segments = self.timeline.recorded().schedule.segments();
        let mut end = 0;
        let current = segments.iter().position(|segment| {
            end += segment.points;
            end > before
        });
        let current = current.unwrap_or(segments.len());
        let from = current.saturating_sub(AROUND);
        let mut shown: Vec<_> = segments.iter().enumerate().skip(from).collect();
        shown.truncate(2 * AROUND + 1);
        let more = shown.len() + from < segments.len();
        let mut parts: Vec<_> = (from > 0).then(|| "...".to_owned()).into_iter().collect();
        for (number, segment) in shown {
            let text = segment.to_string();
            parts.push(if number == current { format!("[{text}]") } else { text });
        }
        parts.extend(more.then(|| "...".to_owned()));
        parts.extend((current == segments.len()).then(|| "[end]".to_owned()));
        let (of, shown) = (segments.len(), parts.join(">"));
        if current == of {
            return format!("at the end, after {of} segments: {shown}");
        }
        format!("segment {} of {of}: {shown}", current + 1)
    }
}

//! The stack machine: fetches instructions, counts steps, calls and returns.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use vmm::hook::Context;

use super::{Cancel, Cause, Event, MAX_CALLS, MAX_STACK, MAX_TEXTS, Shared, State, Values};
use crate::code::{Code, Op, Probe, Routine};
use crate::ir::{Operator, Scan};

/// The most steps of all probes that fire at one stop of a vCPU. However many probes a script has,
/// a vCPU goes on, and a run ends, without a noticeable delay.
pub(super) const STEPS_PER_STOP: u64 = 1_000_000;
/// The number of steps between two readings of the clock.
const SLICE: u64 = 1024;

pub(super) type Result<T> = std::result::Result<T, Box<Cause>>;

/// How a firing that was not cancelled ended.
pub(super) enum End {
    Completed,
    Filtered,
}

/// What a return restores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    back: usize,
    base: usize,
    text_base: usize,
    /// Where the string stack ended before the strings that were made for the call.
    text_floor: usize,
}

/// An open `try`: where to continue after an error, and the stack heights to restore.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handler {
    at: usize,
    calls: usize,
    stack: usize,
    text_top: usize,
    base: usize,
    text_base: usize,
}

/// One firing of one probe.
pub(super) struct Firing<'a, 'c> {
    pub(super) code: &'a Code,
    pub(super) shared: &'a Shared,
    pub(super) state: &'a mut State,
    pub(super) probe: &'a Probe,
    pub(super) event: &'a Event,
    pub(super) context: &'a mut Context<'c>,
    pub(super) values: &'a mut Values,
    at: usize,
    /// The frame of the routine that runs.
    pub(super) base: usize,
    pub(super) text_base: usize,
    /// Steps until the next reading of the clock.
    fuel: u64,
    /// Steps that remain in the budget after `fuel`.
    reserve: u64,
    /// The steps that this firing was given.
    granted: u64,
    /// The thread's processor time at the first reading.
    started: Option<Duration>,
}

impl<'a, 'c> Firing<'a, 'c> {
    pub(super) fn new(
        code: &'a Code,
        shared: &'a Shared,
        state: &'a mut State,
        probe: &'a Probe,
        event: &'a Event,
        context: &'a mut Context<'c>,
        values: &'a mut Values,
    ) -> Self {
        state.stack.clear();
        state.text_top = 0;
        state.calls.clear();
        state.handlers.clear();
        let granted = shared.settings.budget.steps.min(STEPS_PER_STOP.saturating_sub(values.spent));
        let fuel = granted.min(SLICE);
        Self {
            code,
            shared,
            state,
            probe,
            event,
            context,
            values,
            at: 0,
            base: 0,
            text_base: 0,
            fuel,
            reserve: granted - fuel,
            granted,
            started: None,
        }
    }

    pub(super) fn run(&mut self) -> std::result::Result<End, Cancel> {
        let routine = self.probe.routine;
        self.at = routine.entry as usize;
        if let Err(cause) = self.open(&routine, 0) {
            return Err(Cancel { cause, place: None });
        }
        let end = loop {
            match self.go() {
                Ok(end) => break Ok(end),
                Err(cause) => match self.recover(cause) {
                    Ok(()) => {}
                    Err(cancel) => break Err(cancel),
                },
            }
        };
        self.values.spent += self.granted - (self.fuel + self.reserve);
        end
    }

    /// Continues in the innermost `catch`, or cancels the firing.
    fn recover(&mut self, cause: Box<Cause>) -> std::result::Result<(), Cancel> {
        let handler = if cause.can_be_caught() { self.state.handlers.pop() } else { None };
        let Some(handler) = handler else {
            let bounded = matches!(*cause, Cause::Steps(_) | Cause::StepsPerStop | Cause::Time(_));
            let failed = self.code.debug_spans.get(self.at.wrapping_sub(1)).copied().flatten();
            return Err(Cancel { cause, place: failed.filter(|_| !bounded) });
        };
        self.state.fault = Some(cause);
        self.state.calls.truncate(handler.calls);
        self.state.stack.truncate(handler.stack);
        self.state.text_top = handler.text_top;
        (self.base, self.text_base, self.at) = (handler.base, handler.text_base, handler.at);
        Ok(())
    }

    /// Reserves a routine's frame, of which the caller has already pushed `given` integers.
    fn open(&mut self, routine: &Routine, given: u32) -> Result<()> {
        let state = &mut *self.state;
        let integers = routine.frame.integers.saturating_sub(given) as usize;
        let strings = routine.frame.strings as usize;
        if state.stack.len() + integers + routine.depth as usize > MAX_STACK
            || state.text_top + strings + routine.text_depth as usize > MAX_TEXTS
        {
            return Err(Cause::Depth.into());
        }
        self.base = state.stack.len() - (given as usize).min(state.stack.len());
        state.stack.extend(std::iter::repeat_n(0, integers));
        self.text_base = state.text_top;
        for _ in 0..strings {
            self.push_text().clear();
        }
        Ok(())
    }

    pub(super) fn push(&mut self, value: u64) {
        self.state.stack.push(value);
    }

    /// Pops an integer. Code never pops more than it has pushed.
    pub(super) fn pop(&mut self) -> u64 {
        self.state.stack.pop().unwrap_or_default()
    }

    /// Takes the steps that an instruction costs beyond its own.
    pub(super) fn charge(&mut self, steps: u64) -> Result<()> {
        if let Some(left) = self.fuel.checked_sub(steps) {
            self.fuel = left;
            return Ok(());
        }
        self.refuel(steps)
    }

    #[cold]
    fn refuel(&mut self, steps: u64) -> Result<()> {
        let budget = self.shared.settings.budget;
        let all = self.fuel + self.reserve;
        let Some(left) = all.checked_sub(steps) else {
            (self.fuel, self.reserve) = (0, 0);
            return Err(if self.granted == budget.steps {
                Cause::Steps(budget.steps).into()
            } else {
                Cause::StepsPerStop.into()
            });
        };
        self.fuel = left.min(SLICE);
        self.reserve = left - self.fuel;
        let Some(limit) = budget.time else { return Ok(()) };
        let now = processor_time()?;
        let start = *self.started.get_or_insert(now);
        if now.saturating_sub(start) > limit {
            return Err(Cause::Time(limit).into());
        }
        Ok(())
    }

    #[allow(clippy::too_many_lines)] // the instruction set, one arm each
    fn go(&mut self) -> Result<End> {
        loop {
            let Some(&op) = self.code.ops.get(self.at) else { return Ok(End::Completed) };
            self.at += 1;
            self.charge(1)?;
            match op {
                Op::Constant(value) => self.push(value),
                Op::Get(slot) => {
                    let value = self.state.integers.get(slot as usize).copied();
                    self.push(value.unwrap_or_default());
                }
                Op::Set(slot) => {
                    let value = self.pop();
                    if let Some(variable) = self.state.integers.get_mut(slot as usize) {
                        *variable = value;
                    }
                }
                Op::GetShared(slot) => {
                    let variable = self.shared.integers.get(slot as usize);
                    self.push(variable.map_or(0, |variable| variable.load(SeqCst)));
                }
                Op::SetShared(slot) => {
                    let value = self.pop();
                    if let Some(variable) = self.shared.integers.get(slot as usize) {
                        variable.store(value, SeqCst);
                    }
                }
                Op::UpdateShared(slot, operator) => self.update_shared(slot, operator)?,
                Op::GetLocal(local) => {
                    let value = self.local(local);
                    self.push(value);
                }
                Op::SetLocal(local) => {
                    let value = self.pop();
                    if let Some(slot) = self.state.stack.get_mut(self.base + local as usize) {
                        *slot = value;
                    }
                }
                Op::Duplicate => {
                    let top = self.state.stack.last().copied();
                    self.push(top.unwrap_or_default());
                }
                Op::Drop => {
                    self.pop();
                }
                Op::Builtin(index) => self.builtin(index)?,
                Op::Binary(operator) => {
                    let b = self.pop();
                    let a = self.pop();
                    self.push(operator.apply(a, b).ok_or(Cause::DivisionByZero)?);
                }
                Op::BinaryConstant(operator, b) => {
                    let a = self.pop();
                    self.push(operator.apply(a, b.into()).ok_or(Cause::DivisionByZero)?);
                }
                Op::Not => {
                    let a = self.pop();
                    self.push(u64::from(a == 0));
                }
                Op::Complement => {
                    let a = self.pop();
                    self.push(!a);
                }
                Op::Jump(aim) => self.at = aim as usize,
                Op::JumpIfZero(aim) => {
                    if self.pop() == 0 {
                        self.at = aim as usize;
                    }
                }
                Op::JumpUnlessZero(aim) => {
                    if self.pop() != 0 {
                        self.at = aim as usize;
                    }
                }
                Op::Call { function, temporaries } => self.call(function, temporaries)?,
                Op::ReturnInteger => {
                    let value = self.pop();
                    self.back();
                    self.push(value);
                }
                Op::ReturnString => self.back_with_text(),
                Op::Try(handler) => self.begin_try(handler)?,
                Op::EndTry => {
                    self.state.handlers.pop();
                }
                Op::Exit => return Ok(End::Completed),
                Op::Filtered => return Ok(End::Filtered),
                Op::Unload => {
                    self.shared.unloaded.store(true, std::sync::atomic::Ordering::Relaxed);
                    return Ok(End::Completed);
                }
                Op::Raise => return Err(Cause::Assertion.into()),
                Op::Print(format) => self.print(format)?,
                Op::GuestStack => self.guest_stack()?,
                Op::Load(space, size) => self.load(space, size)?,
                Op::LoadText(space) => self.load_text(space)?,
                Op::SystemTime => {
                    let time = self.shared.settings.clock.microseconds(self.context.now);
                    self.push(time);
                }
                Op::GeneralRegister => self.general_register()?,
                Op::ModelRegister => self.model_register()?,
                Op::Task(value) => self.task_value(value)?,
                Op::Scan(scan) => {
                    let callee = if scan == Scan::Source { self.pop() } else { 0 };
                    self.scan(scan, callee)?;
                }
                Op::Destructive(action, count) => self.action(action, count)?,
                Op::Dump => self.dump()?,
                Op::Aggregate(index) => self.aggregate(index)?,
                Op::AggregateRead(index, reading) => self.aggregate_read(index, reading)?,
                Op::LogAggregate(index) => self.log_aggregate(index)?,
                Op::ClearAggregate(index) => self.clear_aggregate(index)?,
                Op::BagInsert(index) => self.bag_insert(index)?,
                Op::BagRemove(index) => self.bag_remove(index)?,
                strings => self.string_op(strings)?,
            }
        }
    }

    /// Changes a shared variable atomically.
    fn update_shared(&mut self, slot: u32, operator: Operator) -> Result<()> {
        let by = self.pop();
        let Some(variable) = self.shared.integers.get(slot as usize) else {
            self.push(0);
            return Ok(());
        };
        let before = variable
            .try_update(SeqCst, SeqCst, |value| operator.apply(value, by))
            .map_err(|_| Cause::DivisionByZero)?;
        self.push(operator.apply(before, by).unwrap_or_default());
        Ok(())
    }

    pub(super) fn local(&self, local: u32) -> u64 {
        self.state.stack.get(self.base + local as usize).copied().unwrap_or_default()
    }

    fn call(&mut self, function: u32, temporaries: u32) -> Result<()> {
        let Some(routine) = self.code.functions.get(function as usize) else { return Ok(()) };
        if self.state.calls.len() >= MAX_CALLS {
            return Err(Cause::Depth.into());
        }
        let call = Call {
            back: self.at,
            base: self.base,
            text_base: self.text_base,
            text_floor: self.state.text_top.saturating_sub(temporaries as usize),
        };
        self.open(routine, routine.parameters)?;
        self.state.calls.push(call);
        self.at = routine.entry as usize;
        Ok(())
    }

    /// Leaves a function: drops its frame and the strings that were made for its call.
    fn back(&mut self) {
        let Some(call) = self.state.calls.pop() else { return };
        let depth = self.state.calls.len();
        while self.state.handlers.last().is_some_and(|handler| handler.calls > depth) {
            self.state.handlers.pop();
        }
        self.state.stack.truncate(self.base);
        self.state.text_top = call.text_floor;
        (self.at, self.base, self.text_base) = (call.back, call.base, call.text_base);
    }

    fn back_with_text(&mut self) {
        let top = self.state.text_top.saturating_sub(1);
        self.back();
        let floor = self.state.text_top;
        // The returned string takes the place of the first string that was made for the call.
        if floor < top && top < self.state.texts.len() {
            self.state.texts.swap(floor, top);
        }
        self.state.text_top = floor + 1;
    }

    fn begin_try(&mut self, handler: u32) -> Result<()> {
        if self.state.handlers.len() >= MAX_CALLS {
            return Err(Cause::Depth.into());
        }
        self.state.handlers.push(Handler {
            at: handler as usize,
            calls: self.state.calls.len(),
            stack: self.state.stack.len(),
            text_top: self.state.text_top,
            base: self.base,
            text_base: self.text_base,
        });
        Ok(())
    }
}

/// The processor time that the thread has used.
fn processor_time() -> Result<Duration> {
    use nix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map_err(|errno| Cause::Host { what: "the thread's processor time", errno })?;
    Ok(time.into())
}

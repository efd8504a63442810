//! The probes of one vCPU as a hook of the scheduler.

use std::sync::Arc;
use std::time::Duration;

use vmm::controlled::Choice;
use vmm::exit::{Entry, Exit, little};
use vmm::hook::{Access, ApicEvent, Context, Hook, MsrAccess, Points, Verdict};

use super::common::Common;
use super::counts::Counters;
use super::stops::Stops;
use super::timer::Timer;
use crate::code::Code;
use crate::engine::{Engine, Event, Values};
use crate::point::{Class, Fixed, Mechanisms, Point};
use crate::trace::Firings;

/// The probes of one vCPU. It is the [`Hook`] that fires the probes at each event.
#[derive(Debug)]
pub struct VcpuProbes {
    engine: Engine,
    /// The engine for the machine's own points; only the boot processor has one.
    machine: Option<Engine>,
    pub(super) counters: Arc<Counters>,
    /// The probes at each point, in the order of the script.
    pub(super) points: Vec<(Point, Vec<usize>)>,
    timers: Vec<Timer>,
    /// Probes on timers in the order of the script: the probe, and its timer in `timers`.
    on_tick: Vec<(usize, usize)>,
    /// For each timer, how many ticks were missed before the one that is being handled; `None` if
    /// the timer isn't due.
    due: Vec<Option<u64>>,
    pub(super) stops: Stops,
    pub(super) common: Arc<Common>,
    /// Where firings are traced.
    firings: Option<Firings>,
    /// For each probe, whether it belongs to the machine and not to a vCPU.
    of_machine: Vec<bool>,
    /// The kind of the last exit; empty if the guest did not cause that exit.
    last: &'static str,
}

impl VcpuProbes {
    pub(super) fn new(
        vcpu: u32,
        code: &Code,
        engine: Engine,
        machine: Option<Engine>,
        counters: Arc<Counters>,
        common: Arc<Common>,
    ) -> Self {
        let of_machine: Vec<bool> =
            code.probes.iter().map(|probe| !probe.point.is_in_vcpu()).collect();
        let here = |index: usize| machine.is_some() || of_machine.get(index) == Some(&false);
        let mut timers: Vec<(Point, Timer)> = Vec::new();
        let mut on_tick = Vec::new();
        let mut points: Vec<(Point, Vec<usize>)> = Vec::new();
        for (index, probe) in code.probes.iter().enumerate().filter(|(index, _)| here(*index)) {
            let Some(timer) = probe.point.timer() else {
                match points.iter_mut().find(|(point, _)| *point == probe.point) {
                    Some((_, probes)) => probes.push(index),
                    None => points.push((probe.point, vec![index])),
                }
                continue;
            };
            let known = timers.iter().position(|(point, _)| *point == probe.point);
            let timer = known.unwrap_or_else(|| {
                timers.push((probe.point, Timer::new(timer, vcpu)));
                timers.len() - 1
            });
            on_tick.push((index, timer));
        }
        let timers: Vec<Timer> = timers.into_iter().map(|(_, timer)| timer).collect();
        let due = Vec::with_capacity(timers.len());
        let stops = Stops::new(points.iter().filter_map(|(point, _)| point.address()));
        let last = "";
        Self {
            engine,
            machine,
            counters,
            points,
            timers,
            on_tick,
            due,
            stops,
            common,
            firings: None,
            of_machine,
            last,
        }
    }

    /// Sets where firings are traced.
    pub(super) fn traced(self, firings: Option<Firings>) -> Self {
        Self { firings, ..self }
    }

    /// Runs the probes at a point that the vCPU has reached, and returns how many there are.
    pub fn fire(&mut self, point: Point, event: &Event, context: &mut Context) -> usize {
        self.at(point, event, context, &mut Values::default())
    }

    pub(super) fn at(
        &mut self,
        point: Point,
        event: &Event,
        context: &mut Context,
        values: &mut Values,
    ) -> usize {
        let Some(index) = self.points.iter().position(|(known, _)| *known == point) else {
            return 0;
        };
        let mut count = 0;
        while let Some(probe) =
            self.points.get(index).and_then(|(_, probes)| probes.get(count)).copied()
        {
            self.run(probe, event, context, values);
            count += 1;
        }
        count
    }

    fn run(&mut self, probe: usize, event: &Event, context: &mut Context, values: &mut Values) {
        let of_machine = self.of_machine.get(probe).copied().unwrap_or_default();
        let engine = match &mut self.machine {
            Some(machine) if of_machine => machine,
            _ => &mut self.engine,
        };
        let outcome = engine.fire(probe, event, context, values);
        self.counters.fired(probe, outcome);
        if let Some(firings) = &self.firings {
            firings.reached(probe, outcome, context.now);
        }
    }

    fn has(&self, wanted: impl Fn(Fixed) -> bool) -> bool {
        self.points.iter().any(|(point, _)| match point {
            Point::Fixed(fixed) => wanted(*fixed),
            Point::Timer(_) | Point::Address(_) | Point::Msr(_) => false,
        })
    }
}

impl Hook for VcpuProbes {
    fn points(&self) -> Points {
        // `STOP` is always wanted: the output may end in a line without a newline, which is flushed
        // there.
        let mut points = Points::STOP;
        if self.has(|fixed| matches!(fixed, Fixed::VmmLoad | Fixed::VmxLoad)) {
            points |= Points::START;
        }
        if self.has(|fixed| fixed.class() == Class::Exit && fixed != Fixed::Halt) {
            points |= Points::EXIT;
        }
        if self.has(|fixed| fixed == Fixed::HvResume) {
            points |= Points::ENTRY;
        }
        if !self.stops.is_empty() {
            points |= Points::BREAKPOINT;
        }
        let apics = Mechanisms::APICS | Mechanisms::INTERRUPTS;
        // Under the controlled scheduler, a SIPI is reported as an APIC event and not as an exit.
        if self.has(|fixed| fixed.mechanism().intersects(apics) || fixed == Fixed::ApStart) {
            points |= Points::APIC;
        }
        if self.has(|fixed| fixed.mechanism() == Mechanisms::SCHEDULING) {
            points |= Points::CHOICE;
        }
        if self.has(|fixed| fixed == Fixed::Hang) {
            points |= Points::HANG;
        }
        points
    }

    fn breakpoints(&self) -> &[u64] {
        self.stops.wanted()
    }

    fn breakpoint(&mut self, context: &mut Context, address: u64) -> Verdict {
        self.stand_at(address, context);
        Verdict::Continue
    }

    fn access(&mut self, context: &mut Context, access: &Access) -> Verdict {
        self.accessed(access, context);
        Verdict::Continue
    }

    fn msr(&mut self, context: &mut Context, access: &MsrAccess) -> Verdict {
        self.on_msr(access, context);
        Verdict::Continue
    }

    fn apic(&mut self, context: &mut Context, event: &ApicEvent) -> Verdict {
        self.on_apic(event, context);
        Verdict::Continue
    }

    fn choice(&mut self, context: &mut Context, choice: Choice) {
        self.on_choice(choice, context);
    }

    fn hang(&mut self, context: &mut Context, proven: bool) {
        self.on_hang(proven, context);
    }

    fn start(&mut self, context: &mut Context) {
        let mut values = Values::default();
        for fixed in [Fixed::VmxLoad, Fixed::VmmLoad] {
            self.at(Point::Fixed(fixed), &Event::default(), context, &mut values);
        }
    }

    fn exit(&mut self, context: &mut Context, exit: &Exit) -> Verdict {
        // The host causes a kick, not the guest.
        self.last = if exit.is_guest_activity() { exit.name() } else { "" };
        if self.last.is_empty() {
            return Verdict::Continue;
        }
        let mut values = Values::default();
        let any = Event { exit: self.last, ..Event::default() };
        self.at(Point::Fixed(Fixed::HvExit), &any, context, &mut values);
        // An access to a trapped page exits as MMIO, but it is an access to RAM.
        let is_ram = match exit {
            Exit::MmioRead { address, .. } | Exit::MmioWrite { address, .. } => {
                context.memory.is_trapped(*address)
            }
            _ => false,
        };
        if let Some((fixed, arguments)) = of_exit(exit).filter(|_| !is_ram) {
            let event = Event { arguments, exit: self.last };
            self.at(Point::Fixed(fixed), &event, context, &mut values);
        }
        Verdict::Continue
    }

    fn entry(&mut self, context: &mut Context, _entry: &Entry) {
        if self.last.is_empty() {
            return;
        }
        let event = Event { exit: self.last, ..Event::default() };
        self.at(Point::Fixed(Fixed::HvResume), &event, context, &mut Values::default());
    }

    fn next_tick(&self) -> Option<Duration> {
        self.timers.iter().map(Timer::next).min()
    }

    fn tick(&mut self, context: &mut Context) -> Verdict {
        let now = context.now;
        self.due.clear();
        self.due.extend(self.timers.iter_mut().map(|timer| timer.advance(now).map(|d| d.missed)));
        let mut values = Values::default();
        for index in 0..self.on_tick.len() {
            let Some(&(probe, timer)) = self.on_tick.get(index) else { continue };
            let of_machine = self.of_machine.get(probe).copied().unwrap_or_default();
            // An AP that has not been started has no meaningful state.
            if !context.started && !of_machine {
                continue;
            }
            if let Some(Some(missed)) = self.due.get(timer).copied() {
                self.counters.missed(probe, missed);
                self.run(probe, &Event::default(), context, &mut values);
            }
        }
        Verdict::Continue
    }

    fn stop(&mut self, context: &mut Context) {
        let mut values = Values::default();
        for fixed in [Fixed::VmmUnload, Fixed::VmxUnload] {
            self.at(Point::Fixed(fixed), &Event::default(), context, &mut values);
        }
        self.engine.finish();
        if let Some(machine) = &mut self.machine {
            machine.finish();
        }
    }
}

/// The point that corresponds to an exit, and its arguments.
fn of_exit(exit: &Exit) -> Option<(Fixed, [u64; 10])> {
    let (fixed, arguments) = match exit {
        Exit::PortRead { port, size, count } => {
            (Fixed::In, [u64::from(*port), u64::from(*size), u64::from(*count), 0])
        }
        Exit::PortWrite { port, size, data } => {
            let count = data.len() / usize::from(*size).max(1);
            let value = little(data.get(..usize::from(*size)).unwrap_or(data));
            (Fixed::Out, [u64::from(*port), u64::from(*size), count as u64, value])
        }
        Exit::MmioRead { address, size } => (Fixed::MmioRead, [*address, u64::from(*size), 0, 0]),
        Exit::MmioWrite { address, data } => {
            (Fixed::MmioWrite, [*address, data.len() as u64, little(data), 0])
        }
        Exit::ApStart => (Fixed::ApStart, [0; 4]),
        Exit::Shutdown => (Fixed::TripleFault, [0; 4]),
        _ => return None,
    };
    Some((fixed, Event::new(&arguments).arguments))
}

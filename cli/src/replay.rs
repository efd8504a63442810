//! `jitterbug replay`: runs a finding again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use experiments::finding::image_hash;
use experiments::follow::obstacle;
use experiments::{Finding, Recorded, follow, replay};
use probes::engine::Changes;
use probes::session::ProbeCount;
use probes::{Options, Symbols};
use vmm::controlled::Ending;
use vmm::hook::Attach;
use vmm::{Host, MachineConfig};

use crate::args::{Cli, ReplayArgs};
use crate::guest::Guest;
use crate::scripts::{self, Probing, Scripts, warn_of_silent_probes};
use crate::status::{Status, conclude};
use crate::tell;
use crate::trace::Tracing;

/// Everything that stays the same from one replay to the next.
struct Setting<'a> {
    args: &'a ReplayArgs,
    finding: &'a Finding,
    recorded: Recorded,
    machine: MachineConfig,
    symbols: Option<Arc<Symbols>>,
    host: Host,
}

/// Runs a finding as often as asked, and says whether it happened again.
pub(crate) fn run(cli: &Cli, args: &ReplayArgs) -> Result<Status> {
    let finding = Finding::read(&args.finding)?;
    let recorded = Recorded::try_from(&finding)?;
    let guest = Guest::of_finding(&finding, &args.finding, args.guest.as_deref())?;
    let machine = finding.machine.config(guest.image.clone())?;
    let symbols = guest.symbols(args.probing.symbols.as_deref())?;
    let same = image_hash(&guest.image.bytes) == finding.machine.guest_hash;
    if !same {
        check_other_build(&guest, &finding, symbols.as_deref())?;
    }
    let scripts = Scripts::load(&args.probing, symbols.as_ref(), &machine, &Options::controlled())?;
    let host = Host::open(&cli.kvm)?;
    if let Some(scripts) = &scripts {
        scripts.check(&host)?;
    }
    let mut watch = Watch {
        scripts,
        tracing: Tracing::check(args.probing.trace.as_deref())?,
        title: format!("{}: {}", machine.guest.name, finding.verdict),
        vcpus: machine.cpus.get(),
        counts: Vec::new(),
        changes: Changes::default(),
        time: Duration::ZERO,
    };
    let setting = Setting { args, finding: &finding, recorded, machine, symbols, host };
    let status =
        if same { setting.same_build(&mut watch)? } else { setting.another_build(&mut watch)? };
    conclude(status, watch.finish())
}

impl Setting<'_> {
    fn same_build(&self, watch: &mut Watch) -> Result<Status> {
        let Self { finding, recorded, machine, host, .. } = self;
        for number in 1..=self.args.repeat {
            let replayed = watch.run(|hooks| {
                let replayed = replay(host, recorded, machine, hooks)?;
                Ok((replayed.ending, replayed.time, replayed.dumps, replayed.divergence))
            })?;
            if let Some(divergence) = replayed {
                tell::user(&format!("jitterbug: replay {number}: not reproduced: {divergence}"));
                return Ok(Status::Failure);
            }
        }
        tell::user(&format!(
            "jitterbug: reproduced{}: {}, {} points, hash {}",
            self.times(),
            finding.verdict,
            finding.run.points,
            finding.run.hash
        ));
        Ok(Status::Clean)
    }

    /// Follows the finding on another image than the one that it is about.
    fn another_build(&self, watch: &mut Watch) -> Result<Status> {
        let Self { finding, recorded, machine, host, .. } = self;
        tell::user(&format!(
            "jitterbug: {} is another build: following by symbol+offset and hit counts",
            machine.guest.name
        ));
        let symbols = self.symbols.as_deref();
        for number in 1..=self.args.repeat {
            let followed = watch.run(|hooks| {
                let followed = follow(host, finding, &recorded.schedule, machine, symbols, hooks)?;
                Ok((followed.ending.clone(), followed.time, followed.dumps.clone(), followed))
            })?;
            let of = followed.found + followed.missed.len();
            let switches = format!("{} of {of} switches found their place", followed.found);
            if let Some(difference) = followed.difference {
                let carried = followed.missed.is_empty();
                let what = if carried { "not reproduced" } else { "not carried over" };
                tell::user(&format!(
                    "jitterbug: replay {number}: {what}: {difference}; {switches}"
                ));
                for miss in followed.missed.iter().take(SHOWN) {
                    tell::user(&format!("  {miss}"));
                }
                // Another run than the finding's says nothing of its failure.
                return Ok(if carried { Status::Failure } else { Status::NotCarried });
            }
            if number == self.args.repeat {
                tell::user(&format!(
                    "jitterbug: reproduced{} (same verdict, on another build): {}; {switches}",
                    self.times(),
                    followed.ending
                ));
            }
        }
        Ok(Status::Clean)
    }

    fn times(&self) -> String {
        match self.args.repeat {
            1 => String::new(),
            repeat => format!(" {repeat} times"),
        }
    }
}

/// Refuses an image on which the finding can't be followed.
fn check_other_build(guest: &Guest, finding: &Finding, symbols: Option<&Symbols>) -> Result<()> {
    let Some(obstacle) = obstacle(finding, symbols) else { return Ok(()) };
    bail!(
        "{}: not the image that the finding is about (hash {}, recorded {}), and it can't be \
         followed as another build of it: {obstacle}",
        guest.image.name,
        image_hash(&guest.image.bytes),
        finding.machine.guest_hash
    );
}

/// How many missed switches are told.
const SHOWN: usize = 3;

/// Who looks on, and what they have seen in all replays.
struct Watch {
    scripts: Option<Scripts>,
    tracing: Option<Tracing>,
    /// What the trace is called, and how many tracks it has.
    title: String,
    vcpus: u32,
    counts: Vec<Vec<ProbeCount>>,
    changes: Changes,
    /// How much virtual time the replays took.
    time: Duration,
}

impl Watch {
    /// Makes one replay, and prints what the scripts have to say of it.
    fn run<T>(
        &mut self,
        replay: impl FnOnce(&[&dyn Attach]) -> vmm::Result<(Ending, Duration, Vec<PathBuf>, T)>,
    ) -> Result<T> {
        let tracing = self.tracing.as_ref();
        let trace = tracing.and_then(|tracing| tracing.start(&self.title, self.vcpus));
        let probing = match &self.scripts {
            // A replay has no delays to draw.
            Some(scripts) => {
                Some(scripts.start(0, |line| tell::user(&line.text()), trace.as_ref())?)
            }
            None => None,
        };
        let mut hooks: Vec<&dyn Attach> = Vec::new();
        hooks.extend(trace.as_ref().map(|trace| -> &dyn Attach { trace }));
        hooks.extend(probing.as_ref().map(Probing::hook));
        let (ending, time, dumps, replayed) = replay(&hooks)?;
        self.time += time;
        if let (Some(tracing), Some(trace)) = (tracing, &trace) {
            // They are all the same, until one is not, which is the last.
            tracing.end(trace, false);
        }
        if let Some(probing) = probing {
            let (counts, changes) = probing.finish(ending.is_failure())?;
            self.counts.push(counts);
            self.changes.add(&changes);
        }
        for line in scripts::dumps(&dumps, &[]) {
            tell::user(&line);
        }
        Ok(replayed)
    }

    /// All replays are over. What went wrong with what they were to leave behind.
    fn finish(&self) -> Vec<anyhow::Error> {
        let counts: Vec<_> = self.counts.iter().map(Vec::as_slice).collect();
        let ran = format!("the guest ran for {:.6} s of virtual time", self.time.as_secs_f64());
        warn_of_silent_probes(&counts, &ran);
        let mut problems = Vec::new();
        problems.extend(self.tracing.as_ref().and_then(|tracing| tracing.finish().err()));
        if let Some(scripts) = &self.scripts {
            scripts.tell_changes(&self.changes, counts.len());
            problems.extend(scripts.finish().err());
        }
        problems
    }
}

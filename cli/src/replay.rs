//! `jitterbug replay`: runs a finding again.

use anyhow::{Context, Result, bail};
use experiments::finding::image_hash;
use experiments::follow::obstacle;
use experiments::{Finding, Recorded, Replay, follow, replay};
use vmm::{Host, MachineConfig};

use crate::args::{Cli, ReplayArgs};
use crate::guest::Guest;
use crate::status::Status;
use crate::tell;

/// Runs a finding as often as asked, and says whether it happened again.
pub(crate) fn run(cli: &Cli, args: &ReplayArgs) -> Result<Status> {
    let finding = Finding::read(&args.finding)?;
    let recorded = Recorded::try_from(&finding)?;
    let name = args.guest.as_deref().unwrap_or(&finding.machine.guest);
    let guest = Guest::find(name).context("the finding's guest (name another place by --guest)")?;
    let machine = finding.machine.config(guest.image.clone())?;
    let hash = image_hash(&guest.image.bytes);
    if hash != finding.machine.guest_hash {
        return another_build(cli, args, &finding, &recorded, &guest, &machine);
    }
    let host = Host::open(&cli.kvm)?;
    for number in 1..=args.repeat {
        if let Replay::Diverged(divergence) = replay(&host, &recorded, &machine)? {
            tell::user(&format!("jitterbug: replay {number}: not reproduced: {divergence}"));
            return Ok(Status::Failure);
        }
    }
    tell::user(&format!(
        "jitterbug: reproduced{}: {}, {} points, hash {}",
        times(args),
        finding.verdict,
        finding.run.points,
        finding.run.hash
    ));
    Ok(Status::Clean)
}

/// Follows a finding on another image than the one that it is about.
fn another_build(
    cli: &Cli,
    args: &ReplayArgs,
    finding: &Finding,
    recorded: &Recorded,
    guest: &Guest,
    machine: &MachineConfig,
) -> Result<Status> {
    let name = &guest.image.name;
    let symbols = guest.symbols(args.symbols.as_deref())?;
    if let Some(obstacle) = obstacle(finding, symbols.as_deref()) {
        bail!(
            "{name}: not the image that the finding is about (hash {}, recorded {}), and it can't be \
             followed as another build of it: {obstacle}",
            image_hash(&guest.image.bytes),
            finding.machine.guest_hash
        );
    }
    tell::user(&format!(
        "jitterbug: {name} is another build: following by symbol+offset and hit counts"
    ));
    let host = Host::open(&cli.kvm)?;
    for number in 1..=args.repeat {
        let followed = follow(&host, finding, &recorded.schedule, machine, symbols.as_deref())?;
        let of = followed.found + followed.missed.len();
        let switches = format!("{} of {of} switches found their place", followed.found);
        if let Some(difference) = followed.difference {
            tell::user(&format!(
                "jitterbug: replay {number}: not reproduced: {difference}; {switches}"
            ));
            for miss in followed.missed.iter().take(SHOWN) {
                tell::user(&format!("  {miss}"));
            }
            return Ok(Status::Failure);
        }
        if number == args.repeat {
            tell::user(&format!(
                "jitterbug: reproduced{} (same verdict, on another build): {}; {switches}",
                times(args),
                followed.verdict
            ));
        }
    }
    Ok(Status::Clean)
}

/// How many missed switches are told.
const SHOWN: usize = 3;

fn times(args: &ReplayArgs) -> String {
    if args.repeat == 1 { String::new() } else { format!(" {} times", args.repeat) }
}

//! `jitterbug replay`: runs a finding again.

use anyhow::{Context, Result, bail};
use experiments::{Finding, Recorded, Replay, replay};
use vmm::Host;

use crate::args::{Cli, ReplayArgs};
use crate::guest::Guest;
use crate::status::Status;
use crate::tell;

/// Runs a finding as often as asked, and says whether it happened again exactly as recorded.
pub(crate) fn run(cli: &Cli, args: &ReplayArgs) -> Result<Status> {
    let finding = Finding::read(&args.finding)?;
    let recorded = Recorded::try_from(&finding)?;
    let name = args.guest.as_deref().unwrap_or(&finding.machine.guest);
    let guest = Guest::find(name).context("the finding's guest (name another place by --guest)")?;
    let hash = experiments::finding::image_hash(&guest.image.bytes);
    if hash != finding.machine.guest_hash {
        bail!(
            "{name}: not the image that the finding is about (hash {hash}, recorded {}): a finding \
             of another build can't be replayed yet; give the old image by --guest",
            finding.machine.guest_hash
        );
    }
    let machine = finding.machine.config(guest.image)?;
    let host = Host::open(&cli.kvm)?;
    for number in 1..=args.repeat {
        if let Replay::Diverged(divergence) = replay(&host, &recorded, &machine)? {
            tell::user(&format!("jitterbug: replay {number}: not reproduced: {divergence}"));
            return Ok(Status::Failure);
        }
    }
    let times = if args.repeat == 1 { String::new() } else { format!(" {} times", args.repeat) };
    tell::user(&format!(
        "jitterbug: reproduced{times}: {}, {} points, hash {}",
        finding.verdict, finding.run.points, finding.run.hash
    ));
    Ok(Status::Clean)
}

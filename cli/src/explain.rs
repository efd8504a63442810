//! `jitterbug explain`: what went wrong in a finding.

use anyhow::{Context, Result};
use experiments::Finding;
use experiments::cause::{Limits, Question, explain};
use experiments::waits::Names;
use vmm::Host;

use crate::args::{Cli, ExplainArgs};
use crate::guest::Guest;
use crate::status::Status;

/// Explains.
pub(crate) fn run(cli: &Cli, args: &ExplainArgs) -> Result<Status> {
    let finding = Finding::read(&args.finding)?;
    let name = args.guest.as_deref().unwrap_or(&finding.machine.guest);
    let guest = Guest::find(name).context("the finding's guest (name another place by --guest)")?;
    let machine = finding.machine.config(guest.image.clone())?;
    let symbols = guest.symbols(args.symbols.as_deref())?;
    let host = Host::open(&cli.kvm)?;
    let cause = explain(&Question {
        host: &host,
        machine: &machine,
        finding: &finding,
        symbols: symbols.as_deref(),
        limits: Limits::default(),
        seed: 1,
    })?;
    let names = Names { symbols: symbols.as_deref(), image: &machine.guest.bytes };
    let show = |deed: &experiments::cause::Deed| {
        let a = &deed.access;
        let experiments::cause::trace::Target::Memory(at) = a.target else { return String::new() };
        let back = u64::from(a.kind == experiments::cause::trace::Kind::Write);
        let f = symbols.as_deref().and_then(|s| s.function(a.rip - back)).map(|f| f.0.to_owned());
        format!("vCPU {} {:?} {} {:#x}->{:#x} in {:?} visit {} {}", deed.vcpu, a.kind, names.variable(at), a.before, a.value, f, deed.stand.visit, if deed.interrupted().is_some() {"handler"} else {""})
    };
    println!("{}: {} shown={} pre={} switches={:?} of {} systematic={} excluded={:?} search={} proof={} {:?}", finding.machine.guest, cause.failure, cause.is_shown(), cause.preemptions, cause.switches.len(), cause.steps.len(), cause.systematic, cause.excluded, cause.search_runs, cause.proof_runs, cause.time);
    println!("  schedule {}", cause.schedule);
    let proof = &cause.proof;
    for claim in &proof.claims {
        println!("  {}\n    < {}\n   reversed {:?} among {:?} encloses {:?}", show(&claim.first), show(&claim.second), claim.reversed, claim.among, claim.encloses);
    }
    for c in &proof.conditions {
        match c { experiments::cause::Condition::Pair(a, b) => println!("  + {} <\n    {}", show(a), show(b)), other => println!("  + {other:?}") }
    }
    if let Some((a, b, x, y)) = &proof.unrelated { println!("  unrelated {} < {}: {x:?} {y:?}", show(a), show(b)); }
    println!("  refuted {} forced {:?} chance {:?}", proof.refuted, proof.forced, proof.chance);
    println!("  curve {:?}", cause.curve.iter().map(|s| (s.steps, s.share.failed)).collect::<Vec<_>>());
    Ok(Status::Clean)
}

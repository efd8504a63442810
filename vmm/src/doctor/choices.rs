//! The conclusions from the self-tests: which mechanism jitterbug uses for which purpose.

use super::catalogue::{SPEED, WATCHPOINTS};
use super::outcome::{Cost, Outcome, Verdict};
use super::report::{Choice, Finding};
use crate::kvm::DebugCapabilities;

/// All choices that follow from these findings.
pub(super) fn choose(rows: &[Finding]) -> Vec<Choice> {
    let verdict = |id: &str| rows.iter().find(|row| row.id == id).map(|row| row.verdict);
    let works = |id: &str| verdict(id) == Some(Verdict::Works);
    let usable = |id: &str| works(id) || verdict(id) == Some(Verdict::Partly);
    let all = |ids: &[&str]| ids.iter().all(|id| works(id));
    let int3 = all(&DebugCapabilities::INT3);
    let first = |options: &[(bool, &str)]| {
        let chosen = options.iter().find(|option| option.0).map_or("nothing", |option| option.1);
        chosen.to_owned()
    };
    let holes = rows.iter().filter(|row| row.id.starts_with("hole-"));
    let holes = holes.clone().count() > 0 && holes.clone().all(|row| row.verdict == Verdict::Works);
    let choice = |purpose, mechanism| Choice { purpose, mechanism };
    vec![
        choice(
            "trapped pages",
            first(&[
                (holes, "pages without a memslot: each load and store exits"),
                (all(&["hole-load", "hole-store"]), "the same, for plain loads and stores only"),
            ]),
        ),
        choice(
            "data watchpoints",
            first(&[
                (
                    all(&WATCHPOINTS),
                    "DR0 to DR3, in run, where they tell what a script uses; else trapped pages",
                ),
                (true, "none: trapped pages"),
            ]),
        ),
        choice(
            "running out loops",
            first(&[
                (works("read-only-slot"), "read-only memslots: each store exits"),
                (true, "nothing: a loop that counts is a hang by budget"),
            ]),
        ),
        choice(
            "breakpoints",
            first(&[
                (
                    works("breakpoint") && works("single-step"),
                    "four execution breakpoints, passed by RFLAGS.RF",
                ),
                (
                    usable("breakpoint") && works("single-step"),
                    "four execution breakpoints, taken out to step over them",
                ),
                (works("single-step"), "single steps, comparing RIP"),
            ]) + match (int3, usable("breakpoint") && works("single-step")) {
                (true, true) => "; more by int3",
                (true, false) => "; int3 in the image's code",
                (false, true) => "; more by single steps",
                (false, false) => "",
            },
        ),
        choice(
            "stepping",
            first(&[
                (all(&["single-step", "block-irq"]), "single steps with GUESTDBG_BLOCKIRQ"),
                (works("single-step"), "single steps; interrupts may divert them"),
            ]) + if works("step-halt") { "" } else { "; HLT is decoded first" },
        ),
        choice("kicks", first(&[(works("kick"), "a signal and immediate_exit")])),
        choice(
            "register access",
            first(&[
                (works("sync-regs"), "with each exit, in the run page (KVM_CAP_SYNC_REGS)"),
                (usable("sync-regs"), "general ones in the run page"),
                (works("get-regs"), "KVM_GET_REGS and KVM_SET_REGS"),
            ]),
        ),
        choice(
            "controlled runs",
            first(&[
                (
                    all(&["halt-exit", "lapic-page", "alternate"]) && usable("interrupt"),
                    "our own irqchip, one thread for all vCPUs",
                ),
                (true, "none: the host lacks what they need"),
            ]),
        ),
        choice(
            "parallel runs",
            first(&[
                (works("init-sipi"), "KVM's irqchip, a thread a vCPU"),
                (true, "none: vCPUs don't start"),
            ]),
        ),
        choice("snapshot reset", first(&[(works("dirty-log"), "the pages in the dirty log")])),
    ]
}

/// Whether a distribution's Linux is usable, judged by the speed alone.
pub(super) fn unmodified_linux(rows: &[Finding]) -> Outcome {
    const SLOW: Cost = Cost::new(5.0);
    /// The approximate number of instructions of a boot.
    const BOOT: f64 = 5e9;
    let cost = rows.iter().find(|row| row.id == SPEED).and_then(|row| row.cost);
    let Some(cost) = cost else {
        return Outcome::untested("derived from ring 0's speed, which is not known");
    };
    let boot = Cost::new(cost.nanoseconds() * BOOT).nanoseconds() / 60e9;
    if cost > super::speed::EMULATED {
        let detail = format!("derived from ring 0's speed, not tried: about {boot:.0} min to boot");
        Outcome::missing(detail)
    } else if cost > SLOW {
        Outcome::partly("derived from ring 0's speed, not tried: usable, but slow")
    } else {
        Outcome::works("derived from ring 0's speed, not tried")
    }
}

//! The list of self-tests, in the order of the report.

use super::outcome::{Outcome, Tested};
use super::test_guest::TestGuest;
use super::{
    breakpoints, clock, exits, holes, identity, instructions, int3, interrupts, kicks, lifecycle,
    registers, slots, speed, startup, stepping,
};

/// A self-test of one mechanism.
pub(super) struct SelfTest {
    /// An identifier that stays the same in later versions.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// What follows where the mechanism doesn't (fully) work.
    pub(super) instead: &'static str,
    pub(super) run: fn(&TestGuest) -> Tested<Outcome>,
}

/// A group of related mechanisms.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) tests: &'static [SelfTest],
}

const fn test(
    id: &'static str,
    name: &'static str,
    run: fn(&TestGuest) -> Tested<Outcome>,
    instead: &'static str,
) -> SelfTest {
    SelfTest { id, name, instead, run }
}

const NO_GUESTS: &str = "no guest can run here";
const LEAVE_OUT: &str = "kernels must be built without it";
const NO_XSAVE: &str = "Linux isn't offered XSAVE";
const NO_WATCH: &str = "such accesses to watched pages can't be followed";

/// All self-tests.
pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "Guest speed",
        tests: &[
            test(SPEED, "ring 0, an instruction", speed::ring0, "short guests, small budgets"),
            test("ring3-speed", "ring 3, an instruction", speed::ring3, "small user programs"),
            test("cpuid-cost", "CPUID in the guest", speed::cpuid, NO_GUESTS),
            test("rdtsc-cost", "RDTSC in the guest", speed::rdtsc, "a clock device"),
        ],
    },
    Group {
        name: "Exits to userspace",
        tests: &[
            test("port-exit", "port read and write", exits::port, NO_GUESTS),
            test("mmio-exit", "MMIO read and write", exits::mmio, NO_GUESTS),
            test("halt-exit", "HLT, no in-kernel irqchip", exits::halt, "parallel runs only"),
            test("msr-exit", "filtered MSR access", exits::msr_filter, "MSRs can't be watched"),
            test(
                "emulation-failure",
                "emulation failure with bytes",
                exits::emulation_failure,
                "the bytes are read at RIP",
            ),
        ],
    },
    Group {
        name: "Watching memory",
        tests: &[
            test("hole-load", "hole: load", holes::load, NO_WATCH),
            test("hole-store", "hole: store", holes::store, NO_WATCH),
            test("hole-inc", "hole: inc", holes::inc, NO_WATCH),
            test("hole-xchg", "hole: xchg", holes::xchg, NO_WATCH),
            test("hole-lock-inc", "hole: lock inc", holes::lock_inc, NO_WATCH),
            test("hole-lock-xadd", "hole: lock xadd", holes::lock_xadd, NO_WATCH),
            test("hole-lock-cmpxchg", "hole: lock cmpxchg", holes::lock_cmpxchg, NO_WATCH),
            test("hole-failing-cmpxchg", "hole: failing cmpxchg", holes::failing_cmpxchg, NO_WATCH),
            test("hole-lock-bts", "hole: lock bts", holes::lock_bts, NO_WATCH),
            test("read-only-slot", "read-only memslot", slots::read_only, "holes, loads exit too"),
            test("watch-write", "watchpoint: store, ring 0", breakpoints::write, HOLES),
            test("watch-access", "watchpoint: load, ring 0", breakpoints::access, HOLES),
            test("watch-user", "watchpoint: store, ring 3", breakpoints::write_user, HOLES),
        ],
    },
    Group {
        name: "Guest debug",
        tests: &[
            test("single-step", "single step", stepping::step, "breakpoints and exits only"),
            test(
                "step-halt",
                "single step onto HLT",
                stepping::step_onto_halt,
                "HLT is decoded first",
            ),
            test(
                "step-user",
                "single step, ring 3",
                stepping::step_user,
                "only kernels are stepped",
            ),
            test(
                "step-handler",
                "single step into a handler",
                stepping::step_into_handler,
                "steps are armed again; not over faults",
            ),
            test(
                "step-return",
                "single step over IRET",
                stepping::over_return,
                "a breakpoint where it returns to, or jitterbug does the IRET",
            ),
            test(
                "block-irq",
                "GUESTDBG_BLOCKIRQ",
                stepping::block_interrupts,
                "controlled runs deliver interrupts themselves, and don't need it",
            ),
            test(
                "breakpoint",
                "execution breakpoint, ring 0",
                breakpoints::execution,
                "int3, or single steps",
            ),
            test(
                "breakpoint-user",
                "execution breakpoint, ring 3",
                breakpoints::execution_user,
                "no probes on user programs",
            ),
            test(
                "int3",
                "int3 (USE_SW_BP), ring 0",
                int3::exits,
                "execution breakpoints, or single steps",
            ),
            test("int3-step", "int3 taken out and stepped over", int3::step, NO_INT3),
            test("int3-guest", "int3 of the guest's own", int3::of_the_guest, NO_INT3),
        ],
    },
    Group {
        name: "Interrupts and start-up",
        tests: &[
            test("lapic-page", "LAPIC page, no irqchip", interrupts::lapic_page, PARALLEL),
            test(
                "interrupt",
                "window, KVM_INTERRUPT",
                interrupts::window,
                "interrupts are given at exits that can take them",
            ),
            test("nmi", "KVM_NMI", interrupts::nmi, "no NMIs to guests"),
            test("exceptions", "exceptions, IDT, IRETQ", interrupts::exceptions, NO_GUESTS),
            test("init-sipi", "in-kernel irqchip: INIT/SIPI", startup::init_sipi, CONTROLLED),
        ],
    },
    Group {
        name: "Ring-0 instructions",
        tests: &[
            test("int-n", "int n", instructions::int, LEAVE_OUT),
            test("int3-handler", "int3 to its own handler", instructions::int3, LEAVE_OUT),
            test("vmcall", "vmcall", instructions::vmcall, "a port is the way to the host"),
            test("sse", "SSE arithmetic", instructions::sse, LEAVE_OUT),
            test("popcnt", "popcnt", instructions::popcnt, LEAVE_OUT),
            test("rdtscp", "rdtscp", instructions::rdtscp, "rdtsc"),
            test("xgetbv", "xgetbv", instructions::xgetbv, LEAVE_OUT),
            test("xsetbv", "xsetbv, and CPUID after it", instructions::xsetbv, NO_XSAVE),
            test("cmpxchg16b", "cmpxchg16b", instructions::cmpxchg16b, LEAVE_OUT),
        ],
    },
    Group {
        name: "Identity and time",
        tests: &[
            test("cpuid-ring0", "our CPUID leaves, ring 0", identity::ring0, NO_IDENTITY),
            test("cpuid-ring3", "our CPUID leaves, ring 3", identity::ring3, NO_IDENTITY),
            test("tsc-control", "KVM_CAP_TSC_CONTROL", clock::tsc_control, "the host's TSC rate"),
            test(
                "retired-branches",
                "PMU: retired branches",
                clock::retired_branches,
                "places are (exit, breakpoint hits, steps)",
            ),
        ],
    },
    Group {
        name: "Host side",
        tests: &[
            test("get-regs", "KVM_GET_REGS", registers::get_regs, NO_GUESTS),
            test("sync-regs", "KVM_CAP_SYNC_REGS", registers::sync, "KVM_GET_REGS at each exit"),
            test("kick", "kick a spinning vCPU", kicks::spinning, "no time limits on vCPUs"),
            test("alternate", "two vCPUs, one thread", lifecycle::alternate, PARALLEL),
            test("memslot", "add and delete a memslot", slots::change, "watches are fixed"),
            test("dirty-log", "dirty log and reset", slots::dirty_log, "whole-memory copies"),
            test("machine", "a VM: create, run, destroy", lifecycle::machine, NO_GUESTS),
        ],
    },
];

/// The self-tests on which data watchpoints depend.
pub(super) const WATCHPOINTS: [&str; 3] = ["watch-write", "watch-access", "watch-user"];

/// The self-test from which the report's last row is derived: whether an unmodified Linux can boot.
pub(super) const SPEED: &str = "ring0-speed";

const NO_INT3: &str = "single steps for more than four breakpoints";
const HOLES: &str = "pages without a memslot (holes)";
const PARALLEL: &str = "parallel runs only";
const CONTROLLED: &str = "controlled runs only";
const NO_IDENTITY: &str = "the guest may see through the identity there";

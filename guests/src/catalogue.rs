//! The list of guests: those for the runtime itself, the main example (`tsc-sync`), and classical
//! bugs.

use crate::{Access, AccessKind, Bug, Guest, Oracle, Pair};

/// All guests.
pub fn catalogue() -> &'static [Guest] {
    CATALOGUE
}

#[repr(C, align(4096))]
pub(crate) struct PageAligned<Bytes: ?Sized>(pub(crate) Bytes);

/// The image that `build.rs` linked under this name.
macro_rules! image {
    ($name:expr) => {{
        static IMAGE: &$crate::catalogue::PageAligned<[u8]> = &$crate::catalogue::PageAligned(
            *include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".elf")),
        );
        &IMAGE.0
    }};
}
pub(crate) use image;

/// A guest without a bug that needs all of its vCPUs.
const fn guest(
    name: &'static str,
    cpus: u32,
    image: &'static [u8],
    summary: &'static str,
) -> Guest {
    Guest { name, summary, image, default_cpus: cpus, min_cpus: cpus, endless: false, bug: None }
}

const fn pair(variable: &'static str, first: Access, second: Access) -> Pair {
    Pair { variable, first, second }
}

const fn read(function: &'static str) -> Access {
    Access { function, kind: AccessKind::Read }
}

const fn write(function: &'static str) -> Access {
    Access { function, kind: AccessKind::Write }
}

const fn update(function: &'static str) -> Access {
    Access { function, kind: AccessKind::Update }
}

const fn interrupt() -> Access {
    Access { function: "", kind: AccessKind::Interrupt }
}

const fn off(function: &'static str) -> Access {
    Access { function, kind: AccessKind::Off }
}

const fn nmi(function: &'static str) -> Access {
    Access { function, kind: AccessKind::Nmi }
}

const fn init(function: &'static str) -> Access {
    Access { function, kind: AccessKind::Init }
}

const fn sipi(function: &'static str) -> Access {
    Access { function, kind: AccessKind::Sipi }
}

static CATALOGUE: &[Guest] = &[
    Guest {
        min_cpus: 1,
        ..guest(
            "hello",
            1,
            image!("hello"),
            "starts every vCPU, says how many came up and on what hypervisor, and ends",
        )
    },
    Guest {
        min_cpus: 1,
        endless: true,
        ..guest(
            "spin",
            2,
            image!("spin"),
            "every vCPU counts for ever at the bottom of a known chain of calls",
        )
    },
    Guest {
        bug: Some(Bug {
            what: "CPU 0 reads a provisional platform_type and waits for a TSC handshake that the other CPU has already skipped",
            depth: 2,
            preemptions: 2,
            oracle: Oracle::Hang,
            pairs: &[
                pair("platform_type", write("determine_platform"), read("get_hwenv")),
                pair("platform_type", read("get_hwenv"), write("determine_platform")),
            ],
            fixed_twin: "tsc-sync-fixed",
        }),
        min_cpus: 2,
        ..guest(
            "tsc-sync",
            6,
            image!("tsc-sync"),
            "illumos #1687: a vCPU re-detects the platform while the boot CPU looks at the answer",
        )
    },
    Guest {
        min_cpus: 2,
        ..guest(
            "tsc-sync-fixed",
            6,
            image!("tsc-sync-fixed"),
            "tsc-sync with upstream's repair: the platform is determined once, before there are other CPUs",
        )
    },
    Guest {
        bug: Some(Bug {
            what: "what another CPU adds between the load and the store is overwritten, and the sum is short",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[pair("counter", read("add_one"), write("add_one"))],
            fixed_twin: "lost-update-fixed",
        }),
        ..guest(
            "lost-update",
            2,
            image!("lost-update"),
            "two CPUs add one to a counter, by a load and a store",
        )
    },
    guest(
        "lost-update-fixed",
        2,
        image!("lost-update-fixed"),
        "lost-update with a locked addition",
    ),
    Guest {
        bug: Some(Bug {
            what: "each has its first lock and waits for the other's",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Hang,
            pairs: &[
                pair("lock_a", update("move_to_b"), read("move_to_a")),
                pair("lock_b", update("move_to_a"), read("move_to_b")),
            ],
            fixed_twin: "abba-fixed",
        }),
        ..guest("abba", 2, image!("abba"), "two CPUs take the same two locks in opposite orders")
    },
    guest("abba-fixed", 2, image!("abba-fixed"), "abba with one order for both"),
    Guest {
        bug: Some(Bug {
            what: "each has its first lock and waits for the next one's",
            depth: 3,
            preemptions: 1,
            oracle: Oracle::Hang,
            pairs: &[pair("forks", update("eat"), read("eat"))],
            fixed_twin: "lock-cycle-fixed",
        }),
        ..guest(
            "lock-cycle",
            3,
            image!("lock-cycle"),
            "three philosophers: each CPU takes a lock and then its neighbour's",
        )
    },
    guest(
        "lock-cycle-fixed",
        3,
        image!("lock-cycle-fixed"),
        "lock-cycle with the lower lock first",
    ),
    Guest {
        bug: Some(Bug {
            what: "the pointer is used before it is set, and is null",
            depth: 1,
            preemptions: 0,
            oracle: Oracle::Report,
            pairs: &[pair("pointer", read("use"), write("publish"))],
            fixed_twin: "pct-1a-fixed",
        }),
        ..guest(
            "pct-1a",
            2,
            image!("pct-1a"),
            "PCT figure 1a: a pointer is used by one CPU that the other sets",
        )
    },
    guest("pct-1a-fixed", 2, image!("pct-1a-fixed"), "pct-1a with a wait for the pointer"),
    Guest {
        bug: Some(Bug {
            what: "the pointer is cleared between the check and the use, and is null",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[
                pair("pointer", read("check_then_use"), write("clear")),
                pair("pointer", write("clear"), read("check_then_use")),
            ],
            fixed_twin: "pct-1b-fixed",
        }),
        ..guest(
            "pct-1b",
            2,
            image!("pct-1b"),
            "PCT figure 1b: a pointer is checked and used by one CPU that the other clears",
        )
    },
    guest("pct-1b-fixed", 2, image!("pct-1b-fixed"), "pct-1b with one read for check and use"),
    Guest {
        bug: Some(Bug {
            what: "all twenty steps come before the other CPU's first",
            depth: 1,
            preemptions: 0,
            oracle: Oracle::Report,
            pairs: &[pair("gone", write("take_away"), read("use"))],
            fixed_twin: "pct-5-fixed",
        }),
        ..guest(
            "pct-5",
            2,
            image!("pct-5"),
            "PCT figure 5: after twenty steps one CPU takes away what the other uses first thing",
        )
    },
    guest("pct-5-fixed", 2, image!("pct-5-fixed"), "pct-5 with a wait for the user"),
    Guest {
        bug: Some(Bug {
            what: "who sees the pointer reads an object that nobody has written yet",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[
                pair("object", write("initialise"), read("use")),
                pair("storage", read("use"), write("initialise")),
            ],
            fixed_twin: "double-init-fixed",
        }),
        ..guest(
            "double-init",
            2,
            image!("double-init"),
            "double-checked initialisation: a pointer is published before its object is initialised",
        )
    },
    guest("double-init-fixed", 2, image!("double-init-fixed"), "double-init with the object first"),
    Guest {
        bug: Some(Bug {
            what: "the count goes from zero to one, and the freed object is read",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[
                pair("table", read("look_up"), write("take_out")),
                pair("object", update("put"), update("get")),
            ],
            fixed_twin: "refcount-fixed",
        }),
        ..guest(
            "refcount",
            2,
            image!("refcount"),
            "a reference is taken while the other CPU puts the last one",
        )
    },
    guest("refcount-fixed", 2, image!("refcount-fixed"), "refcount with no reference from zero"),
    Guest {
        bug: Some(Bug {
            what: "the pair is written between the two reads of it",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[
                pair("sequence", read("read_pair"), write("write_pair")),
                pair("high", write("write_pair"), read("read_pair")),
            ],
            fixed_twin: "seqlock-fixed",
        }),
        ..guest(
            "seqlock",
            2,
            image!("seqlock"),
            "a reader of a sequence lock doesn't look at the count again",
        )
    },
    guest("seqlock-fixed", 2, image!("seqlock-fixed"), "seqlock with a reader that tries again"),
    Guest {
        bug: Some(Bug {
            what: "two CPUs draw the same ticket, and both own the lock",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[pair("next", read("draw"), write("draw"))],
            fixed_twin: "ticket-lock-fixed",
        }),
        ..guest(
            "ticket-lock",
            2,
            image!("ticket-lock"),
            "tickets of a lock are drawn by a load and a store",
        )
    },
    guest(
        "ticket-lock-fixed",
        2,
        image!("ticket-lock-fixed"),
        "ticket-lock with tickets drawn by one locked instruction",
    ),
    Guest {
        bug: Some(Bug {
            what: "between CPU 0's read and its swap the head is popped, the next node too, and the head is pushed back",
            depth: 3,
            preemptions: 2,
            oracle: Oracle::Report,
            pairs: &[
                pair("head", read("pop"), update("pop")),
                pair("head", update("pop"), update("push")),
                pair("head", update("push"), update("pop")),
            ],
            fixed_twin: "aba-stack-fixed",
        }),
        ..guest(
            "aba-stack",
            3,
            image!("aba-stack"),
            "a stack is popped by compare-and-swap of its head alone",
        )
    },
    guest(
        "aba-stack-fixed",
        3,
        image!("aba-stack-fixed"),
        "aba-stack with a count of changes beside the head",
    ),
    Guest {
        bug: Some(Bug {
            what: "the result is taken between the two stores",
            depth: 1,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[pair("result", read("take"), write("publish"))],
            fixed_twin: "publish-flag-fixed",
        }),
        ..guest(
            "publish-flag",
            2,
            image!("publish-flag"),
            "a flag is set one instruction before the result that it announces",
        )
    },
    guest(
        "publish-flag-fixed",
        2,
        image!("publish-flag-fixed"),
        "publish-flag with the result first",
    ),
    Guest {
        bug: Some(Bug {
            what: "the waking interrupt is taken between STI and HLT, and the CPU halts for ever",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Hang,
            pairs: &[pair("something_to_do", read("sleeper"), write("waker"))],
            fixed_twin: "lost-wakeup-fixed",
        }),
        ..guest(
            "lost-wakeup",
            2,
            image!("lost-wakeup"),
            "a CPU allows interrupts one instruction before it halts",
        )
    },
    guest(
        "lost-wakeup-fixed",
        2,
        image!("lost-wakeup-fixed"),
        "lost-wakeup with STI and HLT together",
    ),
    Guest {
        bug: Some(Bug {
            what: "the old frame is reused and then read by the old translation",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[pair("frames", write("move_page"), read("load"))],
            fixed_twin: "tlb-shootdown-fixed",
        }),
        ..guest(
            "tlb-shootdown",
            2,
            image!("tlb-shootdown"),
            "a CPU acknowledges a TLB shootdown and flushes later",
        )
    },
    guest(
        "tlb-shootdown-fixed",
        2,
        image!("tlb-shootdown-fixed"),
        "tlb-shootdown with the flush before the acknowledgement",
    ),
    Guest {
        bug: Some(Bug {
            what: "the handler queues an item between the mainline's load and store of the tail, and it is overwritten",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[pair("tail", read("queue"), write("queue"))],
            fixed_twin: "irq-mainline-fixed",
        }),
        ..guest(
            "irq-mainline",
            2,
            image!("irq-mainline"),
            "a queue is filled by the mainline and by an interrupt handler",
        )
    },
    guest(
        "irq-mainline-fixed",
        2,
        image!("irq-mainline-fixed"),
        "irq-mainline with interrupts off in the mainline",
    ),
    Guest {
        bug: Some(Bug {
            what: "one CPU returns to an address that the other has overwritten",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::TripleFault,
            pairs: &[pair("boot_stack", write("early_boot"), read("early_step"))],
            fixed_twin: "ap-stack-fixed",
        }),
        ..guest("ap-stack", 3, image!("ap-stack"), "two CPUs are started on the same boot stack")
    },
    guest("ap-stack-fixed", 3, image!("ap-stack-fixed"), "ap-stack with one CPU on it at a time"),
    Guest {
        bug: Some(Bug {
            what: "a request that is added between the handler's read of the mailbox and its clearing is lost",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Hang,
            pairs: &[
                pair("mailbox", read("on_call"), update("ask")),
                pair("mailbox", update("ask"), write("on_call")),
            ],
            fixed_twin: "lost-request-fixed",
        }),
        ..guest(
            "lost-request",
            3,
            image!("lost-request"),
            "two CPUs ask a third by bits in a mailbox and an interrupt",
        )
    },
    guest(
        "lost-request-fixed",
        3,
        image!("lost-request-fixed"),
        "lost-request with one locked instruction that reads and clears",
    ),
    Guest {
        bug: Some(Bug {
            what: "CPU 0 waits for an acknowledgement with the lock held that the other CPU wants with interrupts off",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Hang,
            pairs: &[
                pair("lock", update("caller"), read("other")),
                pair("", off("other"), interrupt()),
            ],
            fixed_twin: "ack-deadlock-fixed",
        }),
        ..guest(
            "ack-deadlock",
            2,
            image!("ack-deadlock"),
            "a lock is held over the wait for another CPU's acknowledgement",
        )
    },
    guest(
        "ack-deadlock-fixed",
        2,
        image!("ack-deadlock-fixed"),
        "ack-deadlock with the lock given back first",
    ),
    Guest {
        bug: Some(Bug {
            what: "the flush comes between the two stores, and flushes the old address space",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Report,
            pairs: &[
                pair("active_mm", write("switch_mm"), read("on_flush")),
                pair("loaded_mm", read("on_flush"), write("switch_mm")),
            ],
            fixed_twin: "stale-mm-fixed",
        }),
        ..guest(
            "stale-mm",
            2,
            image!("stale-mm"),
            "a flush interrupts its own CPU between two steps of a switch",
        )
    },
    guest(
        "stale-mm-fixed",
        2,
        image!("stale-mm-fixed"),
        "stale-mm with interrupts off between the steps",
    ),
    Guest {
        bug: Some(Bug {
            what: "the INIT of one CPU comes behind the SIPI of another, and throws it away",
            depth: 2,
            preemptions: 1,
            oracle: Oracle::Hang,
            pairs: &[
                pair("", sipi("start_ap"), init("send_init")),
                pair("online", init("send_init"), write("third")),
            ],
            fixed_twin: "late-init-fixed",
        }),
        ..guest(
            "late-init",
            3,
            image!("late-init"),
            "two CPUs send INIT to a third, and one of them its SIPI",
        )
    },
    guest("late-init-fixed", 3, image!("late-init-fixed"), "late-init with the SIPI behind both"),
    Guest {
        bug: Some(Bug {
            what: "the second NMI comes before the first is taken, and is the same one",
            depth: 2,
            preemptions: 0,
            oracle: Oracle::Hang,
            pairs: &[
                pair("served", nmi("send_nmi"), read("server")),
                pair("served", nmi("send_nmi"), read("on_request")),
            ],
            fixed_twin: "merged-nmi-fixed",
        }),
        ..guest("merged-nmi", 3, image!("merged-nmi"), "two CPUs ask a third by NMIs, which count")
    },
    guest(
        "merged-nmi-fixed",
        3,
        image!("merged-nmi-fixed"),
        "merged-nmi with one request at a time",
    ),
    Guest {
        bug: Some(Bug {
            what: "the interrupt comes before the interrupt table is loaded",
            depth: 1,
            preemptions: 0,
            oracle: Oracle::TripleFault,
            pairs: &[pair("ready", interrupt(), write("start"))],
            fixed_twin: "early-ipi-fixed",
        }),
        ..guest(
            "early-ipi",
            2,
            image!("early-ipi"),
            "a CPU is online before it can take interrupts",
        )
    },
    guest(
        "early-ipi-fixed",
        2,
        image!("early-ipi-fixed"),
        "early-ipi with the interrupt table first",
    ),
];

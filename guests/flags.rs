//! How the guests are compiled and linked: for `build.rs`, and for tests that build one anew.

/// Built like a kernel: general registers only, no red zone, and real frames for a walk along RBP to find.
pub(crate) const FLAGS: &[&str] = &[
    "-std=gnu11",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Wmissing-prototypes",
    "-Werror",
    "-ffreestanding",
    "-mgeneral-regs-only",
    "-mno-red-zone",
    "-mcmodel=kernel",
    "-fno-pic",
    "-fno-pie",
    "-fno-stack-protector",
    "-fcf-protection=none",
    "-fno-asynchronous-unwind-tables",
    // A function on the stack has a frame, under its own name. gcc leaves the frame out of a leaf that needs no stack unless
    // the function is to be profiled: so it is, by a no-op. Without scheduling, no access strays into the prologue.
    "-fno-omit-frame-pointer",
    "-pg",
    "-mnop-mcount",
    "-fno-schedule-insns2",
    "-fno-optimize-sibling-calls",
    "-fno-shrink-wrap",
    "-fno-ipa-cp",
    "-fno-ipa-sra",
    "-fno-ipa-icf",
    "-fno-partial-inlining",
    "-fno-reorder-blocks-and-partition",
    // memcpy must not become a call of memcpy.
    "-fno-tree-loop-distribute-patterns",
];

/// Nothing but what is named, at fixed addresses.
pub(crate) const LINK_FLAGS: &[&str] = &[
    "-nostdlib",
    "-static",
    "-no-pie",
    "-Wl,--build-id=none",
    "-Wl,-z,max-page-size=4096",
    "-Wl,-z,noexecstack",
    "-Wl,--fatal-warnings",
];

//! Points with a name of their own.

use super::Mechanisms;

/// What kind of event a point is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A script is loaded or unloaded.
    Lifecycle,
    /// A timer ticks.
    Timer,
    /// A vCPU leaves the guest or enters it again.
    Exit,
    /// An instruction is reached.
    Address,
    /// Memory is read or written.
    Access,
    /// An interrupt or a fault is delivered.
    Interrupt,
    /// A device or a model-specific register is used.
    Device,
    /// A vCPU is chosen, or no vCPU can continue.
    Scheduling,
}

macro_rules! fixed {
    ($($variant:ident $name:literal $class:ident $mechanism:ident [$($argument:literal),*]
        $text:literal;)*) => {
        /// A point with a name of its own. Not every scheduler provides every point.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fixed {
            $(#[doc = $text] $variant,)*
        }

        impl Fixed {
            /// All fixed points.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name in scripts.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What kind of event the point is about.
            pub fn class(self) -> Class {
                match self { $(Self::$variant => Class::$class,)* }
            }

            /// The mechanism of the scheduler and the host that the point needs.
            pub fn mechanism(self) -> Mechanisms {
                match self { $(Self::$variant => mechanism!($mechanism),)* }
            }

            /// What `ARG0` and the following arguments are.
            pub fn arguments(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($argument),*],)* }
            }

            /// When the point fires.
            pub fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

macro_rules! mechanism {
    (NONE) => {
        Mechanisms::empty()
    };
    ($name:ident) => {
        Mechanisms::$name
    };
}

// To add a point: a row here, with its name, class, mechanism, arguments and text. `GUEST:` is the
// address parser's (`parse.rs`), so no name begins with it. A new mechanism goes into
// `mechanism.rs`, with a reason in `lack`, and gets a price in `about.rs`. The hook has to ask for
// the event (`Hook::points` in `session/hook.rs`) and to fire the point (`session/events.rs`, or
// `of_exit` for an exit). An event that no hook reports yet starts in vmm: `hook.rs`,
// `hook/set.rs`, then the scheduler (`controlled/hooks.rs`, `parallel/vcpu.rs`). A point with a
// parameter is like those of `msr.rs`, with `parse.rs` and `rows()` in `table.rs`; a point that was
// refused so far leaves `NEVER` there. The table of docs/probes.md has a row for each point, which
// `probes/src/documented.rs` compares with this one. Tests: `point_tests.rs`,
// `session/events_tests.rs`, `tests/e2e/points.rs`.
fixed! {
    VmmLoad "VMMLoad" Lifecycle NONE []
        "Once on each vCPU, before its first instruction. For an AP this is long before its SIPI.";
    VmmUnload "VMMUnload" Lifecycle NONE [] "Once on each vCPU, after its last instruction.";
    VmxLoad "VMXLoad" Lifecycle NONE [] "Once, before any vCPU runs.";
    VmxUnload "VMXUnload" Lifecycle NONE [] "Once, when the boot processor has stopped.";
    In "In" Exit EXITS ["port", "bytes an element", "elements"]
        "The guest reads a port; no device has answered yet.";
    Out "Out" Exit EXITS ["port", "bytes an element", "elements", "the first element"]
        "The guest writes a port; no device has taken it yet.";
    MmioRead "MMIO_Read" Exit EXITS ["guest-physical address", "bytes"]
        "The guest reads where there is no RAM.";
    MmioWrite "MMIO_Write" Exit EXITS ["guest-physical address", "bytes", "the value"]
        "The guest writes where there is no RAM.";
    HvExit "HV_Exit" Exit EXITS []
        "The guest leaves the vCPU for any reason of its own that reaches jitterbug; EXITNAME says which.";
    HvResume "HV_Resume" Exit EXITS []
        "The vCPU goes back into the guest with the answer; EXITNAME says to what.";
    ApStart "Guest_SIPI" Exit EXITS [] "A waiting AP was woken and is about to start.";
    TripleFault "Guest_TripleFault" Exit EXITS [] "A triple fault ends the machine.";
    Halt "Guest_HLT" Exit APICS [] "The guest executes HLT.";
    Init "Guest_INIT" Interrupt APICS [] "An INIT reaches the vCPU.";
    LapicRead "LAPIC_Read" Device APICS ["register", "the value"] "The guest reads its local APIC.";
    LapicWrite "LAPIC_Write" Device APICS ["register", "the value"]
        "The guest writes its local APIC.";
    LapicEoi "LAPIC_EOI" Device APICS ["vector"] "The guest ends the interrupt that it serves.";
    IpiSend "IPI_Send" Interrupt APICS ["vCPUs", "vector", "delivery mode"]
        "The guest sends an interprocessor interrupt.";
    Irq "Guest_IRQ" Interrupt INTERRUPTS ["vector"] "Before an interrupt is delivered.";
    Nmi "Guest_NMI" Interrupt INTERRUPTS [] "Before an NMI is delivered.";
    DivideError "Guest_DE" Interrupt FAULTS [] "Before a divide error is delivered.";
    Debug "Guest_DB" Interrupt FAULTS [] "Before a debug exception is delivered.";
    Breakpoint "Guest_BP" Interrupt FAULTS [] "Before a breakpoint exception is delivered.";
    Overflow "Guest_OF" Interrupt FAULTS [] "Before an overflow exception is delivered.";
    BoundRange "Guest_BR" Interrupt FAULTS [] "Before a bound-range exception is delivered.";
    InvalidOpcode "Guest_UD" Interrupt FAULTS [] "Before an invalid-opcode fault is delivered.";
    NoDevice "Guest_NM" Interrupt FAULTS [] "Before a device-not-available fault is delivered.";
    DoubleFault "Guest_DF" Interrupt FAULTS ["error code"] "Before a double fault is delivered.";
    InvalidTss "Guest_TS" Interrupt FAULTS ["error code"]
        "Before an invalid-TSS fault is delivered.";
    ReservedFault "Guest_RESERVED_FAULT" Interrupt FAULTS [] "Before vector 15 is delivered.";
    NotPresent "Guest_NP" Interrupt FAULTS ["error code"]
        "Before a segment-not-present fault is delivered.";
    StackFault "Guest_SS" Interrupt FAULTS ["error code"] "Before a stack fault is delivered.";
    Protection "Guest_GP" Interrupt FAULTS ["error code"]
        "Before a general-protection fault is delivered.";
    PageFault "Guest_PF" Interrupt FAULTS ["error code"] "Before a page fault is delivered.";
    FloatingPoint "Guest_MF" Interrupt FAULTS [] "Before an x87 fault is delivered.";
    Alignment "Guest_AC" Interrupt FAULTS ["error code"]
        "Before an alignment check is delivered.";
    MachineCheck "Guest_MC" Interrupt FAULTS [] "Before a machine check is delivered.";
    Simd "Guest_XF" Interrupt FAULTS [] "Before a SIMD fault is delivered.";
    MsrRead "MSR_Read" Device MSRS ["register", "the value"]
        "The guest reads a model-specific register.";
    MsrWrite "MSR_Write" Device MSRS ["register", "the value"]
        "The guest writes a model-specific register.";
    SchedulingPoint "Sched_Point" Scheduling SCHEDULING ["the point's number", "1 with an interrupt"]
        "The vCPU is chosen at a scheduling point.";
    SchedulingSwitch "Sched_Switch" Scheduling SCHEDULING ["the vCPU before", "the vCPU now"]
        "Another vCPU is chosen.";
    Hang "Guest_Hang" Scheduling HANGS ["1 if proven"] "The guest hangs; once on each vCPU.";
}

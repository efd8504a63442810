use super::*;

#[test]
fn a_vcpu_that_was_reset_is_recognised() {
    let mut state = VcpuState {
        activity: Activity::Running,
        registers: Registers { rip: 0xfff0, ..Registers::default() },
        system: SystemRegisters { cr0: 0x6000_0010, ..SystemRegisters::default() },
    };
    // A guest in real mode that runs at 0:fff0.
    assert!(!state.is_reset());
    state.system.cs.base = 0xffff_0000;
    assert!(state.is_reset());
    let elsewhere = Registers { rip: 0xfff3, ..state.registers };
    assert!(!VcpuState { registers: elsewhere, ..state }.is_reset());
    let protected = SystemRegisters { cr0: 0x6000_0011, ..state.system };
    assert!(!VcpuState { system: protected, ..state }.is_reset());
    // One that never ran is not said to have lost anything.
    assert!(!VcpuState { activity: Activity::WaitForSipi, ..state }.is_reset());
}

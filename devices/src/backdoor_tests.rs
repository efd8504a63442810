use super::*;

const BACKDOOR: Backdoor = Backdoor { tsc_hz: 6_000_000_000, bus_hz: 1_000_000_000 };

fn call(eax: u32, ecx: u32) -> CallRegisters {
    let mut registers = CallRegisters { eax, ebx: 0, ecx, edx: u32::from(PORT) };
    BACKDOOR.call(&mut registers);
    registers
}

#[test]
fn getversion_puts_the_magic_into_ebx() {
    let answer = call(MAGIC, 10);
    assert_eq!((answer.eax, answer.ebx), (6, MAGIC));
}

#[test]
fn gethz_splits_the_frequency() {
    let answer = call(MAGIC, 45);
    assert_eq!(u64::from(answer.ebx) << 32 | u64::from(answer.eax), 6_000_000_000);
    assert_eq!(answer.ecx, 1_000_000_000);
}

#[test]
fn vcpu_info_allows_x2apic_and_clears_the_reserved_bit() {
    assert_eq!(call(MAGIC, 68).eax, 1 << 3);
}

#[test]
fn the_rest_is_refused_and_touches_eax_alone() {
    for command in [0, 1, 20, 91, 0xffff] {
        let answer = call(MAGIC, command);
        assert_eq!(answer.eax, u32::MAX, "command {command}");
        assert_eq!((answer.ebx, answer.ecx), (0, command));
    }
}

#[test]
fn without_the_magic_it_is_an_empty_port() {
    let answer = call(0x1234, 10);
    assert_eq!((answer.eax, answer.ebx), (u32::MAX, 0));
}

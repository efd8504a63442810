use super::*;

#[test]
fn there_are_as_many_bytes_as_the_description_says() {
    let description = X86::target_description_xml().expect("a description");
    let sizes = description.split("bitsize=\"").skip(1).map(|rest| {
        let digits = rest.split('"').next().expect("a number");
        digits.parse::<usize>().expect("a number") / 8
    });
    let registers = VcpuRegisters {
        general: Registers { rip: 0x0102_0304_0506_0708, ..Registers::default() },
        ..VcpuRegisters::default()
    };
    let mut bytes = Vec::new();
    registers.gdb_serialize(|byte| bytes.push(byte));
    assert_eq!(bytes.len(), sizes.sum::<usize>());
    assert_eq!(bytes[16 * 8..16 * 8 + 2], [Some(8), Some(7)]);
    assert_eq!(bytes.iter().filter(|byte| byte.is_none()).count(), X87 + SSE);
}

#[test]
fn what_gdb_writes_is_what_it_has_read_but_for_what_it_changes() {
    let mut system = SystemRegisters { cr3: 0x1000, efer: 0x500, ..SystemRegisters::default() };
    (system.cs.selector, system.gs.base) = (8, 0xffff_8000_0000_1000);
    let general = Registers { rax: 1, rip: u64::MAX, rflags: 2, ..Registers::default() };
    let before = VcpuRegisters { general, system };
    let mut bytes = Vec::new();
    before.gdb_serialize(|byte| bytes.push(byte.unwrap_or(0)));
    let read = |bytes: &[u8]| {
        let mut registers = VcpuRegisters::default();
        registers.gdb_deserialize(bytes).map(|()| registers)
    };
    assert_eq!(before.changes(&read(&bytes).unwrap()), Some(Vec::new()));
    bytes[16 * 8] = 0xfe;
    bytes[8] = 7;
    let changes = before.changes(&read(&bytes).unwrap());
    assert_eq!(changes, Some(vec![(Register::Rbx, 7), (Register::Rip, u64::MAX - 1)]));
    let last = bytes.len() - 1;
    bytes[last] = 1;
    assert_eq!(before.changes(&read(&bytes).unwrap()), None, "EFER");
    assert_eq!(read(&bytes[..last]), Err(()));
}

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

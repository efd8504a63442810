use super::*;
use crate::exit::Bytes;

#[test]
fn only_ours_is_a_look_at_the_clock() {
    let ports = ClockPorts { rdtsc: Some(0xf1), rdtscp: None };
    let write =
        |port, size, data: &[u8]| Exit::PortWrite { port, size, data: Bytes::from_slice(data) };
    assert_eq!(ports.read_at(&write(0xf1, 1, &[7])), Some(ClockRead::Rdtsc));
    assert_eq!(ports.read_at(&write(0xf2, 1, &[7])), None);
    assert_eq!(ports.read_at(&write(0xf1, 4, &[7; 4])), None);
    assert_eq!(
        ports.read_at(&write(0xf1, 1, &[7; 3])),
        None,
        "a string of OUTs is the guest's own"
    );
    assert_eq!(ports.read_at(&Exit::PortRead { port: 0xf1, size: 1, count: 1 }), None);
    assert_eq!(ClockPorts::default().read_at(&write(0xf1, 1, &[7])), None);
}

#[test]
fn the_code_of_a_guest_is_found() {
    let guest = guests::case("tscloop").unwrap();
    let image = Image { name: guest.name, bytes: guest.image };
    let mut memory = Memory::new(crate::memory::MemorySize::new(32 << 20).unwrap()).unwrap();
    elf::Elf::check(image, &memory).unwrap().load(&memory).unwrap();
    let Reads { places, ring_3 } = find(image, &memory).unwrap();
    assert!(!ring_3);
    assert_eq!(places.len(), 2, "{places:x?}");
    let ports = replace(image, &mut memory).unwrap();
    assert_eq!(ports, ClockPorts { rdtsc: Some(0xf1), rdtscp: None });
    let mut code = [0; 2];
    for (address, _) in places {
        memory.read(address, &mut code).unwrap();
        assert_eq!(code, [OUT, 0xf1]);
        memory.as_loaded().read(address, &mut code).unwrap();
        assert_eq!(code, [0x0f, 0x31]);
    }
}

#[test]
fn a_port_that_the_guest_names_is_left_to_it() {
    let guest = guests::find("hello").unwrap();
    let image = Image { name: guest.name, bytes: guest.image };
    // The runtime ends a run by an OUT to this port.
    let code: Vec<u8> = elf::code(image).flatten().copied().collect();
    let named = |port: u8| code.windows(2).any(|bytes| bytes == [OUT, port]);
    for port in 0..=u8::MAX {
        assert_eq!(is_named(image, port), named(port));
    }
}

#[test]
fn nothing_is_replaced_where_ring_3_may_come() {
    let guest = guests::case("tscloop").unwrap();
    let mut bytes = guest.image.to_vec();
    let rdtsc = bytes.windows(2).position(|bytes| bytes == [0x0f, 0x31]).unwrap();
    bytes[rdtsc..rdtsc + 2].copy_from_slice(&[0x0f, 0x07]); // SYSRET
    let image = Image { name: guest.name, bytes: &bytes };
    let mut memory = Memory::new(crate::memory::MemorySize::new(32 << 20).unwrap()).unwrap();
    elf::Elf::check(image, &memory).unwrap().load(&memory).unwrap();
    let Reads { places, ring_3 } = find(image, &memory).unwrap();
    assert_eq!((places.len(), ring_3), (1, true));
    assert_eq!(replace(image, &mut memory).unwrap(), ClockPorts::default());
    assert_eq!(memory.patched(), 0);
}

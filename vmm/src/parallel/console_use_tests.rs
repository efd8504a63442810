use super::*;
use crate::exit::Bytes;

#[test]
fn only_exits_to_the_serial_port_count() {
    let mut console = ConsoleUse::default();
    for port in [COM1 - 1, COM1, COM1 + 7, COM1 + 8] {
        let exits = [
            Exit::PortWrite { port, size: 1, data: Bytes::from_slice(b"x") },
            Exit::PortRead { port, size: 1, count: 1 },
        ];
        for exit in exits {
            console.end(ConsoleUse::begin(&exit));
        }
    }
    console.end(ConsoleUse::begin(&Exit::Kicked));
    assert_eq!(console.exits, 4);
    let mut all = ConsoleUse { exits: 1, time: Duration::from_secs(1) };
    all.add(&console);
    assert!(all.exits == 5 && all.time >= Duration::from_secs(1));
}

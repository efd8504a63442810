use super::super::testing::TestRam;
use super::*;

fn pieces(pieces: &[(u64, u32)]) -> Buffers {
    let mut buffers = Buffers::default();
    for (address, length) in pieces {
        buffers.push(*address, *length);
    }
    buffers
}

#[test]
fn pieces_are_one_range() {
    let ram = TestRam::new();
    let buffers = pieces(&[(0x100, 3), (0x200, 0), (0x300, 4), (0x400, 2)]);
    assert_eq!(buffers.len(), 9);
    assert!(buffers.write(&ram, 0, b"abcdefghi"));
    let mut place = [0; 4];
    assert!(ram.read(0x300, &mut place));
    assert_eq!(&place, b"defg");
    for (from, length) in [(0, 9), (2, 3), (3, 4), (8, 1), (9, 0), (4, 5)] {
        let mut read = vec![0; length];
        assert!(buffers.read(&ram, from, &mut read));
        assert_eq!(read, b"abcdefghi"[from as usize..from as usize + length]);
    }
}

#[test]
fn what_is_not_there_is_not_read() {
    let ram = TestRam::new();
    let mut word = [0; 4];
    assert!(!pieces(&[(0x100, 3)]).read(&ram, 0, &mut word));
    assert!(!pieces(&[(0x100, 8)]).read(&ram, 5, &mut word));
    assert!(!pieces(&[(0x100, 8)]).read(&ram, u64::MAX, &mut word));
    assert!(!pieces(&[(super::super::testing::MEMORY, 8)]).read(&ram, 0, &mut word));
    assert!(!pieces(&[(u64::MAX, 8)]).read(&ram, 1, &mut word));
    assert!(pieces(&[(u64::MAX, 8)]).read(&ram, 8, &mut []));
}

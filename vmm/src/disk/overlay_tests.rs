use proptest::prelude::*;

use super::*;

fn overlay(bytes: &[u8]) -> Overlay {
    let base = tempfile::tempfile().unwrap();
    base.write_all_at(bytes, 0).unwrap();
    Overlay::new(base, bytes.len() as u64).unwrap()
}

#[test]
fn the_file_stays_as_it_is() {
    let mut disk = overlay(&[1; 2048]);
    disk.write(512, &[2; 512]).unwrap();
    disk.flush().unwrap();
    let mut data = [0; 2048];
    disk.read(0, &mut data).unwrap();
    assert_eq!(data[..], [[1; 512], [2; 512], [1; 512], [1; 512]].concat());
    disk.base.read_exact_at(&mut data, 0).unwrap();
    assert_eq!(data, [1; 2048]);
}

#[test]
fn a_large_disk_costs_nothing() {
    let base = tempfile::tempfile().unwrap();
    base.set_len(1 << 42).unwrap();
    let mut disk = Overlay::new(base, 1 << 42).unwrap();
    let last = (1 << 42) - 512;
    disk.write(last, &[7; 512]).unwrap();
    let mut data = [0; 1024];
    disk.read(last - 512, &mut data).unwrap();
    assert_eq!((data[511], data[512]), (0, 7));
    assert_eq!(disk.written.0.len(), 1);
}

proptest! {
    /// The disk has what was written last.
    #[test]
    fn it_is_a_disk(
        accesses in prop::collection::vec((0usize..200, 1usize..100, any::<bool>()), 1..40),
    ) {
        let mut model = vec![0u8; 300 * 512];
        let mut disk = overlay(&model);
        for (number, (first, sectors, writes)) in (1u8..).zip(accesses) {
            let range = first * 512..(first + sectors) * 512;
            if writes {
                model[range.clone()].fill(number);
                disk.write(range.start as u64, &model[range]).unwrap();
            } else {
                let mut data = vec![0xee; range.len()];
                disk.read(range.start as u64, &mut data).unwrap();
                prop_assert_eq!(&data, &model[range]);
            }
        }
    }
}

use super::*;

fn take(text: &str) -> Result<(), &'static str> {
    let mut packets = Packets::default();
    text.bytes().try_for_each(|byte| packets.take(byte))
}

#[test]
fn reads_that_end_outside_the_address_space_are_refused() {
    for good in ["+$g#67", "$m1000,40#00$mffffffffffffffc0,40#00", "$mzz#00", "$qC#b4", "#$#$"] {
        assert_eq!(take(good), Ok(()), "{good}");
    }
    let bad = ["$mffffffffffffffff,2#00", "$m0,fffffff#00", "+$m0,1001#00", "$m1,zz#00"];
    for bad in bad {
        assert!(take(bad).is_err(), "{bad}");
    }
}

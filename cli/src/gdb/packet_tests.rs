use super::*;

fn packet(contents: &str) -> String {
    let sum = contents.bytes().fold(0u8, u8::wrapping_add);
    format!("${contents}#{sum:02x}")
}

/// What is passed on, and whether the client is told of a wrong checksum.
fn take(text: &str) -> Result<(String, bool), &'static str> {
    let (mut packets, mut whole, mut garbled) = (Packets::default(), Vec::new(), false);
    for byte in text.bytes() {
        match packets.take(byte)? {
            Taken::Part => {}
            Taken::Whole(bytes) => whole.extend(bytes),
            Taken::Garbled => garbled = true,
        }
    }
    Ok((String::from_utf8_lossy(&whole).into_owned(), garbled))
}

#[test]
fn reads_that_end_outside_the_address_space_are_refused() {
    for good in ["g", "m1000,40", "mffffffffffffffc0,40", "mzz", "qC", "", "$"] {
        let packet = packet(good);
        assert_eq!(take(&packet), Ok((packet.clone(), false)), "{good}");
    }
    for bad in ["mffffffffffffffff,2", "m0,fffffff", "m0,1001", "m1,zz"] {
        assert!(take(&format!("+{}", packet(bad))).is_err(), "{bad}");
    }
}

#[test]
fn a_wrong_checksum_is_told_and_the_packet_is_not_passed_on() {
    for wrong in ["$g#00", "$g#6", "$g#zz", "$mffffffffffffffff,2#00", "$g#+7"] {
        let both = format!("+{wrong}{}", if wrong.len() == 4 { "8" } else { "" });
        assert_eq!(take(&both), Ok(("+".into(), true)), "{wrong}");
        let again = format!("{both}{}\x03", packet("g"));
        assert_eq!(take(&again), Ok(("+$g#67\x03".into(), true)), "{wrong}");
    }
}

#[test]
fn a_packet_that_never_ends_is_refused() {
    assert!(take(&format!("${}", "x".repeat(MAX_PACKET - 2))).is_ok());
    assert!(take(&format!("${}", "x".repeat(MAX_PACKET))).is_err());
}

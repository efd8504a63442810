use super::*;

#[test]
fn ports_and_paths() {
    for text in ["1234", ":1234", "localhost:1234", "127.0.0.1:1234"] {
        assert_eq!(text.parse(), Ok(Address::Port(1234)), "{text}");
    }
    for text in ["gdb.sock", "/tmp/x:1", "a:b", "./1234:"] {
        assert_eq!(text.parse(), Ok(Address::Socket(text.into())), "{text}");
    }
    for text in ["", "65536", ":99999999999", "example.org:1234", "0.0.0.0:1"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

use super::*;

#[test]
fn ports_and_paths() {
    for text in ["1234", ":1234", "localhost:1234", "127.0.0.1:1234"] {
        assert_eq!(text.parse(), Ok(Address::Port(1234)), "{text}");
    }
    for text in ["gdb.sock", "/tmp/x:1", "a:b", "./1234:", "./22x", "x22"] {
        assert_eq!(text.parse(), Ok(Address::Socket(text.into())), "{text}");
    }
    // What was meant for a port is no path.
    for text in ["22x", ":22x", ":", "localhost:", "localhost:gdb", "127.0.0.1:x", "1234:"] {
        let error = text.parse::<Address>().unwrap_err();
        assert!(error.contains(&format!("./{text}")), "{error}");
    }
    for text in ["", "65536", ":99999999999", "example.org:1234", "0.0.0.0:1"] {
        assert!(text.parse::<Address>().is_err(), "{text}");
    }
}

use super::*;

#[test]
fn what_is_printed_can_be_read() {
    for text in [
        "off",
        "light",
        "boot",
        "hold:at=backdoor,p=1,for=1ms..10ms",
        "pause",
        "throttle:slice=20us..50us;hold:at=io+start",
        "pause:every=2ms,for=1s..1500ms",
    ] {
        let spec: JitterSpec = text.parse().unwrap();
        assert_eq!(spec.to_string().parse::<JitterSpec>().unwrap(), spec, "{text} -> {spec}");
    }
    assert_eq!("boot".parse::<JitterSpec>().unwrap().to_string(), "boot");
}

#[test]
fn off_is_nothing() {
    assert!("off".parse::<JitterSpec>().unwrap().is_off());
    assert!(!"light".parse::<JitterSpec>().unwrap().is_off());
}

#[test]
fn errors_say_what_would_be_right() {
    for (text, expected) in [
        ("", "neither a preset"),
        ("boots", "neither a preset"),
        ("hold:q=1", "at, p, for"),
        ("hold:p=2", "at most 1"),
        ("hold:p=0", "above 0"),
        ("hold:at=nowhere", "io, backdoor, mmio, start"),
        ("hold:p", "KEY=VALUE"),
        ("hold:p=1,p=1", "twice"),
        ("pause;pause", "twice"),
        ("pause:for=fast", "not a time"),
        ("pause:for=5ms..1ms", "upside down"),
        ("pause:for=2h", "1us to 60s"),
        ("pause:for=0us", "1us to 60s"),
        ("pause:every=1us", "never gets on"),
        ("throttle:slice=5us..1ms", "never gets on"),
    ] {
        let error = text.parse::<JitterSpec>().unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(error.contains("--jitter"), "{error}");
    }
}

#[test]
fn places_cover_their_exits() {
    let at = |text: &str| format!("hold:at={text}").parse::<JitterSpec>().unwrap().hold.unwrap();
    let read = |port| Exit::PortRead { port, size: 4, count: 1 };
    assert!(at("io").applies_to(&read(0x3f8)) && at("io").applies_to(&read(0x5658)));
    assert!(!at("backdoor").applies_to(&read(0x3f8)) && at("backdoor").applies_to(&read(0x5658)));
    assert!(at("mmio").applies_to(&Exit::MmioRead { address: 0, size: 4 }));
    assert!(at("start").applies_to(&Exit::ApStart));
    assert!(!at("io+backdoor+mmio+start").applies_to(&Exit::Kicked));
}

use super::*;
use crate::testing::DATA;

fn of(name: &str) -> Result<Point, NoPoint> {
    find(name, &Scope { mechanisms: Mechanisms::EXITS, ..Scope::default() }).map(only)
}

fn anything(name: &str) -> Result<Point, NoPoint> {
    all_of(name).map(only)
}

fn all_of(name: &str) -> Result<Vec<Found>, NoPoint> {
    let symbols = crate::testing::tsc_sync_symbols();
    let segments = crate::testing::tsc_sync_segments();
    let (symbols, segments) = (Some(&*symbols), Some(&segments));
    let mechanisms = Mechanisms::all();
    find(name, &Scope { mechanisms, symbols, segments, ..Scope::default() })
}

fn only(found: Vec<Found>) -> Point {
    let [one] = found.try_into().expect("one point");
    one.point
}

fn refusal(name: &str) -> String {
    of(name).expect_err("a refusal").to_string()
}

#[test]
fn every_fixed_point_is_found_by_its_name() {
    for fixed in Fixed::ALL {
        assert_eq!(anything(fixed.name()), Ok(Point::Fixed(*fixed)));
    }
    assert_eq!(of("In"), Ok(Point::Fixed(Fixed::In)));
    assert_eq!(of("VMM:In"), Ok(Point::Fixed(Fixed::In)));
}

#[test]
fn timers_by_all_their_names() {
    for (name, microseconds, sampling, machine) in [
        ("VMM1Hz", 1_000_000, false, false),
        ("VMM10Hz", 100_000, false, false),
        ("VMX1Hz", 1_000_000, false, true),
        ("VMX:VMX1Hz", 1_000_000, false, true),
        ("USEC:100", 100, false, false),
        ("VMM:TIMER:10msec", 10_000, false, false),
        ("VMM:TIMER:2sec", 2_000_000, false, false),
        ("VMX:TIMER:60usec", 60, false, true),
        ("VMM:PROFILE:1msec", 1000, true, false),
    ] {
        let period = Duration::from_micros(microseconds);
        assert_eq!(of(name), Ok(Point::Timer(Timer { period, sampling, machine })), "{name}");
    }
    let display = of("VMM10Hz").expect("a timer").to_string();
    assert_eq!(display, "VMM:TIMER:100msec");
    for (name, problem) in [
        ("USEC:49", "a period is at least 50µs"),
        ("VMM:TIMER:0sec", "a period is at least 50µs"),
        ("VMM:TIMER:10", "a period is a number with sec, msec or usec, such as 10msec"),
        ("VMM:TIMER:-1sec", "a period is a number with sec, msec or usec, such as 10msec"),
        ("VMM:TIMER:99999999999999999999sec", "a period is at most a year"),
        ("VMM:TIMER:40000000sec", "a period is at most a year"),
    ] {
        assert_eq!(refusal(name), format!("{name} is no probe point: {problem}"));
    }
}

#[test]
fn addresses_by_old_and_new_names() {
    let at = |access, start, length| Ok(Point::Address(Address { access, start, length }));
    for (name, access, start, length) in [
        ("GUEST:0x1000", Access::Enter, 0x1000, 1),
        ("GUEST:ENTER:0x1000", Access::Enter, 0x1000, 1),
        ("GUEST:EXIT:4096", Access::Exit, 4096, 1),
        ("GUEST:OFFSET:0x1000:0x10", Access::Offset, 0x1010, 1),
        ("GUEST:STEP:0x1000:0x20", Access::Step, 0x1000, 0x20),
        ("GUEST_READ:0xfffffffffb856000", Access::Read, DATA, 1),
        ("GUEST:WRITE:0xfffffffffb856010", Access::Write, DATA + 0x10, 1),
        ("GUEST:WRITE:0xfffffffffb856010:8", Access::Write, DATA + 0x10, 8),
    ] {
        assert_eq!(anything(name), at(access, start, length), "{name}");
    }
    let symbols = crate::testing::tsc_sync_symbols();
    let main = symbols.address("tsc_sync_master").expect("a symbol");
    assert_eq!(anything("GUEST:tsc_sync_master"), at(Access::Enter, main, 1));
    assert_eq!(anything("GUEST:OFFSET:tsc_sync_master:0x4"), at(Access::Offset, main + 4, 1));
    // The range ends where the symbol ends.
    assert_eq!(anything("GUEST:STEP:tsc_sync_master"), at(Access::Step, main, 0x2b));
    assert_eq!(
        anything(&format!("GUEST:STEP:{:#x}", main + 8)),
        at(Access::Step, main + 8, 0x2b - 8)
    );
    let state = symbols.address("tsc_state").expect("a symbol");
    assert_eq!(anything("GUEST:WRITE:tsc_state"), at(Access::Write, state, 0x20));
    assert_eq!(anything("GUEST:READ:tsc_state:4"), at(Access::Read, state, 4));
}

#[test]
fn a_pattern_stands_for_many_symbols_by_their_own_names() {
    let names = |pattern: &str| {
        let found = all_of(pattern).expect("points");
        found.into_iter().map(|found| found.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        names("GUEST:ENTER:mp_*"),
        ["GUEST:ENTER:mp_start_cpu_common", "GUEST:ENTER:mp_start", "GUEST:ENTER:mp_idle"]
    );
    assert_eq!(names("GUEST:mp_????"), ["GUEST:mp_idle"]);
    assert_eq!(names("GUEST:WRITE:tsc_*"), ["GUEST:WRITE:tsc_state", "GUEST:WRITE:tsc_ready"]);
    assert_eq!(
        names("GUEST:OFFSET:*_idle:2"),
        ["GUEST:OFFSET:mp_idle:2"],
        "the offset is none of the pattern"
    );
    let error = all_of("GUEST:EXIT:lock_*").expect_err("no function").to_string();
    assert!(error.ends_with("tsc_sync.elf has no function that lock_* stands for"), "{error}");
    let lines: Vec<_> = (0..300).map(|n| format!("{:x} T f{n}", 0x1000 + n)).collect();
    let symbols = Symbols::from_listing("many", &lines.join("\n")).expect("a listing");
    let (mechanisms, symbols) = (Mechanisms::all(), Some(&symbols));
    let scope = Scope { mechanisms, symbols, ..Scope::default() };
    let error = find("GUEST:ENTER:f*", &scope).expect_err("too many").to_string();
    assert!(error.contains("f* stands for 300 functions, and at most 256 can be had"), "{error}");
}

#[test]
fn registers_by_their_numbers() {
    let msr = |index, write| Ok(Point::Msr(Msr { index, write }));
    assert_eq!(anything("MSR_Read:0xc0000080"), msr(0xc000_0080, false));
    assert_eq!(anything("MSR_Write:16"), msr(16, true));
    assert_eq!(Point::Msr(Msr { index: 16, write: true }).to_string(), "MSR_Write:0x10");
    for name in ["MSR_Write:EFER", "MSR_Read:0x100000000", "MSR_Read:"] {
        let error = anything(name).expect_err("no register").to_string();
        assert!(error.ends_with("is no register's number, such as 0xc0000080"), "{error}");
    }
}

#[test]
fn a_bad_address_says_what_is_wrong() {
    for (name, problem) in [
        ("GUEST:ENTER:", "it has no address behind it"),
        ("GUEST:OFFSET:0x10", "it lacks the offset, such as :0x12"),
        ("GUEST:OFFSET:0x10:zz", "zz is no number; write for example 0x12"),
        ("GUEST:WRITE:0x10:0", "a range has 1 to 4096 bytes"),
        ("GUEST:WRITE:0xffffffffffffffff:2", "it goes beyond the last address"),
        (
            "GUEST:WRITE:0x10:8",
            "no segment of the guest's image has 0x10 to 0x17, so where that is in memory isn't known \
             before the guest runs",
        ),
        (
            "GUEST:STEP:0x1000",
            "no symbol says where the function at 0x1000 ends; give its bytes, such as :0x40",
        ),
        ("GUEST:WRITE:counter", "the size of counter isn't known; give its bytes, such as :8"),
        (
            "GUEST:ENTER:tsc_sync_mastre",
            "tsc_sync.elf has no symbol tsc_sync_mastre; did you mean tsc_sync_master?",
        ),
    ] {
        let error = anything(name).expect_err("no point");
        assert_eq!(error.to_string(), format!("{name} is no probe point: {problem}"));
    }
    let scope = Scope { mechanisms: Mechanisms::all(), ..Scope::default() };
    let error = find("GUEST:ENTER:main", &scope).expect_err("no symbols");
    assert!(
        error.to_string().ends_with("there are no symbols to look main up in; write the address")
    );
}

#[test]
fn what_the_driver_can_not_do_is_refused_and_says_why() {
    for name in [
        "Guest_PF",
        "Guest_IRQ",
        "Guest_NMI",
        "Guest_HLT",
        "GUEST:ENTER:main",
        "GUEST:0x1000",
        "GUEST_WRITE:0x10",
        "GUEST:STEP:main",
        "MSR_Read",
        "IPI_Send",
        "Sched_Point",
        "Guest_Hang",
    ] {
        let message = refusal(name);
        assert!(
            message.starts_with(&format!("probe point {name} is not available: ")),
            "{message}"
        );
        // With the mechanism, the name is either accepted or refused only for lack of symbols.
        assert!(!matches!(anything(name), Err(NoPoint::Missing { .. })), "{name}");
    }
}

#[test]
fn what_no_driver_has_is_refused_and_says_why() {
    for name in [
        "Disk_IOStart",
        "MAC_SendPacket",
        "SMM_SMIPre",
        "VMK1Hz",
        "HV_NPF",
        "Guest_CR3Write",
        "VMKERNEL:foo",
        "VMKERNEL_RET:foo",
        "MONITOR:x",
        "VMM:ENTER:x",
        "VMK:EXIT:x",
        "POSIX:x",
    ] {
        assert!(matches!(anything(name), Err(NoPoint::Missing { .. })), "{name}");
    }
}

#[test]
fn a_wrong_case_or_a_typing_error_gets_a_suggestion() {
    for (name, expected) in [
        ("VMM1hz", Some("VMM1Hz")),
        ("VMMload", Some("VMMLoad")),
        ("VM10Hz", Some("VMM10Hz")),
        ("HV_Exti", Some("HV_Exit")),
        ("Bananas", None),
    ] {
        let unknown = NoPoint::Unknown { name: name.into(), suggestion: expected };
        assert_eq!(of(name), Err(unknown));
    }
}

#[test]
fn the_table_and_the_parser_agree() {
    for row in rows() {
        let name = match row.name.strip_suffix("...") {
            Some(prefix) if prefix.ends_with("OFFSET:") || prefix == "GUEST:STEP:" => {
                format!("{prefix}0x1000:0x1")
            }
            Some(prefix) if row.class == Class::Timer && !prefix.starts_with("USEC") => {
                format!("{prefix}1msec")
            }
            Some(prefix) if row.class == Class::Access => format!("{prefix}{DATA:#x}"),
            Some(prefix) => format!("{prefix}1000"),
            None => row.name.clone(),
        };
        for mechanisms in [Mechanisms::PARALLEL, Mechanisms::all(), Mechanisms::empty()] {
            let segments = crate::testing::tsc_sync_segments();
            let segments = Some(&segments);
            let found = find(&name, &Scope { mechanisms, segments, ..Scope::default() });
            let missing = row.refusal(mechanisms);
            match (found, missing) {
                (Ok(_), None) => {}
                (Err(NoPoint::Missing { reason, .. }), Some(expected)) => {
                    assert_eq!(reason, expected, "{name}");
                }
                (found, missing) => panic!("{name}: {found:?}, the table says {missing:?}"),
            }
        }
    }
}

/// A compiler may make several functions of one, and every file may have a function of the same
/// name.
#[test]
fn a_name_stands_for_all_functions_that_have_it() {
    let text = "ffffffff81000000 T lock\nffffffff81000100 t init\nffffffff81000200 t init\n\
        ffffffff81000200 t init\nffffffff81000300 t walk.constprop.0\n\
        ffffffff81000400 t walk.isra.0.cold\nffffffff81000500 t walk.cold\n\
        ffffffff81800000 d state\nffffffff81800010 d state\n";
    let symbols = inspect::Symbols::from_listing("kallsyms", text).expect("a listing");
    let (mechanisms, symbols) = (Mechanisms::all(), Some(&symbols));
    let found = |name: &str| -> Result<Vec<(String, u64)>, String> {
        let found = find(name, &Scope { mechanisms, symbols, ..Scope::default() });
        let place = |found: Found| match found.point {
            Point::Address(address) => (found.name.to_string(), address.start & 0xfff),
            other => panic!("{other:?}"),
        };
        found.map(|all| all.into_iter().map(place).collect()).map_err(|error| error.to_string())
    };
    let at = |all: &[(&str, u64)]| Ok(all.iter().map(|(name, at)| ((*name).into(), *at)).collect());
    assert_eq!(found("GUEST:ENTER:lock"), at(&[("GUEST:ENTER:lock", 0)]));
    let twice = &[("GUEST:ENTER:init", 0x100), ("GUEST:ENTER:init", 0x200)];
    assert_eq!(found("GUEST:ENTER:init"), at(twice));
    assert_eq!(found("GUEST:walk"), at(&[("GUEST:walk.constprop.0", 0x300)]));
    let cold = &[("GUEST:walk.isra.0.cold", 0x400)];
    assert_eq!(found("GUEST:walk.isra.0.cold"), at(cold));
    let error = found("GUEST:WRITE:state:8").expect_err("two variables");
    assert!(
        error.contains("2 symbols have the name state") && error.contains("0xffffffff81800010")
    );
}

//! Looks up probe points by name, old names and new ones, and explains why a name isn't a point.

use std::time::Duration;

use inspect::suggest::nearest;

use super::found::{Found, NoPoint, Result, available, malformed, number};
use super::place::address;
use super::{Access, Fixed, Mechanisms, Msr, Point, Scope, Timer, table};

/// The shortest period of a timer. Where KVM itself runs in a virtual machine, a vCPU that is
/// stopped every 10 us makes no progress; at 50 us it does.
const SHORTEST: Duration = Duration::from_micros(50);
/// The longest period of a timer: a year.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// Looks up the points that a name in a script stands for, by old and new names. The result is one
/// point, unless the name is a pattern such as `GUEST:ENTER:lock_*`, or several functions have the
/// name.
pub fn find(name: &str, scope: &Scope) -> Result<Vec<Found>> {
    for (prefix, access) in [("GUEST_READ:", Access::Read), ("GUEST_WRITE:", Access::Write)] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return address(name, access, rest, scope);
        }
    }
    if let Some(rest) = name.strip_prefix("GUEST:") {
        let (word, tail) = rest.split_once(':').unwrap_or((rest, ""));
        let access = Access::ALL.into_iter().find(|access| access.name() == word);
        return match access {
            Some(access) if !tail.is_empty() => address(name, access, tail, scope),
            Some(_) => Err(malformed(name, "it has no address behind it".into())),
            None => address(name, Access::Enter, rest, scope),
        };
    }
    let point = named(name, scope)?;
    Ok(vec![Found { point, name: name.into() }])
}

/// Looks up a point that is not at an address.
fn named(name: &str, scope: &Scope) -> Result<Point> {
    if let Some(point) = fixed(name, scope)? {
        return Ok(point);
    }
    for (prefix, write) in [("MSR_Read:", false), ("MSR_Write:", true)] {
        if let Some(register) = name.strip_prefix(prefix) {
            available(name, Mechanisms::MSRS, scope)?;
            let index = number(register).and_then(|number| u32::try_from(number).ok());
            let problem = || format!("{register} is no register's number, such as 0xc0000080");
            let index = index.ok_or_else(|| malformed(name, problem()))?;
            return Ok(Point::Msr(Msr { index, write }));
        }
    }
    if let Some(reason) = table::never(name) {
        return Err(NoPoint::Missing { name: name.into(), reason });
    }
    if let Some(rest) = name.strip_prefix("USEC:") {
        return timer(name, &format!("{rest}usec"), false, false);
    }
    for (prefix, machine) in [("VMM:", false), ("VMX:", true)] {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        if let Some(time) = rest.strip_prefix("TIMER:") {
            return timer(name, time, false, machine);
        }
        if let Some(time) = rest.strip_prefix("PROFILE:") {
            return timer(name, time, true, machine);
        }
        if let Some(point) = fixed(rest, scope)? {
            return Ok(point);
        }
    }
    let suggestion = nearest(name, table::names());
    Err(NoPoint::Unknown { name: name.into(), suggestion })
}

fn fixed(name: &str, scope: &Scope) -> Result<Option<Point>> {
    let timer =
        |period, machine| Ok(Some(Point::Timer(Timer { period, sampling: false, machine })));
    match name {
        "VMM1Hz" => return timer(Duration::from_secs(1), false),
        "VMM10Hz" => return timer(Duration::from_millis(100), false),
        "VMX1Hz" => return timer(Duration::from_secs(1), true),
        _ => {}
    }
    let Some(found) = Fixed::ALL.iter().find(|fixed| fixed.name() == name) else {
        return Ok(None);
    };
    available(name, found.mechanism(), scope)?;
    Ok(Some(Point::Fixed(*found)))
}

/// Parses a period such as `10msec`.
fn timer(name: &str, time: &str, sampling: bool, machine: bool) -> Result<Point> {
    let digits = time.find(|c: char| !c.is_ascii_digit()).unwrap_or(time.len());
    let (number, unit) = time.split_at(digits);
    let factor = match unit {
        "sec" => 1_000_000,
        "msec" => 1000,
        "usec" => 1,
        _ => {
            let problem = "a period is a number with sec, msec or usec, such as 10msec";
            return Err(malformed(name, problem.into()));
        }
    };
    let microseconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    let period = microseconds.map(Duration::from_micros);
    match period {
        Some(period) if period < SHORTEST => {
            Err(malformed(name, format!("a period is at least {SHORTEST:?}")))
        }
        Some(period) if period <= LONGEST => Ok(Point::Timer(Timer { period, sampling, machine })),
        _ => Err(malformed(name, "a period is at most a year".into())),
    }
}

//! The values of a fault's settings.

use std::time::Duration;

use humantime::parse_duration;

use super::{DiskOperation, FaultKind, FaultSpec, IpiClass, Millionths};

/// The shortest time: a scheduling point takes 1 us of virtual time.
const MIN_TIME: Duration = Duration::from_micros(1);
/// The longest time: a longer one is probably a typing error.
const MAX_TIME: Duration = Duration::from_mins(1);
/// The first vector that an interrupt can have (SDM vol. 3, 11.5.2).
const FIRST_VECTOR: u8 = 16;
/// vCPUs are in sets of 64 bits.
const MAX_VCPUS: u32 = u64::BITS;
/// More than a machine can have.
const MAX_DISKS: u32 = 64;
/// More of one fault in a run than this says nothing about a guest.
const MAX_TIMES: u32 = 1000;
/// The shortest time between two strikes: a kick of a vCPU takes longer on most hosts.
const MIN_EVERY: Duration = Duration::from_micros(10);
/// The vectors of exceptions are below this (SDM vol. 3, 6.3.1), and one of them is not an
/// exception.
const EXCEPTIONS: u8 = 32;
const NMI: u8 = 2;
/// As many bits as a cache line has.
const BITS: u32 = 512;
/// A clock that is wrong by more is another clock.
const MAX_BY: Duration = Duration::from_hours(24);
/// Half the rate, or one and a half times.
const MAX_PPM: i32 = 500_000;

/// Sets one setting of a fault.
pub(super) fn set(spec: &mut FaultSpec, key: &str, value: &str) -> Result<(), String> {
    match key {
        "vcpu" => spec.vcpu = Some(vcpu(key, value)?),
        "to" => spec.to = Some(vcpu(key, value)?),
        "vector" if spec.kind == FaultKind::Exception => spec.vector = Some(exception(value)?),
        "vector" => spec.vector = Some(vector(value)?),
        "msr" => spec.msr = Some(integer(key, value)?),
        "value" => spec.value = Some(integer(key, value)?),
        "address" => spec.address = Some(integer(key, value)?),
        "physical" => spec.physical = Some(integer(key, value)?),
        "error" => spec.error_code = Some(integer(key, value)?),
        "symbol" if value.is_empty() => return Err("symbol=: give a name".into()),
        "symbol" => spec.symbol = Some(value.into()),
        "bit" => {
            let bit = value.parse().ok().filter(|bit| *bit < BITS);
            spec.bit = Some(bit.ok_or_else(|| {
                format!(
                    "bit={value}: give a number from 0 to {}, counted from the address",
                    BITS - 1
                )
            })?);
        }
        "by" => spec.by = Some(difference(value)?),
        "ppm" => {
            let ppm = value.parse().ok().filter(|ppm| (-MAX_PPM..=MAX_PPM).contains(ppm));
            spec.ppm = Some(ppm.filter(|ppm| *ppm != 0).ok_or_else(|| {
                format!("ppm={value}: give millionths from -{MAX_PPM} to {MAX_PPM}, and not 0")
            })?);
        }
        "mode" => spec.mode = Some(mode(value)?),
        "disk" => {
            let disk = value.parse().ok().filter(|disk| *disk < MAX_DISKS);
            spec.disk = Some(
                disk.ok_or_else(|| format!("disk={value}: give the number of a disk, from 0"))?,
            );
        }
        "op" => {
            let operation = DiskOperation::ALL.into_iter().find(|(_, name)| *name == value);
            let operation = operation.map(|(operation, _)| operation);
            spec.operation =
                Some(operation.ok_or_else(|| format!("op={value}: give read, write or flush"))?);
        }
        "sector" => {
            let sector = value.parse().ok();
            spec.sector =
                Some(sector.ok_or_else(|| format!("sector={value}: give a number from 0"))?);
        }
        "at" => spec.at = Some(value.parse()?),
        "every" => {
            let every = time(key, value)?;
            if every < MIN_EVERY {
                return Err(format!("every={value}: times go from 10us to 60s"));
            }
            spec.every = Some(every);
        }
        "p" => {
            let probability = value.parse().ok().and_then(Millionths::new);
            spec.probability = Some(probability.ok_or_else(|| {
                format!("p={value}: give a probability above 0 and at most 1, such as 0.01")
            })?);
        }
        "nth" => {
            let nth = value.parse().ok().filter(|nth| *nth > 0);
            spec.nth =
                Some(nth.ok_or_else(|| format!("nth={value}: give a number from 1, the first"))?);
        }
        "times" => {
            let times = value.parse().ok().filter(|times| (1..=MAX_TIMES).contains(times));
            spec.times = times
                .ok_or_else(|| format!("times={value}: give a number from 1 to {MAX_TIMES}"))?;
        }
        _ => spec.time = Some(time(key, value)?),
    }
    Ok(())
}

fn time(key: &str, value: &str) -> Result<Duration, String> {
    let time = parse_duration(value).map_err(|_| {
        format!("{key}={value}: this is not a time: write for example 200us or 5ms")
    })?;
    if !(MIN_TIME..=MAX_TIME).contains(&time) {
        return Err(format!("{key}={value}: times go from 1us to 60s"));
    }
    Ok(time)
}

/// A time that may be negative, in nanoseconds.
fn difference(value: &str) -> Result<i64, String> {
    let amount = value.strip_prefix('-').unwrap_or(value);
    let time = parse_duration(amount).ok().filter(|time| !time.is_zero() && *time <= MAX_BY);
    let time =
        time.ok_or_else(|| format!("by={value}: give a time such as 5ms or -5ms, at most 24h"))?;
    let nanoseconds = time.as_nanos() as i64;
    Ok(if value.starts_with('-') { -nanoseconds } else { nanoseconds })
}

fn vcpu(key: &str, value: &str) -> Result<u32, String> {
    let vcpu = value.parse().ok().filter(|vcpu| *vcpu < MAX_VCPUS);
    vcpu.ok_or_else(|| format!("{key}={value}: give the number of a vCPU, from 0"))
}

/// A number, also as hexadecimal digits behind 0x.
fn integer<T: TryFrom<u64>>(key: &str, value: &str) -> Result<T, String> {
    let number = match value.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => value.parse(),
    };
    let number = number.ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{key}={value}: this is no number, or too large"))
}

fn exception(value: &str) -> Result<u8, String> {
    let vector = integer("vector", value).ok().filter(|vector| *vector < EXCEPTIONS);
    vector.filter(|vector| *vector != NMI).ok_or_else(|| {
        format!(
            "vector={value}: give an exception's number, from 0 to {}, such as 13 for #GP; vector 2 \
             is the fault `nmi`",
            EXCEPTIONS - 1
        )
    })
}

fn vector(value: &str) -> Result<u8, String> {
    let vector = integer("vector", value).ok().filter(|vector| *vector >= FIRST_VECTOR);
    vector.ok_or_else(|| format!("vector={value}: give a number from 16 to 255, such as 0x40"))
}

fn mode(value: &str) -> Result<IpiClass, String> {
    let mode = IpiClass::ALL.into_iter().find(|(_, name)| *name == value);
    mode.map(|(mode, _)| mode).ok_or_else(|| format!("mode={value}: give fixed, nmi, init or sipi"))
}

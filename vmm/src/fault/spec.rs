//! A fault as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use humantime::parse_duration;
use serde::{Serialize, Serializer};

use super::when::compact;
use super::{DiskOperation, FaultKind, FaultSpec, IpiClass, Millionths};
use crate::error::{Error, Result};

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

impl FaultKind {
    /// The keys that its specification may have.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::IpiDrop | Self::IpiMisroute => &["vcpu", "to", "vector", "mode", "nth", "times"],
            Self::IpiDelay | Self::IpiDuplicate | Self::IpiReorder => {
                &["vcpu", "to", "vector", "mode", "nth", "times", "for"]
            }
            Self::IrqDrop => &["vcpu", "vector", "nth", "times"],
            Self::IrqSpurious => &["vcpu", "vector", "at", "every", "p", "times"],
            Self::Nmi => &["vcpu", "at", "every", "p", "times"],
            Self::DiskError | Self::DiskLost => &["disk", "op", "sector", "p", "nth", "times"],
            Self::DiskTorn => &["disk", "sector", "p", "nth", "times"],
            Self::DiskDelay => &["disk", "op", "sector", "p", "nth", "times", "for"],
        }
    }
}

impl FromStr for FaultSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|problem| Error::Config {
            setting: "--fault",
            value: format!("{text:?}"),
            problem,
        })
    }
}

fn parse(text: &str) -> Result<FaultSpec, String> {
    let (name, settings) = text.split_once(':').unwrap_or((text, ""));
    let name = name.trim();
    let kind = FaultKind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
        let names: Vec<_> = FaultKind::ALL.into_iter().map(FaultKind::name).collect();
        format!("`{name}` is no fault: there are {}", names.join(", "))
    })?;
    let mut spec = FaultSpec::new(kind);
    let mut seen = Vec::new();
    for setting in settings.split(',').map(str::trim).filter(|setting| !setting.is_empty()) {
        // A bare number is how often.
        let (key, value) = match setting.split_once('=') {
            Some((key, value)) => (key.trim(), value.trim()),
            None if setting.bytes().all(|byte| byte.is_ascii_digit()) => ("times", setting),
            None => return Err(format!("`{setting}`: write KEY=VALUE")),
        };
        if !kind.keys().contains(&key) {
            return Err(format!("`{name}` has no `{key}`; it has {}", kind.keys().join(", ")));
        }
        if seen.contains(&key) {
            return Err(format!("`{key}` is given twice"));
        }
        set(&mut spec, key, value)?;
        seen.push(key);
    }
    if spec.every.is_some() && !seen.contains(&"times") {
        spec.times = FaultSpec::UNLIMITED;
    }
    match (kind, spec.vector, spec.mode) {
        (FaultKind::IrqSpurious, None, _) => {
            Err("which interrupt? Give its vector, such as irq-spurious:vector=0x40".into())
        }
        (FaultKind::DiskLost, ..) if spec.operation == Some(DiskOperation::Read) => {
            Err("op=read: a read can't be lost and reported as done".into())
        }
        (_, Some(_), Some(mode)) if mode != IpiClass::Fixed => {
            Err("`vector` and `mode`: only an IPI of mode fixed has a vector".into())
        }
        _ => Ok(spec),
    }
}

fn set(spec: &mut FaultSpec, key: &str, value: &str) -> Result<(), String> {
    match key {
        "vcpu" => spec.vcpu = Some(vcpu(key, value)?),
        "to" => spec.to = Some(vcpu(key, value)?),
        "vector" => spec.vector = Some(vector(value)?),
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

fn vcpu(key: &str, value: &str) -> Result<u32, String> {
    let vcpu = value.parse().ok().filter(|vcpu| *vcpu < MAX_VCPUS);
    vcpu.ok_or_else(|| format!("{key}={value}: give the number of a vCPU, from 0"))
}

fn vector(value: &str) -> Result<u8, String> {
    let number = match value.strip_prefix("0x") {
        Some(hex) => u8::from_str_radix(hex, 16),
        None => value.parse(),
    };
    let vector = number.ok().filter(|vector| *vector >= FIRST_VECTOR);
    vector.ok_or_else(|| format!("vector={value}: give a number from 16 to 255, such as 0x40"))
}

fn mode(value: &str) -> Result<IpiClass, String> {
    let mode = IpiClass::ALL.into_iter().find(|(_, name)| *name == value);
    mode.map(|(mode, _)| mode).ok_or_else(|| format!("mode={value}: give fixed, nmi, init or sipi"))
}

impl fmt::Display for FaultSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = Vec::new();
        settings.extend(self.vcpu.map(|vcpu| format!("vcpu={vcpu}")));
        settings.extend(self.to.map(|to| format!("to={to}")));
        settings.extend(self.vector.map(|vector| format!("vector={vector:#x}")));
        let mode = IpiClass::ALL.into_iter().find(|(mode, _)| Some(*mode) == self.mode);
        settings.extend(mode.map(|(_, name)| format!("mode={name}")));
        settings.extend(self.disk.map(|disk| format!("disk={disk}")));
        let operation = DiskOperation::ALL
            .into_iter()
            .find(|(operation, _)| Some(*operation) == self.operation);
        settings.extend(operation.map(|(_, name)| format!("op={name}")));
        settings.extend(self.sector.map(|sector| format!("sector={sector}")));
        settings.extend(self.at.map(|at| format!("at={at}")));
        settings.extend(self.every.map(|every| format!("every={}", compact(every))));
        settings.extend(self.probability.map(|p| format!("p={}", p.get())));
        settings.extend(self.nth.map(|nth| format!("nth={nth}")));
        let usual = if self.every.is_some() { FaultSpec::UNLIMITED } else { 1 };
        settings.extend((self.times != usual).then(|| format!("times={}", self.times)));
        let own = self.time.filter(|_| self.time != self.kind.default_time());
        settings.extend(own.map(|time| format!("for={}", compact(time))));
        f.write_str(self.kind.name())?;
        if settings.is_empty() { Ok(()) } else { write!(f, ":{}", settings.join(",")) }
    }
}

impl Serialize for FaultSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

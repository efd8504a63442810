//! A fault as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::values::set;
use super::when::compact;
use super::{DiskOperation, FaultKind, FaultSpec, IpiClass, When};
use crate::error::{Error, Result};

impl FaultKind {
    /// The keys that its specification may have.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::IpiDrop | Self::IpiMisroute => &["vcpu", "to", "vector", "mode", "nth", "times"],
            Self::IpiDelay | Self::IpiDuplicate | Self::IpiReorder => {
                &["vcpu", "to", "vector", "mode", "nth", "times", "for"]
            }
            Self::IrqDrop => &["vcpu", "vector", "nth", "times"],
            Self::IrqSpurious => &["vcpu", "vector", "at", "every", "p", "nth", "times"],
            Self::Nmi => &["vcpu", "at", "every", "p", "nth", "times"],
            Self::Exception => {
                &["vcpu", "vector", "error", "address", "at", "every", "p", "nth", "times"]
            }
            Self::VcpuStall => &["vcpu", "at", "every", "p", "nth", "times", "for"],
            Self::VcpuStart => &["vcpu", "for"],
            Self::BitFlip => &[
                "vcpu", "symbol", "address", "physical", "bit", "at", "every", "p", "nth", "times",
            ],
            Self::MsrFail => &["vcpu", "msr", "op", "p", "nth", "times"],
            Self::MsrLie => &["vcpu", "msr", "value", "p", "nth", "times"],
            Self::TscOffset => &["vcpu", "by"],
            Self::TscJump => &["vcpu", "by", "at", "every", "p", "nth", "times"],
            Self::ClockJump => &["by", "at", "every", "p", "nth", "times"],
            Self::TscDrift => &["vcpu", "ppm"],
            Self::DiskError | Self::DiskLost => &["disk", "op", "sector", "p", "nth", "times"],
            Self::DiskTorn | Self::DiskFull => &["disk", "sector", "p", "nth", "times"],
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
    match missing(&spec).or_else(|| contradiction(&spec)) {
        Some(problem) => Err(problem),
        None => Ok(spec),
    }
}

/// What a fault can't be without and its specification doesn't say.
fn missing(spec: &FaultSpec) -> Option<String> {
    let has_place = spec.address.or(spec.physical).is_some() || spec.symbol.is_some();
    let problem = match spec.kind {
        FaultKind::IrqSpurious if spec.vector.is_none() => {
            "which interrupt? Give its vector, such as irq-spurious:vector=0x40"
        }
        FaultKind::Exception if spec.vector.is_none() => {
            "which exception? Give its vector, such as exception:vector=13 for #GP"
        }
        FaultKind::VcpuStart if spec.vcpu.is_none() => "which vCPU? Give vcpu=N",
        FaultKind::BitFlip if !has_place => {
            "where? Give symbol=NAME, or an address: linear (address=0x...) or guest-physical \
             (physical=0x...)"
        }
        FaultKind::MsrFail | FaultKind::MsrLie if spec.msr.is_none() => {
            "which register? Give its number, such as msr=0x1b"
        }
        FaultKind::MsrLie if spec.value.is_none() => "what does it return? Give value=0x...",
        FaultKind::TscOffset | FaultKind::TscJump | FaultKind::ClockJump if spec.by.is_none() => {
            "by how much? Give for example by=5ms, or by=-5ms"
        }
        FaultKind::TscDrift if spec.ppm.is_none() => {
            "by how much? Give millionths, such as ppm=500, or ppm=-500"
        }
        _ => return None,
    };
    Some(problem.into())
}

/// Settings that exclude each other.
fn contradiction(spec: &FaultSpec) -> Option<String> {
    let problem = match (spec.kind, spec.operation) {
        (FaultKind::DiskLost, Some(DiskOperation::Read)) => {
            "op=read: a read can't be lost and reported as done"
        }
        (FaultKind::MsrFail, Some(DiskOperation::Flush)) => "op=flush: give read or write",
        (FaultKind::VcpuStart, _) if spec.vcpu == Some(0) => {
            "vcpu=0: vCPU 0 boots the machine, and nobody starts it; vcpu-stall:vcpu=0,at=0s holds it"
        }
        (FaultKind::BitFlip, _)
            if spec.physical.is_some() && (spec.address.is_some() || spec.symbol.is_some()) =>
        {
            "`physical` and another place: give one"
        }
        _ if spec.nth.is_some()
            && spec.kind.has_time()
            && !matches!(spec.at, Some(When::Symbol(_))) =>
        {
            "`nth` needs at=symbol:NAME: the n-th time that a vCPU executes it"
        }
        _ if spec.vector.is_some() && spec.mode.is_some_and(|mode| mode != IpiClass::Fixed) => {
            "`vector` and `mode`: only an IPI of mode fixed has a vector"
        }
        _ => return None,
    };
    Some(problem.into())
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
        settings.extend(self.msr.map(|msr| format!("msr={msr:#x}")));
        settings.extend(self.value.map(|value| format!("value={value:#x}")));
        settings.extend(self.symbol.as_ref().map(|symbol| format!("symbol={symbol}")));
        settings.extend(self.address.map(|address| format!("address={address:#x}")));
        settings.extend(self.physical.map(|physical| format!("physical={physical:#x}")));
        settings.extend(self.bit.map(|bit| format!("bit={bit}")));
        settings.extend(self.error_code.map(|code| format!("error={code:#x}")));
        settings.extend(self.by.map(|by| {
            let sign = if by < 0 { "-" } else { "" };
            format!("by={sign}{}", compact(Duration::from_nanos(by.unsigned_abs())))
        }));
        settings.extend(self.ppm.map(|ppm| format!("ppm={ppm}")));
        settings.extend(self.at.as_ref().map(|at| format!("at={at}")));
        settings.extend(self.every.map(|every| format!("every={}", compact(every))));
        settings.extend(self.probability.map(|p| format!("p={}", p.get())));
        settings.extend(self.nth.map(|nth| format!("nth={nth}")));
        let usual = if self.every.is_some() { Self::UNLIMITED } else { self.kind.default_times() };
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

//! The values of an experiment file: the types that the command line has, read by the same code.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::{Deserialize, Deserializer, de};
use vmm::criteria::Pattern;
use vmm::identity::Identity;
use vmm::jitter::JitterSpec;
use vmm::limits::{Watchdog, parse_time};
use vmm::memory::MemorySize;
use vmm::{CpuCount, DiskConfig, FaultSpec};

/// A value that the file has as a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<T>(pub T);

/// A type that is read from a text.
pub trait FromText: Sized {
    /// Reads the text. An error says what is wrong with it and what would be right.
    fn from_text(text: &str) -> Result<Self, String>;
}

/// The problem with a setting, without the name of the option, which a file does not have.
fn read<T: FromStr<Err = vmm::Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(problem)
}

fn problem(error: vmm::Error) -> String {
    match error {
        vmm::Error::Config { problem, .. } => problem,
        other => other.to_string(),
    }
}

impl FromText for MemorySize {
    fn from_text(text: &str) -> Result<Self, String> {
        read(text)
    }
}

impl FromText for Identity {
    fn from_text(text: &str) -> Result<Self, String> {
        read(text)
    }
}

impl FromText for JitterSpec {
    fn from_text(text: &str) -> Result<Self, String> {
        read(text)
    }
}

impl FromText for FaultSpec {
    fn from_text(text: &str) -> Result<Self, String> {
        read(text)
    }
}

impl FromText for DiskConfig {
    fn from_text(text: &str) -> Result<Self, String> {
        read(text)
    }
}

impl FromText for Pattern {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl FromText for Watchdog {
    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }
}

impl FromText for Duration {
    fn from_text(text: &str) -> Result<Self, String> {
        parse_time(text)
    }
}

impl<'de, T: FromText> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        T::from_text(&text).map(Self).map_err(de::Error::custom)
    }
}

impl<T> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The faults of a machine, which the file has as a text, as a list of texts, or as `none`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<FaultSpec>);

impl Faults {
    const NONE: &str = "none";
}

impl<'de> Deserialize<'de> for Faults {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Faults;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a fault, a list of faults, or `none`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Faults, E> {
                if text == Faults::NONE {
                    return Ok(Faults::default());
                }
                FaultSpec::from_text(text).map(|fault| Faults(vec![fault])).map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Faults, A::Error> {
                let list = Vec::<Text<FaultSpec>>::deserialize(SeqAccessDeserializer::new(list))?;
                Ok(Faults(list.into_iter().map(|fault| fault.0).collect()))
            }
        }

        from.deserialize_any(Visitor)
    }
}

impl JsonSchema for Faults {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Faults".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = json_schema!({ "type": "string" });
        json_schema!({ "anyOf": [text, { "type": "array", "items": text }] })
    }
}

impl Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(if faults.is_empty() { Self::NONE } else { "" })?;
        f.write_str(&faults.join(" and "))
    }
}

/// A number of vCPUs, which the file has as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpus(pub CpuCount);

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let count = u32::deserialize(from)?;
        CpuCount::new(count).map(Self).map_err(|error| de::Error::custom(problem(error)))
    }
}

impl JsonSchema for Cpus {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Cpus".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": CpuCount::MAX })
    }
}

impl Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count(pub u64);

impl Count {
    /// The largest number that the file's format and the store can hold.
    pub const MAX: u64 = i64::MAX as u64;
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match i64::deserialize(from)? {
            count @ 1.. => Ok(Self(count as u64)),
            _ => Err(de::Error::custom("give a number from 1 on")),
        }
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1 })
    }
}

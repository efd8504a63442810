//! Stacks with the names of their functions.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::symbols::Symbols;
use crate::unwind::{CallFrame, Quality};

/// A call stack, innermost frame first.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Stack {
    /// RIP, then the return addresses.
    pub frames: Vec<Frame>,
}

/// A frame of a [`Stack`].
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Frame {
    /// RIP or a return address. Serialised in hex, because a JSON number would lose bits.
    #[serde(serialize_with = "vmm::hex::number")]
    #[schemars(with = "String")]
    pub address: u64,
    /// How sure it is that the frame belongs to the stack; absent if only its address is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// The function that contains the address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The address's offset from the start of the function; 0 if the function is unknown.
    pub offset: u64,
    /// The module of the guest's kernel that contains the function; absent for the kernel itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
    /// The source file, with its path as the compiler recorded it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line in that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl Stack {
    /// Looks up the names of the frames that an unwinder has found.
    pub fn of(frames: &[CallFrame], symbols: Option<&Symbols>) -> Self {
        let frame = |frame: &CallFrame| Frame {
            quality: Some(frame.quality),
            ..Frame::new(frame.address, u64::from(frame.is_return_address), symbols)
        };
        Self { frames: frames.iter().map(frame).collect() }
    }

    /// Looks up the names for the addresses of a stack, innermost first. All but the first are
    /// taken for return addresses.
    pub fn new(addresses: &[u64], symbols: Option<&Symbols>) -> Self {
        let frame =
            |(index, &address): (usize, &u64)| Frame::new(address, u64::from(index > 0), symbols);
        Self { frames: addresses.iter().enumerate().map(frame).collect() }
    }
}

impl Frame {
    /// Names `address` after the code that is `back` bytes before it: a return address follows the
    /// call, which may be the last instruction of its function, so the call is looked up.
    pub(crate) fn new(address: u64, back: u64, symbols: Option<&Symbols>) -> Self {
        let looked_up = address.wrapping_sub(back);
        let function = symbols.and_then(|symbols| symbols.function(looked_up));
        let line = symbols.and_then(|symbols| symbols.line(looked_up));
        let offset = function.map_or(0, |(_, offset)| offset.wrapping_add(back));
        let (file, line) = match line {
            Some(line) => (Some(line.file), Some(line.line)),
            None => (None, None),
        };
        let function = function.map(|(name, _)| name.to_owned());
        Self { address, quality: None, function, offset, module: None, file, line }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As in the kernel's own stack traces.
        if self.quality == Some(Quality::Guessed) {
            f.write_str("? ")?;
        }
        match &self.function {
            Some(function) => write!(f, "{function}+{:#x}", self.offset)?,
            None => write!(f, "{:#x}", self.address)?,
        }
        if let Some(module) = &self.module {
            write!(f, " [{module}]")?;
        }
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, " ({}:{line})", basename(file)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, frame) in self.frames.iter().enumerate() {
            if index > 0 {
                f.write_str(" < ")?;
            }
            write!(f, "{frame}")?;
        }
        Ok(())
    }
}

/// The last part of a path.
fn basename(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

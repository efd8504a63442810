//! Where gdb connects to.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where to wait for gdb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    /// A TCP port of the loopback interface; 0 is any that is free.
    Port(u16),
    /// A Unix socket, which is created.
    Socket(PathBuf),
}

/// The hosts that can be named before a port.
const LOOPBACK: [&str; 3] = ["", "localhost", "127.0.0.1"];

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None => ("", text),
        };
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if text.is_empty() {
            return Err("it is empty: give a port or the path of a socket".into());
        }
        if text.contains('/') {
            return Ok(Self::Socket(text.into()));
        }
        if !is_number {
            let begins_as_port = text.starts_with(|first: char| first.is_ascii_digit());
            let begins_as_host = LOOPBACK.iter().any(|host| text.starts_with(&format!("{host}:")));
            if begins_as_port || begins_as_host {
                return Err(format!(
                    "{text}: neither a port nor the path of a socket: a port is a number, and a \
                     socket of this name is ./{text}"
                ));
            }
            return Ok(Self::Socket(text.into()));
        }
        if !LOOPBACK.contains(&host) {
            return Err(format!(
                "{host}: gdb can connect from this machine only: give the port, as {port}, or as \
                 127.0.0.1:{port}"
            ));
        }
        let port = port.parse().map_err(|_| format!("{port} is no port: 0 to 65535 are"))?;
        Ok(Self::Port(port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;

//! What daemon and clients say to each other.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::{Output, run::conduct::Reply};

/// Raised when one side no longer understands the other.
pub(crate) const PROTOCOL: u32 = 1;
/// More than any order, without what follows it.
pub(crate) const ORDER_LIMIT: usize = 64 << 10;
/// More input than that is run by whoever has it.
pub(crate) const INPUT_LIMIT: usize = 64 << 20;
/// Linux has 6 MiB for arguments and environment together.
pub(crate) const ENVIRONMENT_LIMIT: usize = 8 << 20;

/// Why a daemon takes nothing on that is on its way out.
pub(crate) const ENDING: &str = "the daemon is about to end";

/// The daemon's first words. Their form is the same in every version.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Greeting {
    /// The program's version.
    pub(crate) hook_manager: String,
    pub(crate) protocol: u32,
    pub(crate) pid: u32,
}

impl Greeting {
    pub(crate) fn ours() -> Self {
        Self {
            hook_manager: env!("CARGO_PKG_VERSION").into(),
            protocol: PROTOCOL,
            pid: std::process::id(),
        }
    }

    pub(crate) fn is_understood(&self) -> bool {
        self.protocol == PROTOCOL && self.hook_manager == env!("CARGO_PKG_VERSION")
    }
}

/// What a client wants.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// To finish what is under way and end. Its form is the same in every version.
    Quit,
    Run(RunOrder),
    Look(Look),
}

/// An event. Its input and the environment follow, so many bytes each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunOrder {
    pub(crate) event: String,
    pub(crate) output: Output,
    pub(crate) source: String,
    /// Milliseconds for all of it, where the asker says so.
    pub(crate) deadline: Option<u64>,
    /// Milliseconds that have gone already.
    pub(crate) gone: u64,
    pub(crate) max_concurrent_hooks: Option<usize>,
    pub(crate) depth: u32,
    pub(crate) input: usize,
    pub(crate) environment: usize,
}

/// A look into the manager, or a hand on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Look {
    Stats,
    Health,
    Breakers,
    SetBreakers { to: Brake, hook: Option<String> },
    Cache,
    Invalidate(Option<String>),
    Optimize,
    Trace(usize),
}

/// What to do with circuits by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Brake {
    Reset,
    Open,
    Close,
}

/// What the daemon says to an order.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It will be run when the asker says `go`, within so many milliseconds in all.
    Accepted(u64),
    /// Nothing was done, for this reason.
    Refused(String),
    Reply(Reply),
    Seen(Value),
}

/// One line.
pub(crate) fn line(of: &impl Serialize) -> Vec<u8> {
    // These types have nothing that JSON has not.
    let mut line = serde_json::to_vec(of).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Variables as the system itself writes them: `NAME=value`, each with a zero behind it.
pub(crate) fn pack(vars: impl Iterator<Item = (OsString, OsString)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4096);
    for (name, value) in vars {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b'=');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(0);
    }
    bytes
}

pub(crate) fn unpack(bytes: &[u8]) -> Vec<(OsString, OsString)> {
    let entry = |entry: &[u8]| {
        // A name may begin with the sign.
        let at = 1 + entry.get(1..)?.iter().position(|byte| *byte == b'=')?;
        let owned = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        Some((owned(&entry[..at]), owned(&entry[at + 1..])))
    };
    bytes.split(|byte| *byte == 0).filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_comes_out_as_it_went_in() {
        let odd = OsString::from_vec(b"\xff=\n".to_vec());
        let vars = vec![
            ("A".into(), "".into()),
            ("B".into(), odd),
            ("=C".into(), "D=E".into()),
        ];
        assert_eq!(unpack(&pack(vars.clone().into_iter())), vars);
        assert_eq!(unpack(b"no sign\0=\0\0"), vec![]);
    }
}

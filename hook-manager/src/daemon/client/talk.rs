//! A conversation with whoever listens at a daemon's place.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use crate::daemon::{
    place::Place,
    wire::{self, Answer, Greeting, Order},
};

/// More than any reply.
const REPLY_LIMIT: usize = 256 << 20;

/// What becomes of a daemon of another version.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Foreign {
    /// It finishes what it has, and makes room for one of our kind.
    IsAskedToGo,
    IsLeft,
}

/// Why nobody can be talked to.
pub(super) enum Trouble {
    Nobody(io::Error),
    Silent(io::Error),
    Foreign(Greeting),
}

impl Trouble {
    /// Whether a daemon could be started.
    pub(super) fn nobody_is_there(&self) -> bool {
        matches!(self, Self::Nobody(_))
    }

    /// Whether waiting helps: one that hangs may hang for ever.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Nobody(_) | Self::Foreign(_) => true,
            Self::Silent(err) => is_hung_up(err),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nobody(err) => write!(f, "no daemon runs ({err})"),
            Self::Silent(err) => write!(f, "the daemon does not answer ({err})"),
            Self::Foreign(greeting) => write!(
                f,
                "the daemon is version {} and speaks protocol {}; expected {} and {}",
                greeting.hook_manager,
                greeting.protocol,
                env!("CARGO_PKG_VERSION"),
                wire::PROTOCOL
            ),
        }
    }
}

/// A conversation.
pub(super) struct Talk {
    stream: UnixStream,
    /// The other side's process.
    pub(super) daemon: u32,
    /// What was read beyond the last line.
    heard: Vec<u8>,
}

impl Talk {
    pub(super) fn open(place: &Place, patience: Duration, foreign: Foreign) -> Result<Self, Trouble> {
        place.check().map_err(Trouble::Nobody)?;
        let stream = connect(place).map_err(|err| match err.kind() {
            // Its queue is full: it is there, and hangs.
            io::ErrorKind::WouldBlock => Trouble::Silent(err),
            _ => Trouble::Nobody(err),
        })?;
        check_peer(&stream).map_err(Trouble::Silent)?;
        let mut talk = Self {
            stream,
            daemon: 0,
            heard: Vec::new(),
        };
        let greeting = talk
            .hear(Instant::now() + patience, 4096)
            .map_err(Trouble::Silent)?;
        let greeting: Greeting =
            serde_json::from_slice(&greeting).map_err(|err| Trouble::Silent(err.into()))?;
        talk.daemon = greeting.pid;
        if greeting.is_understood() {
            return Ok(talk);
        }
        if foreign == Foreign::IsAskedToGo {
            let _ = talk.say(&[&wire::line(&Order::Quit)]);
        }
        Err(Trouble::Foreign(greeting))
    }

    pub(super) fn say(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        // In one go: each would wake the daemon once.
        self.stream.write_all(&parts.concat())
    }

    pub(super) fn answer(&mut self, until: Instant) -> io::Result<Answer> {
        let line = self.hear(until, REPLY_LIMIT)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// The next line.
    fn hear(&mut self, until: Instant, limit: usize) -> io::Result<Vec<u8>> {
        let mut looked = 0;
        let mut chunk = [0; 16 << 10];
        loop {
            if let Some(at) = self.heard[looked..].iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(looked + at + 1);
                return Ok(std::mem::replace(&mut self.heard, rest));
            }
            looked = self.heard.len();
            if looked > limit {
                return Err(io::Error::other(format!("a line of more than {limit} bytes")));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.heard.extend_from_slice(&chunk[..read]),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(err) => return Err(err),
            }
        }
    }
}

/// The folder is ours, and so is whoever listens in it: but for a folder above that others can write to.
fn check_peer(stream: &UnixStream) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let peer = rustix::net::sockopt::socket_peercred(stream)?;
        let us = rustix::process::geteuid();
        if peer.uid != us {
            let (peer, us) = (peer.uid.as_raw(), us.as_raw());
            return Err(io::Error::other(format!(
                "it is user {peer}'s; expected user {us}'s"
            )));
        }
    }
    let _ = stream;
    Ok(())
}

/// Connects, or fails at once: to a daemon that has been stopped, with a full queue, one would wait for ever.
fn connect(place: &Place) -> io::Result<UnixStream> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(place.socket())?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// Whether the other side has gone.
pub(super) fn is_hung_up(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(err.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

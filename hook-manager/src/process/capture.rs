use std::{borrow::Cow, fmt, io, os::fd::OwnedFd};

use tokio::{io::AsyncReadExt, net::unix::pipe::Receiver};

/// Read at a time: what a pipe holds by default on Linux.
const CHUNK: usize = 64 * 1024;

/// What a program wrote: the beginning, and how much more there was.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Captured {
    bytes: Vec<u8>,
    excess: u64,
}

impl Captured {
    /// The bytes that were kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that were kept, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes that were kept, as text; what is not UTF-8 becomes U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// How many bytes were read and thrown away because the limit was reached.
    pub fn excess(&self) -> u64 {
        self.excess
    }

    fn push(&mut self, read: &[u8], cap: usize) {
        let kept = read.len().min(cap - self.bytes.len());
        self.bytes.extend_from_slice(&read[..kept]);
        self.excess += (read.len() - kept) as u64;
    }
}

impl From<Vec<u8>> for Captured {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, excess: 0 }
    }
}

// By hand: a mebibyte of numbers helps nobody.
impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.bytes[..self.bytes.len().min(200)];
        f.debug_struct("Captured")
            .field("head", &String::from_utf8_lossy(head))
            .field("len", &self.bytes.len())
            .field("excess", &self.excess)
            .finish()
    }
}

/// Our end of one of the program's output pipes.
pub(super) struct Reader {
    pipe: Receiver,
    scratch: Vec<u8>,
    captured: Captured,
    cap: usize,
    ended: bool,
}

impl Reader {
    pub(super) fn new(pipe: OwnedFd, cap: usize) -> io::Result<Self> {
        let pipe = Receiver::from_owned_fd(pipe)?;
        Ok(Self {
            pipe,
            scratch: vec![0; CHUNK],
            captured: Captured::default(),
            cap,
            ended: false,
        })
    }

    /// Reads until the last writer is gone. May be dropped and called again.
    pub(super) async fn read(&mut self) {
        while !self.ended {
            match self.pipe.read(&mut self.scratch).await {
                Ok(0) | Err(_) => self.ended = true,
                Ok(n) => self.captured.push(&self.scratch[..n], self.cap),
            }
        }
    }

    /// Takes what lies in the pipe at this moment, without waiting, and closes it.
    ///
    /// What a program that has ended wrote is all in there, however late we come. Past the runtime's
    /// own notion of readiness, which lags behind. Whoever goes on writing meanwhile is not followed.
    pub(super) fn finish(mut self) -> Captured {
        let mut left = if self.ended {
            0
        } else {
            rustix::io::ioctl_fionread(&self.pipe).unwrap_or(0)
        };
        while left > 0 {
            let wanted = self
                .scratch
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            match rustix::io::read(&self.pipe, &mut self.scratch[..wanted]) {
                Ok(n) if n > 0 => {
                    self.captured.push(&self.scratch[..n], self.cap);
                    left -= n as u64;
                }
                _ => break,
            }
        }
        self.captured
    }
}

//! A program that stays: it is asked a line, and answers with a line.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use rustix::io::Errno;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe::{Receiver, Sender},
    select,
    time::timeout,
};

use super::{
    Command, Ended,
    exit::{self, Exit},
    group::Group,
};

/// Read at a time.
const CHUNK: usize = 16 * 1024;
/// How long a program that has closed its pipes is given to end.
const MOMENT: Duration = Duration::from_millis(100);
/// How much is kept of what a program has last said on standard error.
const LAST_WORDS: usize = 1024;

/// A running program, its process group, and our ends of its pipes. Whoever drops it has it terminated;
/// its standard input is closed first.
pub(crate) struct Dialogue {
    stdin: Sender,
    stdout: Lines,
    stderr: Tail,
    exit: Exit,
    /// How often it was asked.
    asked: u64,
    group: Group,
}

/// Why there is no answer. After any of these the program is of no more use.
#[derive(Debug)]
pub(crate) enum AskError {
    /// It had closed its standard input or ended before it read the first byte, and so was not asked; if it
    /// has ended, like this.
    NotAsked(Option<Ended>),
    /// It has ended, without an answer.
    Ended(Ended),
    /// It has closed its standard output, and lives on.
    Silent,
    /// Its line is over the limit.
    TooLong,
    /// It wrote more than one line.
    TwoLines,
    /// It answered before it had been asked all of it.
    TooEarly,
    /// The system said no.
    Io(io::Error),
}

impl fmt::Debug for Dialogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialogue")
            .field("leader", &self.group.leader())
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}

impl Dialogue {
    /// Starts the program. `keep` is dropped when nobody of its group is alive any more.
    pub(crate) async fn start<K: Send + 'static>(
        command: &Command,
        grace: Duration,
        keep: K,
    ) -> io::Result<Self> {
        // From here on every way out leads through `Group::drop`.
        let (group, mut pipes) = Group::start(command, grace, keep).await?;
        let exit = Exit::of(group.leader())?;
        Ok(Self {
            stdin: pipes.stdin()?,
            stdout: Lines::new(pipes.stdout)?,
            stderr: Tail::new(pipes.stderr)?,
            exit,
            asked: 0,
            group,
        })
    }

    /// Whether it can be asked: it lives, listens, and has said nothing since its last answer. What a program
    /// says before it is first asked is its own affair.
    pub(crate) fn is_fit(&mut self) -> bool {
        self.stderr.catch_up();
        let is_alive = matches!(exit::peek(self.group.leader()), Ok(None));
        is_alive && (self.asked == 0 || self.stdout.is_quiet())
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> u64 {
        self.asked
    }

    /// The end of what it has said on standard error, as text.
    pub(crate) fn last_words(&mut self) -> String {
        self.stderr.catch_up();
        String::from_utf8_lossy(&self.stderr.kept).trim().to_owned()
    }

    /// Asks `line`, which ends with a newline, and reads lines of up to `limit` bytes until `is_answer`
    /// takes one; the others are passed over. The answer comes without its newline.
    ///
    /// # Cancellation
    ///
    /// A program whose answer has not been read is of no more use.
    pub(crate) async fn ask(
        &mut self,
        line: &[u8],
        limit: usize,
        is_answer: impl Fn(&[u8]) -> bool + Send + Sync,
    ) -> Result<Vec<u8>, AskError> {
        self.asked += 1;
        let sent = AtomicUsize::new(0);
        let (stdin, stdout, stderr) = (&mut self.stdin, &mut self.stdout, &mut self.stderr);
        let heard = {
            let mut feed = pin!(async {
                let mut done = 0;
                while done < line.len() {
                    match stdin.write(&line[done..]).await {
                        Ok(n) if n > 0 => done += n,
                        // It may answer all the same, or has ended: both are seen elsewhere.
                        _ if done > 0 => break,
                        _ => return,
                    }
                    sent.store(done, Ordering::Relaxed);
                }
                std::future::pending::<()>().await;
            });
            let mut drain = pin!(stderr.drain());
            let mut hear = pin!(async {
                let mut passed = 0;
                while passed <= limit {
                    let line = stdout.line(limit).await?;
                    if is_answer(&line) {
                        return Ok(line);
                    }
                    passed += line.len() + 1;
                }
                Err(AskError::TooLong)
            });
            select! {
                biased;
                heard = &mut hear => Some(heard),
                ended = self.exit.seen() => match ended {
                    Ok(ended) => Some(Err(AskError::Ended(ended))),
                    Err(err) => return Err(AskError::Io(err)),
                },
                () = &mut feed => None,
                () = &mut drain => None,
            }
        };
        let heard = match heard {
            None => Err(AskError::NotAsked(self.end_soon().await.and_then(Result::ok))),
            Some(Err(AskError::Ended(ended))) => self
                .rest(limit, &is_answer)
                .ok_or_else(|| self.unheard(ended, sent.load(Ordering::Relaxed))),
            // A closed output is the first sign of an end, as a rule.
            Some(Err(AskError::Silent)) => Err(match self.end_soon().await {
                None => AskError::Silent,
                Some(Ok(ended)) => self.unheard(ended, sent.load(Ordering::Relaxed)),
                Some(Err(err)) => AskError::Io(err),
            }),
            Some(heard) => heard,
        };
        let answer = heard?;
        if sent.load(Ordering::Relaxed) < line.len() {
            return Err(AskError::TooEarly);
        }
        match self.stdout.has_more() {
            true => Err(AskError::TwoLines),
            false => Ok(answer),
        }
    }

    /// How it ends, if it does so in a moment.
    async fn end_soon(&mut self) -> Option<io::Result<Ended>> {
        timeout(MOMENT, self.exit.seen()).await.ok()
    }

    /// An end without an answer. Where all that was written still lies in the pipe, nobody has read any of it.
    fn unheard(&self, ended: Ended, sent: usize) -> AskError {
        match rustix::io::ioctl_fionread(&self.stdin) {
            Ok(unread) if unread == sent as u64 => AskError::NotAsked(Some(ended)),
            _ => AskError::Ended(ended),
        }
    }

    /// The answer of a program that has ended since; all of it is in the pipe, however late we come.
    fn rest(&mut self, limit: usize, is_answer: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        self.stdout.catch_up(limit);
        loop {
            let line = self.stdout.take_line()?;
            if is_answer(&line) {
                return Some(line);
            }
        }
    }
}

/// Standard output, line by line.
#[derive(Debug)]
struct Lines {
    pipe: Receiver,
    read: Vec<u8>,
    /// Up to here there is no newline.
    searched: usize,
}

impl Lines {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            pipe: Receiver::from_owned_fd(pipe)?,
            read: Vec::new(),
            searched: 0,
        })
    }

    /// The next line. May be dropped and called again.
    async fn line(&mut self, limit: usize) -> Result<Vec<u8>, AskError> {
        loop {
            if let Some(line) = self.take_line() {
                return match line.len() > limit {
                    true => Err(AskError::TooLong),
                    false => Ok(line),
                };
            }
            if self.read.len() > limit {
                return Err(AskError::TooLong);
            }
            self.read.reserve(CHUNK);
            match self.pipe.read_buf(&mut self.read).await {
                Ok(0) => return Err(AskError::Silent),
                Ok(_) => {}
                Err(err) => return Err(AskError::Io(err)),
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let Some(at) = self.read[self.searched..].iter().position(|byte| *byte == b'\n') else {
            self.searched = self.read.len();
            return None;
        };
        let end = self.searched + at;
        let rest = self.read.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.read, rest);
        line.truncate(end);
        self.searched = 0;
        Some(line)
    }

    /// Whether something has come after the answer.
    fn has_more(&self) -> bool {
        !self.read.is_empty() || rustix::io::ioctl_fionread(&self.pipe).is_ok_and(|left| left > 0)
    }

    /// Whether nothing has come, and something still can. Past the runtime's notion of readiness, which lags.
    fn is_quiet(&self) -> bool {
        self.read.is_empty() && rustix::io::read(&self.pipe, &mut [0]) == Err(Errno::AGAIN)
    }

    /// Takes what lies in the pipe, without waiting; not more than anybody would use.
    fn catch_up(&mut self, limit: usize) {
        let mut chunk = [0; 4096];
        while self.read.len() <= limit {
            match rustix::io::read(&self.pipe, &mut chunk) {
                Ok(n) if n > 0 => self.read.extend_from_slice(&chunk[..n]),
                _ => break,
            }
        }
    }
}

/// Standard error: read, and forgotten but for its end.
#[derive(Debug)]
struct Tail {
    pipe: Receiver,
    kept: Vec<u8>,
}

impl Tail {
    fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            pipe: Receiver::from_owned_fd(pipe)?,
            kept: Vec::new(),
        })
    }

    /// Reads for as long as it is asked to.
    async fn drain(&mut self) {
        let mut chunk = [0; 1024];
        loop {
            match self.pipe.read(&mut chunk).await {
                Ok(n) if n > 0 => self.keep(&chunk[..n]),
                _ => break,
            }
        }
        std::future::pending::<()>().await;
    }

    /// Takes what lies in the pipe, without waiting, and not for ever.
    fn catch_up(&mut self) {
        let mut chunk = [0; 1024];
        for _ in 0..64 {
            match rustix::io::read(&self.pipe, &mut chunk) {
                Ok(n) if n > 0 => self.keep(&chunk[..n]),
                _ => break,
            }
        }
    }

    fn keep(&mut self, read: &[u8]) {
        self.kept.extend_from_slice(read);
        let surplus = self.kept.len().saturating_sub(LAST_WORDS);
        self.kept.drain(..surplus);
    }
}

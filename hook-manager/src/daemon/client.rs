//! The client's side: blocking, without a runtime, and with a deadline on everything, for somebody waits.

use std::{
    env, fs,
    io::{self, Read, Write},
    os::unix::{fs::OpenOptionsExt, net::UnixStream, process::CommandExt},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hook_manager::process;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use serde_json::Value;

use super::{
    place::Place,
    wire::{self, Answer, Greeting, Look, Order, RunOrder},
};
use crate::cli::{
    Daemon, RunArgs, SourceArgs, complain,
    run::conduct::{Asked, Reply},
};

/// A daemon that is well greets in microseconds; one that has been stopped, or hangs, is not waited for.
const GREETING: Duration = Duration::from_millis(50);
/// The same for accepting an order whose input it has had to read.
const ACCEPTING: Duration = Duration::from_millis(500);
/// How long a daemon that was just started may take to answer.
const STARTING: Duration = Duration::from_secs(5);
/// How long a reply may take beyond the event's deadline.
const SLACK: Duration = Duration::from_secs(2);
/// The log of daemons that were started on demand is begun anew when it is larger than that.
const LOG_LIMIT: u64 = 1 << 20;
/// More than any reply.
const REPLY_LIMIT: usize = 256 << 20;

/// How an event went.
pub(crate) enum Way {
    Answered(Reply),
    /// No daemon has taken it on: no hook has been started.
    InProcess,
    /// A daemon, this process, had taken it on and is gone, or says nothing of sense; or there was none, and nobody else
    /// may do it. Hooks may have run.
    Lost {
        why: String,
        daemon: Option<u32>,
    },
}

/// Runs an event through the daemon, as far as there is one and the asker wants it.
pub(crate) fn run(args: &RunArgs, asked: &Asked) -> Way {
    let mode = args.daemon;
    // What cannot be read is no daemon's affair.
    if mode == Some(Daemon::Never) || asked.input.is_err() {
        return Way::InProcess;
    }
    match ask(args, asked) {
        Ok(way) => way,
        Err(why) if mode == Some(Daemon::Always) => {
            let why = format!("no daemon answers, and none but a daemon may: {why}");
            Way::Lost { why, daemon: None }
        }
        Err(_) => Way::InProcess,
    }
}

/// An error means that no hook has been started.
fn ask(args: &RunArgs, asked: &Asked) -> Result<Way, String> {
    let input = asked.input.as_ref().map_err(Clone::clone)?;
    if input.len() > wire::INPUT_LIMIT {
        return Err(format!("the input has more than {} bytes", wire::INPUT_LIMIT));
    }
    let place = Place::of(&args.sources);
    let patience = match args.daemon {
        // Nobody else will do it.
        Some(Daemon::Always) => STARTING,
        _ => GREETING,
    };
    let mut talk = match (Talk::open(&place, patience, Foreign::IsAskedToGo), args.daemon) {
        (Ok(talk), _) => talk,
        (Err(trouble), Some(Daemon::Auto)) => {
            // For the events to come; this one is not kept waiting.
            if trouble.nobody_is_there() && asked.depth == 0 {
                start(&args.sources, &place)
                    .unwrap_or_else(|err| complain(format_args!("note: no daemon: {err}")));
            }
            return Err(trouble.to_string());
        }
        (Err(trouble), Some(Daemon::Always)) if trouble.passes() => started(&args.sources, &place)?,
        (Err(trouble), _) => return Err(trouble.to_string()),
    };
    match order(&mut talk, args, asked, input) {
        // It was about to end when we came, which is nobody's fault: the next one will do it.
        Err(not_run) if not_run.is_ending && args.daemon == Some(Daemon::Always) => {
            let mut talk = started(&args.sources, &place)?;
            order(&mut talk, args, asked, input)
        }
        told => told,
    }
    .map_err(|not_run| not_run.why)
}

/// Why a daemon has not taken an event on: no hook has been started.
struct NotRun {
    why: String,
    /// Whether it ends, or has just ended.
    is_ending: bool,
}

impl NotRun {
    fn by(answer: &Answer) -> Self {
        match answer {
            Answer::Refused(why) => Self {
                why: why.clone(),
                is_ending: why == wire::ENDING,
            },
            other => Self {
                why: format!("{other:?} was not expected"),
                is_ending: false,
            },
        }
    }
}

impl From<io::Error> for NotRun {
    fn from(err: io::Error) -> Self {
        Self {
            why: err.to_string(),
            is_ending: is_hung_up(&err),
        }
    }
}

fn is_hung_up(err: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(err.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// An error means that no hook has been started.
fn order(talk: &mut Talk, args: &RunArgs, asked: &Asked, input: &[u8]) -> Result<Way, NotRun> {
    let accepting = match args.daemon {
        Some(Daemon::Always) => STARTING,
        _ => ACCEPTING,
    };
    let environment = wire::pack(env::vars_os());
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let order = Order::Run(RunOrder {
        event: asked.event.as_str().into(),
        output: asked.output,
        source: asked.source.clone(),
        deadline: asked.deadline.map(millis),
        gone: millis(asked.started.elapsed()),
        max_concurrent_hooks: args.max_concurrent_hooks,
        depth: asked.depth,
        input: input.len(),
        environment: environment.len(),
    });
    talk.say(&[&wire::line(&order), input, &environment])?;
    let total = match talk.answer(Instant::now() + accepting)? {
        Answer::Accepted(total) => Duration::from_millis(total),
        other => return Err(NotRun::by(&other)),
    };
    match talk.say(&[b"go\n"]) {
        // It is gone, and has not read it.
        Err(err) if err.kind() == io::ErrorKind::BrokenPipe => return Err(err.into()),
        _ => {}
    }
    // From here on the hooks may run, whatever else happens.
    let until = asked.started + total + SLACK;
    let daemon = Some(talk.daemon);
    let lost = |why: String| {
        let why = format!(
            "the daemon was lost in mid-event ({why}); its hooks may have run, and are not run again"
        );
        Way::Lost { why, daemon }
    };
    Ok(match talk.answer(until) {
        Ok(Answer::Reply(reply)) => Way::Answered(reply),
        // It says itself that it has not begun.
        Ok(refused @ Answer::Refused(_)) => return Err(NotRun::by(&refused)),
        Ok(other) => lost(format!("{other:?} was not expected")),
        Err(err) => lost(err.to_string()),
    })
}

/// Ends the hooks of a daemon that was killed: there is nobody else to do it before the next daemon comes.
#[expect(
    clippy::disallowed_methods,
    reason = "there is no runtime here, and nothing to be told by"
)]
pub(crate) fn end_what_is_left(sources: &SourceArgs, daemon: u32) {
    const DYING: Duration = Duration::from_millis(500);
    let until = Instant::now() + DYING;
    // Its socket is closed a moment before it is dead.
    while lives(daemon) {
        if Instant::now() >= until {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    // Somebody waits for us.
    process::end_leftovers(Place::of(sources).owner(), DYING);
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let mut fields = after_name.split_ascii_whitespace();
    let is_zombie = matches!(fields.next(), None | Some("Z" | "X"));
    // Its first thread may have ended before the others.
    !is_zombie || fields.nth(16).is_some_and(|threads| threads != "1")
}

/// Asks the daemon something else, if there is one that answers.
///
/// # Errors
///
/// If there is none; or if there is one, and what is asked for cannot be had of it.
pub(crate) fn look(sources: &SourceArgs, look: Look) -> Result<Value, NoLook> {
    // Whoever only looks sends nobody away.
    let talk = Talk::open(&Place::of(sources), STARTING, Foreign::IsLeft);
    let mut talk = talk.map_err(|trouble| NoLook {
        is_there: !trouble.nobody_is_there(),
        why: trouble.to_string(),
    })?;
    let order = wire::line(&Order::Look(look));
    let answer = talk
        .say(&[&order])
        .and_then(|()| talk.answer(Instant::now() + Duration::from_secs(5)));
    let why = match answer {
        Ok(Answer::Seen(value)) => return Ok(value),
        Ok(Answer::Refused(why)) => why,
        Ok(other) => format!("{other:?} was not expected"),
        Err(err) => format!("the daemon does not answer ({err})"),
    };
    Err(NoLook { is_there: true, why })
}

/// Why nothing is seen.
pub(crate) struct NoLook {
    /// Whether there is a daemon: then nobody else may lay a hand on what it keeps.
    pub(crate) is_there: bool,
    pub(crate) why: String,
}

/// Starts a daemon that outlives us. Whoever starts it knows nothing of how it fares; its log does.
fn start(sources: &SourceArgs, place: &Place) -> io::Result<()> {
    place.create()?;
    // Another daemon may write to it at this moment, of which this one will be told that it serves already.
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(place.log())?;
    if log.metadata()?.len() > LOG_LIMIT {
        log.set_len(0)?;
    }
    // Through a shell that is gone at once, so that the daemon is no child of ours: what is, is taken for left behind by
    // a hook when we end.
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "\"$@\" &", "sh"])
        .arg(env::current_exe()?)
        .arg("serve")
        .arg("--project")
        .arg(std::path::absolute(&sources.project)?);
    for file in &sources.settings {
        command.arg("--settings").arg(std::path::absolute(file)?);
    }
    if let Some(dir) = &sources.hooks_dir {
        command.arg("--hooks-dir").arg(std::path::absolute(dir)?);
    }
    command
        .current_dir("/")
        // Where a hook starts it, it is none of that hook's.
        .env_remove("HOOK_RUN_BY")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    match command.status()?.success() {
        true => Ok(()),
        false => Err(io::Error::other("the shell could not start it")),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "there is no runtime here, and nothing to be told by"
)]
fn started(sources: &SourceArgs, place: &Place) -> Result<Talk, String> {
    let until = Instant::now() + STARTING;
    for turn in 0_u32.. {
        // Again and again: one that is about to end may still hold the place, and a second one gives way.
        if turn % 50 == 0 {
            start(sources, place).map_err(|err| err.to_string())?;
        }
        match Talk::open(place, STARTING, Foreign::IsAskedToGo) {
            Ok(talk) => return Ok(talk),
            Err(trouble) if Instant::now() >= until => return Err(trouble.to_string()),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    Err("no daemon has come up".into())
}

/// What becomes of a daemon of another version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Foreign {
    /// It finishes what it has, and makes room for one of our kind.
    IsAskedToGo,
    IsLeft,
}

/// Why nobody can be talked to.
enum Trouble {
    Nobody(io::Error),
    Silent(io::Error),
    Foreign(Greeting),
}

impl Trouble {
    /// Whether a daemon could be started.
    fn nobody_is_there(&self) -> bool {
        matches!(self, Self::Nobody(_))
    }

    /// Whether waiting helps: one that hangs may hang for ever.
    fn passes(&self) -> bool {
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
struct Talk {
    stream: UnixStream,
    /// The other side's process.
    daemon: u32,
    /// What was read beyond the last line.
    heard: Vec<u8>,
}

impl Talk {
    fn open(place: &Place, patience: Duration, foreign: Foreign) -> Result<Self, Trouble> {
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

    fn say(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(Duration::from_secs(2)))?;
        // In one go: each would wake the daemon once.
        self.stream.write_all(&parts.concat())
    }

    fn answer(&mut self, until: Instant) -> io::Result<Answer> {
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

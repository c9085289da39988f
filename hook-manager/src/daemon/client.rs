//! The client's side: blocking, without a runtime, and with a deadline on everything, for somebody waits.

use std::{
    env, io,
    time::{Duration, Instant},
};

use hook_manager::process;
use serde_json::Value;

use self::{
    start::{start, started},
    talk::{Foreign, Talk, is_hung_up},
};
use super::{
    place::Place,
    wire::{self, Answer, Look, Order, RunOrder},
};
use crate::cli::{
    Daemon, RunArgs, SourceArgs, complain,
    run::conduct::{Asked, Reply},
};

mod start;
mod talk;

/// A daemon that is well greets in microseconds; one that has been stopped, or hangs, is not waited for.
const GREETING: Duration = Duration::from_millis(50);
/// The same for accepting an order whose input it has had to read.
const ACCEPTING: Duration = Duration::from_millis(500);
/// How long a daemon that was just started may take to answer.
const STARTING: Duration = Duration::from_secs(5);
/// How long a reply may take beyond the event's deadline.
const SLACK: Duration = Duration::from_secs(2);

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
        Some(Daemon::Always) => left(asked, STARTING),
        _ => GREETING,
    };
    let mut talk = match (Talk::open(&place, patience, Foreign::IsAskedToGo), args.daemon) {
        (Ok(talk), _) => talk,
        (Err(trouble), Some(Daemon::Auto)) => {
            // For the events to come; this one is not kept waiting.
            if trouble.nobody_is_there() && asked.depth == 0 {
                start(args, &place).unwrap_or_else(|err| complain(format_args!("note: no daemon: {err}")));
            }
            return Err(trouble.to_string());
        }
        (Err(trouble), Some(Daemon::Always)) if trouble.passes() => {
            started(args, &place, left(asked, STARTING))?
        }
        (Err(trouble), _) => return Err(trouble.to_string()),
    };
    match order(&mut talk, args, asked, input) {
        // It was about to end when we came, which is nobody's fault: the next one will do it.
        Err(not_run) if not_run.is_ending && args.daemon == Some(Daemon::Always) => {
            let mut talk = started(args, &place, left(asked, STARTING))?;
            order(&mut talk, args, asked, input)
        }
        told => told,
    }
    .map_err(|not_run| not_run.why)
}

/// What of a time the event's own deadline leaves; a daemon that is well answers in less than the rest.
fn left(asked: &Asked, most: Duration) -> Duration {
    let left = asked
        .deadline
        .map(|total| total.saturating_sub(asked.started.elapsed()));
    left.map_or(most, |left| left.clamp(GREETING, most))
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

/// An error means that no hook has been started.
fn order(talk: &mut Talk, args: &RunArgs, asked: &Asked, input: &[u8]) -> Result<Way, NotRun> {
    let accepting = match args.daemon {
        Some(Daemon::Always) => left(asked, STARTING),
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
        require_trust: args.require_trust,
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
pub(crate) fn end_what_is_left(sources: &SourceArgs, daemon: u32) {
    // Somebody waits for us.
    const DYING: Duration = Duration::from_millis(500);
    // Its socket is closed a moment before it is dead.
    if is_dead_within(daemon, DYING) {
        process::end_leftovers(Place::of(sources).owner(), DYING);
    }
}

/// Waits for a process's end, that of its last thread.
#[cfg(target_os = "linux")]
fn is_dead_within(pid: u32, patience: Duration) -> bool {
    use rustix::{
        event::{PollFd, PollFlags, poll},
        io::Errno,
        process::{Pid, PidfdFlags, pidfd_open},
    };

    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(err) => return err == Errno::SRCH,
    };
    let until = Instant::now() + patience;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = left.try_into().ok();
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], left.as_ref()) {
            Err(Errno::INTR) => {}
            told => return told.is_ok_and(|ended| ended > 0),
        }
    }
}

/// Nowhere else is anything to be ended.
#[cfg(not(target_os = "linux"))]
fn is_dead_within(_: u32, _: Duration) -> bool {
    false
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

//! One client.

use std::{io, sync::Arc, time::Duration};

use hook_manager::{EventReport, HookEvent, HookManager, HookRequest, Part};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    select,
    time::{Instant, timeout},
};

use super::{
    hooks::Current,
    look::look,
    ring::Asker,
    server::Daemon,
    wire::{self, Answer, Greeting, Look, Order, RunOrder},
};
use crate::cli::{
    Output,
    run::conduct::{Asked, Reply, answer, prepare},
};

/// How long a client may take to say what it wants, and to take what it is told.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn serve(stream: UnixStream, daemon: Arc<Daemon>) {
    let (read, write) = stream.into_split();
    let mut session = Session {
        read,
        write,
        heard: Vec::new(),
        daemon,
    };
    // A client that goes away, or talks nonsense, is no concern of anybody else's.
    let _ = session.talk().await;
}

struct Session {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    heard: Vec<u8>,
    daemon: Arc<Daemon>,
}

impl Session {
    async fn talk(&mut self) -> io::Result<()> {
        self.say(&Greeting::ours()).await?;
        let order = self.line(wire::ORDER_LIMIT).await?;
        match serde_json::from_slice(&order)? {
            Order::Quit => {
                self.daemon.quit();
                Ok(())
            }
            Order::Look(wanted) => {
                let answer = self.look(&wanted).await;
                self.say(&answer).await
            }
            Order::Run(order) => self.run(order).await,
        }
    }

    async fn look(&self, wanted: &Look) -> Answer {
        if let Look::Trace(n) = wanted {
            return Answer::Seen(json!({ "events": self.daemon.ring.last(*n) }));
        }
        let current = self.daemon.hooks.current().await;
        match look(&current.manager, wanted) {
            Ok(mut value) => {
                if matches!(wanted, Look::Stats | Look::Health) {
                    value["daemon"] = self.daemon.about();
                }
                Answer::Seen(value)
            }
            Err(why) => Answer::Refused(why),
        }
    }

    async fn run(&mut self, order: RunOrder) -> io::Result<()> {
        let now = Instant::now();
        let started = now.checked_sub(Duration::from_millis(order.gone)).unwrap_or(now);
        if order.input > wire::INPUT_LIMIT || order.environment > wire::ENVIRONMENT_LIMIT {
            let why = "the event or its environment is too large for the daemon";
            return self.say(&Answer::Refused(why.into())).await;
        }
        let input = self.bytes(order.input).await?;
        let environment = wire::unpack(&self.bytes(order.environment).await?);
        if self.daemon.is_quitting() {
            return self.say(&Answer::Refused(wire::ENDING.into())).await;
        }
        let current = self.daemon.hooks.current().await;
        if let Some(why) = refusal(&current.manager, &order, &environment, &self.daemon.environment) {
            return self.say(&Answer::Refused(why)).await;
        }
        let total = order
            .deadline
            .map_or(current.manager.config().deadline, Duration::from_millis);
        let millis = u64::try_from(total.as_millis()).unwrap_or(u64::MAX);
        self.say(&Answer::Accepted(millis)).await?;
        if self.line(16).await? != b"go\n" {
            return Ok(());
        }
        if self.daemon.is_quitting() {
            // Rather than begin what would be called off.
            return self.say(&Answer::Refused(wire::ENDING.into())).await;
        }
        let asked = Asked {
            event: HookEvent::from(order.event.as_str()),
            output: order.output,
            source: order.source,
            input: Ok(input),
            deadline: Some(total),
            started: started.into_std(),
            depth: order.depth,
        };
        let daemon = Arc::clone(&self.daemon);
        let running = run(&daemon, &current, asked, Some(environment));
        let reply = select! {
            reply = running => reply,
            () = gone(&mut self.read) => return Ok(()),
        };
        self.say(&Answer::Reply(reply)).await
    }

    async fn say(&mut self, what: &impl serde::Serialize) -> io::Result<()> {
        let line = wire::line(what);
        timeout(PATIENCE, self.write.write_all(&line)).await?
    }

    /// The next line, with its end.
    async fn line(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        timeout(PATIENCE, async {
            loop {
                if let Some(at) = self.heard.iter().position(|byte| *byte == b'\n') {
                    let rest = self.heard.split_off(at + 1);
                    return Ok(std::mem::replace(&mut self.heard, rest));
                }
                if self.heard.len() > limit {
                    return Err(io::Error::other("a line that is too long"));
                }
                self.hear().await?;
            }
        })
        .await?
    }

    async fn bytes(&mut self, n: usize) -> io::Result<Vec<u8>> {
        timeout(PATIENCE, async {
            while self.heard.len() < n {
                self.hear().await?;
            }
            let rest = self.heard.split_off(n);
            Ok(std::mem::replace(&mut self.heard, rest))
        })
        .await?
    }

    async fn hear(&mut self) -> io::Result<()> {
        match self.read.read_buf(&mut self.heard).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Ends when the client has gone away. It has nothing more to say.
async fn gone(read: &mut OwnedReadHalf) {
    let mut nothing = [0; 64];
    while matches!(read.read(&mut nothing).await, Ok(1..)) {}
}

/// Why this daemon cannot do what is asked as it is asked: the asker does it then.
fn refusal(
    manager: &HookManager,
    order: &RunOrder,
    theirs: &[(std::ffi::OsString, std::ffi::OsString)],
    ours: &[(std::ffi::OsString, std::ffi::OsString)],
) -> Option<String> {
    let config = manager.config();
    if let Some(n) = order
        .max_concurrent_hooks
        .filter(|n| *n != config.max_concurrent_hooks)
    {
        return Some(format!(
            "the daemon runs {} hooks at once, and {n} are asked for",
            config.max_concurrent_hooks
        ));
    }
    let figures = |vars: &[(std::ffi::OsString, std::ffi::OsString)]| {
        let mut figures: Vec<_> = vars.iter().filter(|(name, _)| is_figure(name)).cloned().collect();
        figures.sort();
        figures
    };
    (figures(theirs) != figures(ours))
        .then(|| "the daemon was started with other figures (HOOK_MANAGER_*) in its environment".into())
}

/// The figures of a manager, and where its state is.
pub(super) fn is_figure(name: &std::ffi::OsStr) -> bool {
    let name = name.as_encoded_bytes();
    (name.starts_with(b"HOOK_MANAGER_") && name != b"HOOK_MANAGER_DEPTH") || name == b"XDG_STATE_HOME"
}

/// Runs an event for somebody who waits, and has those of its hooks run on that nobody waits for.
pub(super) async fn run(
    daemon: &Arc<Daemon>,
    current: &Current,
    asked: Asked,
    environment: Option<Vec<(std::ffi::OsString, std::ffi::OsString)>>,
) -> Reply {
    let manager = &current.manager;
    let (event, output, started) = (asked.event.clone(), asked.output, asked.started);
    let total = asked.deadline.unwrap_or(manager.config().deadline);
    let (req, mut notes) = match prepare(manager, asked) {
        Ok(prepared) => prepared,
        Err(reply) => return *reply,
    };
    let req = match environment {
        Some(environment) => req.with_environment(environment),
        None => req,
    };
    let asker = Asker {
        session: req.field("/session_id").map(super::ring::short),
        tool: req.field("/tool_name").map(super::ring::short),
    };
    let is_background = |hook: &hook_manager::HookSpec| hook.background && hook.event == event;
    if manager.hooks().any(is_background) {
        notes.extend(daemon.background(manager.clone(), req.clone(), asker.clone()));
    }
    let left = total.saturating_sub(started.elapsed());
    let mut watch = Watch {
        daemon,
        asker: &asker,
        event: event.as_str(),
        since: Instant::now(),
        ended: false,
    };
    let mut report: EventReport = manager.execute_part(Part::Awaited, left, req).await;
    watch.ended = true;
    daemon.ring.add(&asker, "", &report);
    if let Some((why, is_news)) = current.stale() {
        notes.push(why.to_owned());
        if is_news && output == Output::Host {
            report.merged.system_messages.push(why.to_owned());
        }
    }
    let mut reply = answer(output, manager, &report);
    notes.append(&mut reply.notes);
    Reply { notes, ..reply }
}

/// Notes an event that was called off because nobody waits for it any more.
struct Watch<'a> {
    daemon: &'a Daemon,
    asker: &'a Asker,
    event: &'a str,
    since: Instant,
    ended: bool,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.daemon
                .ring
                .gone(self.asker, self.event, self.since.elapsed());
        }
    }
}

/// The hooks of an event that nobody waits for.
pub(super) async fn background(daemon: Arc<Daemon>, manager: HookManager, req: HookRequest, asker: Asker) {
    let report = manager.execute_part(Part::Background, Duration::ZERO, req).await;
    if !report.results.is_empty() {
        daemon.ring.add(&asker, "async", &report);
    }
}

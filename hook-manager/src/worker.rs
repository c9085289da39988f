//! A hook that is a program which stays: a pool of its processes, asked one event at a time.

use std::{sync::Arc, time::Duration};

use hook_monitor::Reason;
use hook_pool::{ConnectionPool, GetError, PoolHandle, Pooled};
use tokio::sync::Semaphore;
use tower::{service_fn, util::BoxCloneSyncService};

use crate::{
    command::Recipe,
    error::HookError,
    hook,
    leaf::Kind,
    output::HookOutput,
    process::{AskError, Dialogue, Ended},
    request::HookRequest,
    slots::Turn,
};

mod line;

/// How often what nobody uses is looked at: a process that has died is not left as a zombie for longer.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How long nothing is started after a start that failed; half of it to all of it. Repeated failures are the
/// breaker's affair, and a program that was mended should be noticed.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a start may take, beside the grace of the process whose place it takes.
const START: Duration = Duration::from_secs(10);

type Connect = BoxCloneSyncService<(), Dialogue, HookError>;

/// The processes of a worker.
#[derive(Debug)]
pub(crate) struct WorkerHook {
    pool: ConnectionPool<Connect, ()>,
    /// Of a line.
    limit: usize,
}

/// What a worker hook is made of.
pub(crate) struct Figures<'a> {
    pub(crate) name: &'a str,
    pub(crate) worker: &'a hook::Worker,
    pub(crate) timeout: Duration,
    pub(crate) grace: Duration,
    pub(crate) limit: usize,
}

impl WorkerHook {
    pub(crate) fn new(recipe: Recipe, figures: &Figures<'_>) -> Self {
        let (recipe, grace) = (Arc::new(recipe), figures.grace);
        let worker = figures.worker;
        // The pool's places are free as soon as nobody asks a process any more; these, when it is gone.
        let alive = Arc::new(Semaphore::new(worker.processes));
        let connect = Connect::new(service_fn(move |()| {
            let (recipe, alive) = (Arc::clone(&recipe), Arc::clone(&alive));
            async move { start(&recipe, grace, alive).await }
        }));
        let pool = ConnectionPool::new(connect, worker.processes)
            .name(figures.name)
            .max_uses(worker.uses)
            .max_lifetime(worker.age)
            .idle_timeout(worker.idle)
            .wait_timeout(figures.timeout)
            .connect_timeout(START.saturating_add(grace))
            .connect_backoff(PAUSE, PAUSE)
            .max_waiting(1_024)
            // A line of unread output is all it takes to answer the next event with the last one's answer.
            .check_with(|dialogue: &mut Dialogue| Box::pin(std::future::ready(dialogue.is_fit())))
            .check_after(Duration::ZERO)
            .keep_alive(LOOK_EVERY);
        Self {
            pool,
            limit: figures.limit,
        }
    }

    pub(crate) fn handle(&self) -> PoolHandle {
        self.pool.handle()
    }
}

async fn start(recipe: &Recipe, grace: Duration, alive: Arc<Semaphore>) -> Result<Dialogue, HookError> {
    let home = recipe.home();
    recipe.check(recipe.line(&home).as_ref(), &home)?;
    // Nobody closes it.
    let place = alive.acquire_owned().await.map_err(|_| HookError::Cancelled)?;
    let started = Dialogue::start(&recipe.command(&home), grace, place).await;
    started.map_err(|err| HookError::CouldNotStart(err.to_string().into()))
}

impl Kind for WorkerHook {
    async fn run(&self, req: HookRequest, turn: Turn) -> Result<HookOutput, HookError> {
        turn.within(self.exchange(&req)).await
    }
}

impl WorkerHook {
    async fn exchange(&self, req: &HookRequest) -> Result<HookOutput, HookError> {
        loop {
            let worker = self.pool.get(&()).await.map_err(|err| no_worker(&err))?;
            let is_fresh = worker.asked() == 0;
            match ask(worker, req, self.limit).await {
                // It went away between its check and now, and was asked nothing: another can be.
                Err(Unanswered::NotAsked(_)) if !is_fresh => {}
                Err(Unanswered::NotAsked(err) | Unanswered::Failed(err)) => return Err(err),
                Ok(output) => return Ok(output),
            }
        }
    }
}

/// Why a worker has not answered.
enum Unanswered {
    /// Nothing of the request was written.
    NotAsked(HookError),
    Failed(HookError),
}

/// Asks a worker. Unless it answers as it should, nobody asks it again.
async fn ask(worker: Pooled<Dialogue>, req: &HookRequest, limit: usize) -> Result<HookOutput, Unanswered> {
    let id = worker.asked() + 1;
    let line = line::request(req, id);
    // What a program says as it starts is no answer.
    let is_first = id == 1;
    let is_answer = move |said: &[u8]| !is_first || line::is_object(said);
    let mut worker = InDoubt(Some(worker));
    let asked = worker.dialogue().ask(&line, limit, is_answer).await;
    let answer = match asked {
        Ok(answer) => answer,
        Err(err) => {
            let words = worker.dialogue().last_words();
            return Err(match err {
                AskError::NotAsked(_) => Unanswered::NotAsked(failure(err, limit, &words)),
                err => Unanswered::Failed(failure(err, limit, &words)),
            });
        }
    };
    let output = line::answer(req.event(), answer, id).map_err(Unanswered::Failed)?;
    worker.is_sound();
    Ok(output)
}

/// A failed exchange in the manager's words; what the program has last said belongs to it.
fn failure(err: AskError, limit: usize, words: &str) -> HookError {
    let failed = |what: &str| {
        HookError::Failed(match words.lines().last() {
            None => what.into(),
            Some(last) => format!("{what}; its last words: {last}").into(),
        })
    };
    match err {
        AskError::NotAsked(Some(ended)) | AskError::Ended(ended) => match ended {
            Ended::Signal(signal) => HookError::Crashed { signal },
            Ended::Code(0) => failed("the worker ended before it had answered"),
            Ended::Code(code) => HookError::Exit {
                code,
                message: words.lines().last().unwrap_or_default().into(),
            },
        },
        AskError::NotAsked(None) => {
            failed("the worker closed its standard input before it was asked anything")
        }
        AskError::Silent => failed("the worker closed its standard output before it had answered"),
        AskError::TooLong => HookError::BadOutput(format!("the worker's line is over {limit} bytes").into()),
        AskError::TwoLines => {
            HookError::BadOutput("the worker wrote more than one line, expected one line an event".into())
        }
        AskError::TooEarly => {
            HookError::BadOutput("the worker answered before it had read the whole event".into())
        }
        AskError::Io(err) => failed(&format!("the worker cannot be heard: {err}")),
    }
}

fn no_worker(err: &GetError<HookError>) -> HookError {
    match err {
        GetError::Connect(err) => HookError::clone(err),
        GetError::Rejected(rejected) if rejected.reason() == Reason::PoolClosed => HookError::Cancelled,
        err => HookError::Failed(format!("no worker: {err}").into()),
    }
}

/// Marks its worker as broken when it is dropped, also in the middle of an exchange.
struct InDoubt(Option<Pooled<Dialogue>>);

impl InDoubt {
    fn dialogue(&mut self) -> &mut Dialogue {
        self.0.as_mut().expect("it is there until it is sound")
    }

    fn is_sound(&mut self) {
        self.0 = None;
    }
}

impl Drop for InDoubt {
    fn drop(&mut self) {
        if let Some(worker) = &mut self.0 {
            worker.mark_broken();
        }
    }
}

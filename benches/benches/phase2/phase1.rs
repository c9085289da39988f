//! The executor that the original calls Phase 1: every hook is run at every event, five at once, and tried again after a
//! pause when it fails. No cache, no breaker, no budget.

use std::{io, process::Stdio, sync::Arc, time::Duration};

use futures::future::join_all;
use hook_manager::HookEvent;
use tokio::{
    io::AsyncWriteExt,
    process::Command,
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::workload::{AT_ONCE, Backend, Kind, Plan, RETRIES, request, script};

const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Phase1 {
    plans: Vec<Plan>,
    backend: Arc<Backend>,
}

/// What became of one hook.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// Without the wait for its turn.
    pub(crate) took: Duration,
    pub(crate) good: bool,
    pub(crate) processes: u32,
    pub(crate) cached: bool,
    /// Whether it may be cached.
    pub(crate) cacheable: bool,
}

impl Phase1 {
    pub(crate) fn new(plans: &[Plan], backend: &Arc<Backend>) -> Self {
        Self {
            plans: plans.to_vec(),
            backend: Arc::clone(backend),
        }
    }

    pub(crate) async fn execute(&self, event: &HookEvent, input: usize) -> Vec<Run> {
        let turns = Semaphore::new(AT_ONCE);
        let input = request(event, input);
        let hooks = self.plans.iter().filter(|plan| plan.event == *event);
        join_all(hooks.map(|plan| async {
            let _turn = turns.acquire().await.expect("never closed");
            self.run(plan, input.bytes()).await
        }))
        .await
    }

    async fn run(&self, plan: &Plan, input: &[u8]) -> Run {
        let began = Instant::now();
        let mut attempts = 0;
        let good = loop {
            attempts += 1;
            let result = match plan.kind {
                Kind::Process => spawn(&script(&plan.name), input).await,
                Kind::Service(median) => self.backend.call(median).await,
            };
            if result.is_ok() || attempts > RETRIES {
                break result.is_ok();
            }
            sleep(PAUSE).await;
        };
        Run {
            took: began.elapsed(),
            good,
            processes: if plan.kind == Kind::Process { attempts } else { 0 },
            cached: false,
            cacheable: plan.cacheable,
        }
    }
}

async fn spawn(line: &str, input: &[u8]) -> io::Result<()> {
    let mut child = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(input).await?;
    drop(stdin);
    match child.wait_with_output().await?.status.success() {
        true => Ok(()),
        false => Err(io::Error::other("the script has failed")),
    }
}

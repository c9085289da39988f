//! A hook that is an HTTP endpoint: the event is posted over connections that are kept.

use std::time::Duration;

use hook_monitor::Reason;
use hook_pool::{ConnectionPool, GetError, PoolHandle, Pooled};
use tower::{service_fn, util::BoxCloneSyncService};

use self::{
    connection::{Connection, SendError},
    target::Target,
};
use crate::{error::HookError, hook, leaf::Kind, output::HookOutput, request::HookRequest, slots::Turn};

mod answer;
mod connection;
mod headers;
mod target;

pub(crate) use self::{
    headers::{forbidden, is_header_name},
    target::{Unusable, usable},
};

/// Servers close what is idle after five seconds and more; keeping it longer is of little use.
const IDLE: Duration = Duration::from_secs(60);
/// How long nothing is connected to after a connect that failed; half of it to all of it. Repeated failures
/// are the breaker's affair, and a server that is back should be noticed.
const PAUSE: Duration = Duration::from_millis(100);

type Connect = BoxCloneSyncService<(), Connection, HookError>;

/// An endpoint, and the connections to it.
#[derive(Debug)]
pub(crate) struct HttpHook {
    http: hook::Http,
    target: Target,
    pool: ConnectionPool<Connect, ()>,
    /// Of a response's body.
    limit: usize,
}

impl HttpHook {
    /// # Errors
    ///
    /// If the URL is none this version can post to.
    pub(crate) fn new(
        name: &str,
        http: &hook::Http,
        timeout: Duration,
        limit: usize,
        connections: usize,
    ) -> Result<Self, Unusable> {
        let target = Target::of(&http.url)?;
        let address = target.address();
        let connect = Connect::new(service_fn(move |()| {
            let (host, port) = address.clone();
            async move {
                let connected = Connection::open(&host, port).await;
                connected.map_err(|err| HookError::CouldNotStart(format!("{host}:{port}: {err}").into()))
            }
        }));
        let pool = ConnectionPool::new(connect, connections)
            .name(name)
            .idle_timeout(IDLE)
            .wait_timeout(timeout)
            .connect_backoff(PAUSE, PAUSE)
            .check_with(|connection: &mut Connection| Box::pin(std::future::ready(connection.is_fit())))
            .check_after(Duration::ZERO);
        Ok(Self {
            http: http.clone(),
            target,
            pool,
            limit,
        })
    }

    pub(crate) fn handle(&self) -> PoolHandle {
        self.pool.handle()
    }
}

impl Kind for HttpHook {
    async fn run(&self, req: HookRequest, turn: Turn) -> Result<HookOutput, HookError> {
        turn.within(self.exchange(&req)).await
    }
}

impl HttpHook {
    async fn exchange(&self, req: &HookRequest) -> Result<HookOutput, HookError> {
        let mut message = headers::message(&self.target, &self.http, req)?;
        loop {
            let connection = self.pool.get(&()).await.map_err(|err| no_connection(&err))?;
            let is_fresh = connection.uses() <= 1;
            let mut connection = InDoubt(connection, false);
            match connection.0.send(message, self.limit).await {
                Ok(reply) => {
                    // Read to its end, so the next request can follow.
                    connection.1 = true;
                    return answer::read(req.event(), reply);
                }
                // The server had closed it while nobody used it.
                Err(SendError::NotSent(back, _)) if !is_fresh => message = *back,
                Err(SendError::NotSent(_, err) | SendError::Failed(err)) => return Err(err),
            }
        }
    }
}

/// A connection in the middle of an exchange: unless it came to its end, it is thrown away.
struct InDoubt(Pooled<Connection>, bool);

impl Drop for InDoubt {
    fn drop(&mut self) {
        if !self.1 {
            self.0.mark_broken();
        }
    }
}

fn no_connection(err: &GetError<HookError>) -> HookError {
    match err {
        GetError::Connect(err) => HookError::clone(err),
        GetError::Rejected(rejected) if rejected.reason() == Reason::PoolClosed => HookError::Cancelled,
        err => HookError::Failed(format!("no connection: {err}").into()),
    }
}

//! A hook that is an HTTP endpoint: the event is posted over connections that are kept.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use hook_monitor::Reason;
use hook_pool::{ConnectionPool, GetError, PoolHandle, Pooled};
use tokio::time::{Instant, timeout};
use tower::{Service, service_fn, util::BoxCloneSyncService};

use self::{
    connection::{Connection, SendError},
    target::Target,
};
use crate::{
    error::HookError,
    hook,
    output::HookOutput,
    request::HookRequest,
    slots::{Slots, Turn, turn},
};

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

/// The innermost service of an HTTP hook's stack.
#[derive(Clone, Debug)]
pub(crate) struct HttpHook(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    http: hook::Http,
    target: Target,
    pool: ConnectionPool<Connect, ()>,
    timeout: Duration,
    /// Of a response's body.
    limit: usize,
    slots: Slots,
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
        slots: Slots,
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
        Ok(Self(Arc::new(Parts {
            http: http.clone(),
            target,
            pool,
            timeout,
            limit,
            slots,
        })))
    }

    pub(crate) fn handle(&self) -> PoolHandle {
        self.0.pool.handle()
    }
}

impl Service<HookRequest> for HttpHook {
    type Response = Arc<HookOutput>;
    type Error = HookError;
    // A box is nothing beside the way through the network.
    type Future = BoxFuture<'static, Result<Arc<HookOutput>, HookError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), HookError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: HookRequest) -> Self::Future {
        let parts = Arc::clone(&self.0);
        Box::pin(async move { parts.run(req).await.map(Arc::new) })
    }
}

impl Parts {
    async fn run(&self, req: HookRequest) -> Result<HookOutput, HookError> {
        let Turn {
            permit: _permit,
            timeout: within,
            by_deadline,
            waited,
        } = turn(&self.slots, &req, self.timeout).await?;
        let started = Instant::now();
        timeout(within, self.exchange(&req)).await.unwrap_or_else(|_| {
            Err(HookError::TimedOut {
                after: started.elapsed(),
                by_deadline,
                waited,
            })
        })
    }

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

//! A connector that counts, and does as it is told.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file is a crate of its own and uses its part"
)]

use std::{
    collections::VecDeque,
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use hook_monitor::{Reason, Rejected};
use hook_pool::{ConnectionPool, GetError, Pooled};
use tower::Service;

pub type TestPool<K = ()> = ConnectionPool<Dialler, K>;
pub type Lease = Pooled<Conn>;

/// What a connector does next.
#[derive(Clone, Copy, Debug)]
pub enum How {
    Open,
    OpenAfter(Duration),
    Refuse,
    RefuseAfter(Duration),
    Hang,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused;

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection refused")
    }
}

impl std::error::Error for Refused {}

#[derive(Debug)]
pub struct Conn {
    pub id: usize,
    open: Arc<AtomicUsize>,
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.open.fetch_sub(1, SeqCst);
    }
}

/// Opens connections numbered from 1, at once unless told otherwise.
#[derive(Clone, Debug, Default)]
pub struct Dialler {
    pub started: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    pub script: Arc<Mutex<VecDeque<How>>>,
}

impl Dialler {
    pub fn then(self, how: How) -> Self {
        self.script.lock().unwrap().push_back(how);
        self
    }

    pub fn push(&self, how: How) {
        self.script.lock().unwrap().push_back(how);
    }

    pub fn started(&self) -> usize {
        self.started.load(SeqCst)
    }

    pub fn made(&self) -> usize {
        self.made.load(SeqCst)
    }

    /// Connections that exist right now, wherever they are.
    pub fn open(&self) -> usize {
        self.open.load(SeqCst)
    }

    pub fn connection(&self) -> Conn {
        self.open.fetch_add(1, SeqCst);
        Conn {
            id: self.made.fetch_add(1, SeqCst) + 1,
            open: self.open.clone(),
        }
    }

    pub fn pool(&self, max: usize) -> TestPool {
        ConnectionPool::new(self.clone(), max)
    }
}

impl<K> Service<K> for Dialler {
    type Response = Conn;
    type Error = Refused;
    type Future = Pin<Box<dyn Future<Output = Result<Conn, Refused>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: K) -> Self::Future {
        self.started.fetch_add(1, SeqCst);
        let how = self.script.lock().unwrap().pop_front().unwrap_or(How::Open);
        let this = self.clone();
        Box::pin(async move {
            match how {
                How::Open => Ok(this.connection()),
                How::OpenAfter(delay) => {
                    tokio::time::sleep(delay).await;
                    Ok(this.connection())
                }
                How::Refuse => Err(Refused),
                How::RefuseAfter(delay) => {
                    tokio::time::sleep(delay).await;
                    Err(Refused)
                }
                How::Hang => pending().await,
            }
        })
    }
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[track_caller]
/// The reason of a refusal.
pub fn reason<T: std::fmt::Debug, E: std::fmt::Debug>(result: Result<T, GetError<E>>) -> Reason {
    match result {
        Err(err) if err.rejected().is_some() => err.rejected().map(Rejected::reason).unwrap(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n as u64) as usize
    }
}

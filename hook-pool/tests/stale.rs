//! Requests whose connection went stale, or is of no use any more.
#![cfg(not(loom))]
mod support;

use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};

use hook_monitor::{BoxError, Rejected};
use hook_pool::PoolLayer;
use support::ms;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service};

type Fut<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Opens clients that answer with their number after a while.
#[derive(Clone, Default)]
struct Server {
    made: Arc<AtomicUsize>,
    /// All clients that are idle now are stale from now on.
    stale: Arc<Mutex<Vec<Arc<AtomicBool>>>>,
    refuse: Arc<AtomicBool>,
    hang: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
    /// Clients are stale from the start.
    stillborn: Arc<AtomicBool>,
}

impl Server {
    fn make_stale(&self) {
        self.stale
            .lock()
            .unwrap()
            .iter()
            .for_each(|stale| stale.store(true, SeqCst));
    }
}

struct Client {
    number: usize,
    stale: Arc<AtomicBool>,
}

impl Service<()> for Server {
    type Response = Client;
    type Error = io::Error;
    type Future = Fut<Client, io::Error>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, (): ()) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            if this.refuse.load(SeqCst) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            if this.hang.load(SeqCst) {
                return pending().await;
            }
            if this.slow.load(SeqCst) {
                sleep(ms(5)).await;
            }
            let stale = Arc::new(AtomicBool::new(this.stillborn.load(SeqCst)));
            this.stale.lock().unwrap().push(stale.clone());
            Ok(Client {
                number: this.made.fetch_add(1, SeqCst) + 1,
                stale,
            })
        })
    }
}

/// A request says how long it takes.
impl Service<Duration> for Client {
    type Response = usize;
    type Error = io::Error;
    type Future = Fut<usize, io::Error>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.stale.load(SeqCst) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        })
    }
    fn call(&mut self, time: Duration) -> Self::Future {
        let number = self.number;
        Box::pin(async move {
            sleep(time).await;
            Ok(number)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_warm_connection_that_went_stale_before_its_first_use_costs_the_request_nothing() {
    let server = Server::default();
    let mut client = PoolLayer::new(4).layer(server.clone());
    client.connections().warm_up(&(), 1).await.unwrap();
    sleep(Duration::from_secs(60)).await;
    server.make_stale();
    let result: Result<usize, BoxError> = client.call(ms(1)).await;
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn one_that_was_opened_for_the_request_and_is_not_ready_is_its_last() {
    let server = Server::default();
    let mut client = PoolLayer::new(4).layer(server.clone());
    client.connections().warm_up(&(), 3).await.unwrap();
    server.make_stale();
    server.stillborn.store(true, SeqCst);
    let result: Result<usize, BoxError> = client.call(ms(1)).await;
    assert!(result.is_err());
    assert_eq!(server.made.load(SeqCst), 4);
    assert_eq!(client.handle().stats().closed.broken, 4);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_got_a_stale_connection_keeps_its_turn() {
    let server = Server::default();
    let mut client = PoolLayer::new(1).layer(server.clone());
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let (call, order) = (client.call(ms(100)), order.clone());
        tasks.push(tokio::spawn(async move {
            let result = call.await;
            order.lock().unwrap().push(name);
            result
        }));
        sleep(ms(1)).await;
    }
    // While `a` is under way, the server says that this is the last one.
    sleep(ms(50)).await;
    server.make_stale();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_got_a_stale_connection_is_not_refused_for_a_full_line() {
    let server = Server::default();
    let mut client = PoolLayer::new(1).max_waiting(2).layer(server.clone());
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push(tokio::spawn(client.call(ms(100))));
        tokio::task::yield_now().await;
    }
    server.make_stale();
    // Comes between the end of the first and the second's look: the line is as long as it may be again.
    let newcomer = tokio::spawn(async move {
        sleep(ms(100)).await;
        let _result: Result<usize, BoxError> = client.call(ms(1)).await;
    });
    for task in tasks {
        let result: Result<usize, BoxError> = task.await.unwrap();
        assert!(result.is_ok(), "{:?}", result.map_err(|err| err.to_string()));
    }
    newcomer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_wait_timeout_covers_what_comes_after_a_stale_connection() {
    let server = Server::default();
    let mut client = PoolLayer::new(1).wait_timeout(ms(100)).layer(server.clone());
    let a = tokio::spawn(client.call(ms(90)));
    sleep(ms(1)).await;
    let start = Instant::now();
    let b = client.call(ms(1));
    server.make_stale();
    server.hang.store(true, SeqCst);
    let result: Result<usize, BoxError> = b.await;
    a.await.unwrap().unwrap();
    assert!(
        start.elapsed() <= ms(101),
        "{result:?} after {:?}",
        start.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_told_as_the_last_connection_breaks_is_told_when_to_try_again() {
    let server = Server::default();
    let layer = PoolLayer::new(2).connect_backoff(Duration::from_secs(4), Duration::from_secs(4));
    let mut client = layer.layer(server.clone());
    let a = client.call(ms(1_000));
    let a = tokio::spawn(a);
    sleep(ms(1)).await;
    server.refuse.store(true, SeqCst);
    let b = tokio::spawn(client.call(ms(1)));
    sleep(ms(10)).await;
    // `a` is cancelled: its connection is thrown away, so `b` cannot be served.
    a.abort();
    let err: BoxError = b.await.unwrap().unwrap_err();
    let told = Rejected::find(&*err).unwrap().retry_after();
    let later: BoxError = client.call(ms(1)).await.unwrap_err();
    let later = Rejected::find(&*later).unwrap().retry_after();
    assert!(told.is_some(), "in line: {told:?}, one who asks now: {later:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_before_its_first_poll_costs_no_connection() {
    let server = Server::default();
    let mut client = PoolLayer::new(1).layer(server.clone());
    let first: Result<usize, BoxError> = client.call(ms(1)).await;
    assert_eq!(first.unwrap(), 1);
    drop(client.call(ms(1)));
    let again: Result<usize, BoxError> = client.call(ms(1)).await;
    assert_eq!(
        again.unwrap(),
        1,
        "nothing was sent, nor was the connection even asked whether it is ready"
    );
}

#[cfg(feature = "http")]
mod upgrade {
    use super::*;
    use http_body_util::Empty;

    #[derive(Clone)]
    struct Conns;
    struct Conn;
    impl Service<()> for Conns {
        type Response = Conn;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<Conn>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(Conn))
        }
    }
    impl Service<u16> for Conn {
        type Response = http::Response<Empty<bytes::Bytes>>;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<Self::Response>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, status: u16) -> Self::Future {
            std::future::ready(Ok(http::Response::builder()
                .status(status)
                .body(Empty::new())
                .unwrap()))
        }
    }

    #[tokio::test]
    async fn a_connection_that_speaks_another_protocol_now_does_not_go_back() {
        let layer = PoolLayer::new(1).until_body_ends();
        let handle = layer.handle();
        let mut client = layer.layer(Conns);
        let response: Result<_, BoxError> = client.call(101).await;
        drop(response.unwrap());
        assert_eq!(handle.stats().available, 0, "after 101 Switching Protocols");
    }
}

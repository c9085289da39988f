//! The laws of `tower::Service`, one test a law and side.

mod support;

use std::{
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use hook_monitor::{BoxError, Reason, Rejected};
use hook_pool::{ConnectionPool, GetError, Pool, PoolLayer};
use support::Dialler;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_test::mock::{self, Mock};

/// A service that must be polled ready before each call, and whose clones must be so themselves.
#[derive(Default)]
struct Strict {
    ready: bool,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// As a connector it opens more of itself; as a connection it echoes.
impl Service<()> for Strict {
    type Response = Strict;
    type Error = BoxError;
    type Future = Ready<Result<Strict, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without having been ready"
        );
        ready(Ok(Strict::default()))
    }
}

impl Service<u8> for Strict {
    type Response = u8;
    type Error = BoxError;
    type Future = Ready<Result<u8, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: u8) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without having been ready"
        );
        ready(Ok(req))
    }
}

/// A pool of one connection, which is a mock.
type Client = Pool<Mock<(), Mock<&'static str, &'static str>>, ()>;

struct Bench {
    client: Client,
    connector: mock::Handle<(), Mock<&'static str, &'static str>>,
}

fn client(max: usize) -> Bench {
    let (dial, connector) = mock::pair();
    Bench {
        client: PoolLayer::new(max).layer(dial),
        connector,
    }
}

impl Bench {
    /// Answers the connect that is under way, and returns the server's end of the connection.
    async fn accept(&mut self) -> mock::Handle<&'static str, &'static str> {
        let (connection, server) = mock::pair();
        let ((), answer) = self.connector.next_request().await.expect("a connect");
        answer.send_response(connection);
        // The connect is a task of its own.
        tokio::task::yield_now().await;
        server
    }
}

#[tokio::test]
async fn the_connector_and_the_connection_that_were_ready_are_those_that_are_called() {
    let mut client = PoolLayer::new(1).layer(Strict::default());
    for req in 0..3_u8 {
        assert_eq!(client.call(req).await.unwrap(), req);
    }
    let mut pool = ConnectionPool::new(Strict::default(), 1);
    for _ in 0..3 {
        let mut lease = pool.ready().await.unwrap().call(()).await.unwrap();
        lease.mark_broken();
    }
}

#[tokio::test]
async fn it_is_ready_without_asking_anybody_and_holds_nothing_for_it() {
    let mut bench = client(1);
    bench.connector.allow(0);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Service::<&str>::poll_ready(&mut bench.client, &mut cx).is_ready());
    let mut clone = bench.client.clone();
    assert!(Service::<&str>::poll_ready(&mut clone, &mut cx).is_ready());
    let stats = bench.client.handle().stats();
    assert_eq!(
        (stats.active, stats.connecting, stats.waiting, stats.keys),
        (0, 0, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_clone_polled_ready_and_dropped_keeps_no_idle_connection() {
    let pool = Dialler::default().pool(1);
    drop(pool.get(&()).await.unwrap());
    let mut clone = pool.clone();
    clone.ready().await.unwrap();
    assert_eq!(pool.handle().stats().available, 1);
    assert_eq!(pool.get(&()).await.unwrap().id, 1);
    drop(clone);
}

#[tokio::test(start_paused = true)]
async fn a_future_dropped_before_its_first_poll_gives_back_what_call_took() {
    let dialler = Dialler::default();
    let mut pool = dialler.pool(1);
    drop(pool.call(()));
    assert_eq!(pool.handle().stats().available, 1, "a connection");
    drop(pool.call(()));
    assert_eq!(pool.handle().stats().available, 1, "an idle connection");
    let lease = pool.get(&()).await.unwrap();
    drop(pool.call(()));
    assert_eq!(pool.handle().stats().waiting, 0, "a place in line");
    drop(lease);
    assert_eq!(dialler.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn get_does_nothing_before_it_is_polled() {
    let pool = Dialler::default().pool(1);
    let get = pool.get(&());
    assert_eq!(pool.handle().stats().connecting, 0);
    drop(get);
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_in_each_of_its_states_leaves_its_slot_to_the_next() {
    let mut bench = client(1);
    let handle = bench.client.handle();

    // Connecting: that goes on.
    let mut connecting = task::spawn(bench.client.call("connecting"));
    assert_pending!(connecting.poll());
    assert_eq!(handle.stats().connecting, 1);
    drop(connecting);
    assert_eq!((handle.stats().connecting, handle.stats().waiting), (1, 0));

    // The connection is not ready: thrown away.
    let mut readying = task::spawn(bench.client.call("readying"));
    assert_pending!(readying.poll());
    let mut server = bench.accept().await;
    server.allow(0);
    assert_pending!(readying.poll());
    assert_eq!(handle.stats().active, 1);
    drop(readying);
    assert_eq!((handle.stats().keys, handle.stats().closed.broken), (0, 1));

    // Called: thrown away.
    let mut called = task::spawn(bench.client.call("called"));
    assert_pending!(called.poll());
    let mut server = bench.accept().await;
    assert_pending!(called.poll());
    let (req, answer) = server.next_request().await.unwrap();
    assert_eq!(req, "called");
    drop(called);
    assert_eq!((handle.stats().keys, handle.stats().closed.broken), (0, 2));
    answer.send_response("too late");

    // Waiting.
    let mut holder = task::spawn(bench.client.call("holder"));
    let mut waiting = task::spawn(bench.client.call("waiting"));
    assert_pending!(holder.poll());
    assert_pending!(waiting.poll());
    assert_eq!((handle.stats().waiting, handle.stats().connecting), (2, 1));
    drop(waiting);
    assert_eq!((handle.stats().waiting, handle.stats().connecting), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_pending_wakes_the_task() {
    let mut bench = client(1);
    bench.connector.allow(0);
    let mut request = task::spawn(bench.client.call("one"));
    let mut second = task::spawn(bench.client.call("two"));

    assert_pending!(request.poll());
    bench.connector.allow(1);
    tokio::task::yield_now().await;
    let mut server = bench.accept().await;
    assert!(request.is_woken(), "the connection is there");

    server.allow(0);
    assert_pending!(request.poll());
    server.allow(1);
    assert!(request.is_woken(), "the connection became ready");

    assert_pending!(request.poll());
    assert_pending!(second.poll());
    server.next_request().await.unwrap().1.send_response("answer");
    assert!(request.is_woken(), "the answer is there");

    assert_eq!(assert_ready_ok!(request.poll()), "answer");
    assert!(second.is_woken(), "it is the second one's turn");
}

#[tokio::test(start_paused = true)]
async fn errors_of_readiness_and_of_calls_come_out_of_the_future() {
    let cause = |err: BoxError| err.source().expect("the connector's error").to_string();
    // The connector's readiness.
    let mut bench = client(1);
    bench.connector.send_error("connector not ready");
    let err = bench.client.call("a").await.unwrap_err();
    assert_eq!(Rejected::find(&*err).unwrap().reason(), Reason::ConnectFailed);
    assert_eq!(cause(err), "connector not ready");

    // The connector's answer.
    let mut bench = client(1);
    let mut request = task::spawn(bench.client.call("b"));
    assert_pending!(request.poll());
    bench
        .connector
        .next_request()
        .await
        .unwrap()
        .1
        .send_error("refused");
    tokio::task::yield_now().await;
    assert_eq!(cause(assert_ready!(request.poll()).unwrap_err()), "refused");
    assert_eq!(bench.client.handle().stats().connect_errors, 1);

    // The connection's readiness.
    let mut bench = client(1);
    let mut request = task::spawn(bench.client.call("c"));
    assert_pending!(request.poll());
    let mut server = bench.accept().await;
    server.send_error("connection not ready");
    assert_eq!(
        assert_ready!(request.poll()).unwrap_err().to_string(),
        "connection not ready"
    );
    assert_eq!(bench.client.handle().stats().closed.broken, 1);

    // The connection's answer.
    let mut request = task::spawn(bench.client.call("d"));
    assert_pending!(request.poll());
    let mut server = bench.accept().await;
    assert_pending!(request.poll());
    server.next_request().await.unwrap().1.send_error("reset");
    assert_eq!(assert_ready!(request.poll()).unwrap_err().to_string(), "reset");
    assert_eq!(bench.client.handle().stats().closed.broken, 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_connectors_readiness_frees_the_slot() {
    let (connector, mut backend) = mock::pair::<(), u8>();
    backend.send_error("gone");
    let pool = ConnectionPool::new(connector, 1);
    assert!(matches!(pool.get(&()).await, Err(GetError::Connect(_))));
    assert_eq!(pool.handle().stats().keys, 0);
}

#[test]
fn what_need_not_wait_needs_no_runtime() {
    let pool = Dialler::default().pool(1);
    for _ in 0..2 {
        let mut get = pin!(pool.get(&()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(get.as_mut().poll(&mut cx).is_ready());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_connector_or_in_the_connection_gives_the_slot_back() {
    let pool = ConnectionPool::new(
        tower::service_fn(|()| async { panic!("no connector") as Result<(), BoxError> }),
        1,
    );
    let dials = pool.handle();
    let joined = tokio::spawn(async move { drop(pool.get(&()).await) }).await;
    assert!(joined.unwrap_err().is_panic());
    assert_eq!(dials.stats().keys, 0);

    let client = PoolLayer::new(1).layer(tower::service_fn(|()| async {
        Ok::<_, BoxError>(tower::service_fn(|_: u8| async {
            panic!("no connection") as Result<u8, BoxError>
        }))
    }));
    let calls = client.handle();
    let joined = tokio::spawn(client.oneshot(1)).await;
    assert!(joined.unwrap_err().is_panic());
    let stats = calls.stats();
    assert_eq!((stats.keys, stats.closed.broken), (0, 1));
}

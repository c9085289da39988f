//! The pool as a client: what its layer decides.

mod support;

use std::{
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};

use futures::future::join_all;
use hook_monitor::{BoxError, OnReject, Reason, Rejected};
use hook_pool::{ConnectError, PoolLayer};
use support::{Conn, Dialler, How, Refused, ms};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

/// Answers with its number, or does as the request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Who,
    Slowly,
    Fail,
    Close,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    from: usize,
    closing: bool,
}

impl Service<Ask> for Conn {
    type Response = Answer;
    type Error = Refused;
    type Future = futures::future::BoxFuture<'static, Result<Answer, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        let from = self.id;
        Box::pin(async move {
            match ask {
                Ask::Slowly => tokio::time::sleep(ms(10)).await,
                Ask::Fail => return Err(Refused),
                Ask::Who | Ask::Close => {}
            }
            let closing = ask == Ask::Close;
            Ok(Answer { from, closing })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn many_requests_at_once_go_over_few_connections() {
    let dialler = Dialler::default();
    let client = ServiceBuilder::new()
        .layer(PoolLayer::new(4))
        .service(dialler.clone());
    let answers = join_all((0..100).map(|_| client.clone().oneshot(Ask::Slowly))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(dialler.made(), 4);
    let stats = client.handle().stats();
    assert_eq!((stats.checkouts, stats.available), (100, 4));
    assert_eq!(stats.wait.count(), 96);
    assert_eq!(stats.wait.max(), ms(240));
}

#[tokio::test(start_paused = true)]
async fn two_services_of_one_layer_share_connections_and_limits() {
    let layer = PoolLayer::new(1).wait_timeout(ms(5));
    let (one, two) = (Dialler::default(), Dialler::default());
    let (first, second) = (layer.layer(one.clone()), layer.clone().layer(two.clone()));
    let slow = tokio::spawn(first.oneshot(Ask::Slowly));
    tokio::task::yield_now().await;
    let err = second.clone().oneshot(Ask::Who).await.unwrap_err();
    let waited = ms(5);
    assert_eq!(
        Rejected::find(&*err).unwrap().reason(),
        Reason::PoolTimeout { waited }
    );
    slow.await.unwrap().unwrap();
    second.oneshot(Ask::Who).await.unwrap();
    assert_eq!((one.made(), two.made()), (1, 0));
    assert_eq!(layer.handle().stats().checkouts, 2);
}

#[tokio::test(start_paused = true)]
async fn each_service_dials_with_its_own_connector_for_those_who_ask() {
    let layer = PoolLayer::new(2);
    let (one, two) = (Dialler::default(), Dialler::default());
    let first = layer.layer(one.clone());
    let second = layer.layer(two.clone());
    let (a, b) = tokio::join!(first.oneshot(Ask::Slowly), second.oneshot(Ask::Slowly));
    a.and(b).unwrap();
    assert_eq!((one.made(), two.made()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_key_taken_from_the_request_tells_connections_apart() {
    let dialler = Dialler::default();
    let keys = Arc::new(AtomicUsize::new(0));
    let asked = keys.clone();
    let client = PoolLayer::new(1)
        .keyed_by(move |ask: &Ask| {
            asked.fetch_add(1, SeqCst);
            if *ask == Ask::Slowly { "slow" } else { "fast" }
        })
        .layer(dialler.clone());
    let (slow, fast) = tokio::join!(
        client.clone().oneshot(Ask::Slowly),
        client.clone().oneshot(Ask::Who)
    );
    assert_ne!(slow.unwrap().from, fast.unwrap().from);
    assert_eq!(client.handle().stats().keys, 2);
    assert_eq!(keys.load(SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_throws_its_connection_away_and_a_response_does_not() {
    let dialler = Dialler::default();
    let client = PoolLayer::new(1).layer(dialler.clone());
    assert_eq!(client.clone().oneshot(Ask::Close).await.unwrap().from, 1);
    assert_eq!(client.clone().oneshot(Ask::Who).await.unwrap().from, 1);
    client.clone().oneshot(Ask::Fail).await.unwrap_err();
    assert_eq!(dialler.open(), 0);
    assert_eq!(client.oneshot(Ask::Who).await.unwrap().from, 2);
}

#[tokio::test(start_paused = true)]
async fn a_closure_may_judge_otherwise() {
    let dialler = Dialler::default();
    let layer = PoolLayer::new(1).keep_if(|result: Result<&Answer, &Refused>| match result {
        Ok(answer) => !answer.closing,
        Err(Refused) => true,
    });
    let client = layer.layer(dialler.clone());
    client.clone().oneshot(Ask::Fail).await.unwrap_err();
    assert_eq!(client.clone().oneshot(Ask::Close).await.unwrap().from, 1);
    assert_eq!(dialler.open(), 0);
    assert_eq!(client.oneshot(Ask::Who).await.unwrap().from, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_takes_its_connection_along_and_the_next_one_connects() {
    let dialler = Dialler::default();
    let client = PoolLayer::new(1).layer(dialler.clone());
    let impatient = tower::timeout::Timeout::new(client.clone(), ms(5));
    impatient.oneshot(Ask::Slowly).await.unwrap_err();
    assert_eq!((dialler.open(), client.handle().stats().closed.broken), (0, 1));
    assert_eq!(client.oneshot(Ask::Who).await.unwrap().from, 2);
}

#[tokio::test(start_paused = true)]
async fn refusals_and_errors_can_be_found_by_type_in_the_boxed_error() {
    let dialler = Dialler::default().then(How::Refuse).then(How::Hang);
    let layer = PoolLayer::new(1)
        .connect_timeout(ms(10))
        .max_waiting(0)
        .max_keys(1);
    let client = layer
        .keyed_by(|ask: &Ask| *ask == Ask::Who)
        .layer(dialler.clone());

    let err = client.clone().oneshot(Ask::Who).await.unwrap_err();
    let rejected = Rejected::find(&*err).unwrap();
    assert_eq!(rejected.reason(), Reason::ConnectFailed);
    assert!(rejected.retry_after().is_some_and(|delay| delay <= ms(50)));
    let cause = rejected.source().unwrap().downcast_ref::<ConnectError>();
    assert!(cause.unwrap().get_ref().is::<Refused>());
    tokio::time::advance(ms(50)).await;
    let err = client.clone().oneshot(Ask::Who).await.unwrap_err();
    let after = ms(10);
    assert_eq!(
        Rejected::find(&*err).unwrap().reason(),
        Reason::ConnectTimeout { after }
    );
    let slow = tokio::spawn(client.clone().oneshot(Ask::Slowly));
    tokio::task::yield_now().await;
    let err = client.clone().oneshot(Ask::Who).await.unwrap_err();
    let keys = 1;
    assert_eq!(
        Rejected::find(&*err).unwrap().reason(),
        Reason::TooManyKeys { keys }
    );
    let err = client.clone().oneshot(Ask::Slowly).await.unwrap_err();
    let waiting = 0;
    assert_eq!(
        Rejected::find(&*err).unwrap().reason(),
        Reason::PoolQueueFull { waiting }
    );
    client.handle().close();
    let err = client.oneshot(Ask::Who).await.unwrap_err();
    assert_eq!(Rejected::find(&*err).unwrap().reason(), Reason::PoolClosed);
    slow.await.unwrap().unwrap();
    assert_eq!(dialler.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_refusals_leaves_the_error_type_alone() {
    #[derive(Clone)]
    struct Echo;
    impl Service<Ask> for Echo {
        type Response = Reason;
        type Error = Infallible;
        type Future = std::future::Pending<Result<Reason, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Ask) -> Self::Future {
            std::future::pending()
        }
    }
    let layer = PoolLayer::new(1)
        .respond_with(|rejected: Rejected| rejected.reason())
        .wait_timeout(ms(5));
    let client = layer.layer(tower::service_fn(|()| async { Ok::<_, Infallible>(Echo) }));
    let busy = tokio::spawn(client.clone().oneshot(Ask::Who));
    tokio::task::yield_now().await;
    let waited = ms(5);
    assert_eq!(client.oneshot(Ask::Who).await, Ok(Reason::PoolTimeout { waited }));
    busy.abort();

    // A connect that took too long is a refusal like the others.
    let client = PoolLayer::new(1)
        .connect_timeout(ms(7))
        .respond_with(|rejected: Rejected| rejected.reason())
        .layer(tower::service_fn(|()| {
            std::future::pending::<Result<Echo, Infallible>>()
        }));
    let after = ms(7);
    assert_eq!(
        client.oneshot(Ask::Who).await,
        Ok(Reason::ConnectTimeout { after })
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_of_ones_own_unifies_two_error_types() {
    #[derive(Debug)]
    enum Mine {
        Call,
        Pool(Reason),
    }
    #[derive(Clone)]
    struct ToMine;
    impl<Res> OnReject<Res, Refused> for ToMine {
        type Error = Mine;
        fn reject(&self, rejected: Rejected) -> Result<Res, Mine> {
            Err(Mine::Pool(rejected.reason()))
        }
        fn inner(_: Refused) -> Mine {
            Mine::Call
        }
    }
    let dialler = Dialler::default().then(How::Refuse).then(How::Hang);
    let layer = PoolLayer::new(1).on_reject(ToMine).connect_timeout(ms(3));
    let client = layer.layer(dialler);
    let refused = client.clone().oneshot(Ask::Who).await;
    assert!(matches!(refused, Err(Mine::Pool(Reason::ConnectFailed))));
    tokio::time::advance(ms(50)).await;
    let after = ms(3);
    let slow = client.clone().oneshot(Ask::Who).await;
    assert!(matches!(slow, Err(Mine::Pool(reason)) if reason == Reason::ConnectTimeout { after }));
    tokio::time::advance(ms(100)).await;
    let failed = client.clone().oneshot(Ask::Fail).await;
    assert!(matches!(failed, Err(Mine::Call)));
    layer.handle().close();
    let refused = client.oneshot(Ask::Who).await;
    assert!(matches!(refused, Err(Mine::Pool(Reason::PoolClosed))));
}

#[tokio::test(start_paused = true)]
async fn connector_and_connection_may_fail_differently_where_errors_are_boxed() {
    let connector = tower::service_fn(|()| async {
        Ok::<_, std::io::Error>(tower::service_fn(|_: Ask| async { Err::<(), _>(Refused) }))
    });
    let err: BoxError = PoolLayer::new(1)
        .layer(connector)
        .oneshot(Ask::Who)
        .await
        .unwrap_err();
    assert!(err.is::<Refused>());
}

/// Is never ready again once `stale`.
#[derive(Debug)]
struct Fickle {
    id: usize,
    stale: Arc<std::sync::atomic::AtomicBool>,
}

impl Service<Ask> for Fickle {
    type Response = usize;
    type Error = Refused;
    type Future = std::future::Ready<Result<usize, Refused>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        let fresh = self.id > 2 || !self.stale.load(SeqCst);
        Poll::Ready(if fresh { Ok(()) } else { Err(Refused) })
    }

    fn call(&mut self, _: Ask) -> Self::Future {
        std::future::ready(Ok(self.id))
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_went_stale_while_idle_costs_the_request_nothing() {
    let (made, stale) = (Arc::new(AtomicUsize::new(0)), Arc::default());
    let gone = Arc::clone(&stale);
    let client = PoolLayer::new(2).layer(tower::service_fn(move |()| {
        let connection = Fickle {
            id: made.fetch_add(1, SeqCst) + 1,
            stale: Arc::clone(&stale),
        };
        std::future::ready(Ok::<_, Refused>(connection))
    }));
    client.connections().warm_up(&(), 2).await.unwrap();
    for _ in 0..2 {
        // Both are used ones by now.
        drop((
            client.connections().get(&()).await,
            client.connections().get(&()).await,
        ));
    }
    gone.store(true, SeqCst);
    assert_eq!(client.clone().oneshot(Ask::Who).await.unwrap(), 3);
    assert_eq!(client.handle().stats().closed.broken, 2);
}

#[test]
fn everything_that_crosses_threads_may_and_futures_of_plain_connectors_can_be_moved() {
    fn check<T: Send + Sync + Unpin>(_: &T) {}
    fn send<T: Send>(_: T) {}
    let layer = PoolLayer::new(1).keyed_by(|_: &Ask| 7_u8);
    check(&layer);
    check(&layer.handle());
    let mut client = layer.layer(Dialler::default());
    check(&client);
    check(client.connections());
    send(client.call(Ask::Who));
    let mut pool = Dialler::default().pool(1);
    check(&pool);
    send(pool.get(&()));
    send(pool.call(()));
    let lease = futures::executor::block_on(pool.get(&())).unwrap();
    check(&lease);
}

//! One circuit per key, and never more than so many.

use std::{
    convert::Infallible,
    future::pending,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Barrier,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use hook_breaker::{
    BoxError, CircuitBreakerLayer, KeyedBreakerLayer, KeyedCircuits, Outcome, Reason, Rejected, State,
};
use hook_monitor::{Gather, HistogramSnapshot, Label, Source, Status};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

/// A call for a key, and whether it goes well.
type Req = (u32, bool);

fn layer() -> KeyedBreakerLayer<fn(&Req) -> u32, u32> {
    CircuitBreakerLayer::keyed_by((|(key, _): &Req| *key) as fn(&Req) -> u32).consecutive_failures(1)
}

async fn answer((_, is_well): Req) -> Result<(), BoxError> {
    if is_well { Ok(()) } else { Err("down".into()) }
}

fn reason(answer: Result<(), BoxError>) -> Option<Reason> {
    let err = answer.err()?;
    Rejected::find(&*err).map(Rejected::reason)
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_down_takes_no_other_with_it() {
    let layer = layer();
    let circuits = layer.handle();
    let mut service = layer.layer(service_fn(answer));
    let mut ask = async |req| reason(service.ready().await.unwrap().call(req).await);
    assert_eq!(ask((1, true)).await, None);
    assert_eq!(ask((2, false)).await, None);
    assert_eq!(ask((2, true)).await, Some(Reason::CircuitOpen));
    assert_eq!(ask((1, true)).await, None);

    let state = |key| circuits.get(&key).map(|circuit| circuit.state());
    assert_eq!(
        [1, 2, 3].map(state),
        [Some(State::Closed), Some(State::Open), None]
    );
    let mut keys: Vec<_> = circuits.list().into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    assert_eq!(keys, [1, 2]);
    assert_eq!(circuits.status(), Status::Degraded);

    assert!(circuits.reset(&2) && !circuits.reset(&3));
    assert_eq!(ask((2, true)).await, None);
    assert!(circuits.force_open(3));
    assert_eq!(ask((3, true)).await, Some(Reason::CircuitIsolated));
    circuits.reset_all();
    assert_eq!(ask((3, true)).await, None);
    assert_eq!(circuits.status(), Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_hostile_keys_take_the_room_of_a_hundred_and_close_no_open_circuit() {
    let layer = layer().max_keys(100);
    let circuits = layer.handle();
    let mut service = layer.layer(service_fn(answer));
    for key in 0..10 {
        service
            .ready()
            .await
            .unwrap()
            .call((key, false))
            .await
            .unwrap_err();
    }
    for key in 10..100_000 {
        service.ready().await.unwrap().call((key, true)).await.unwrap();
        if key % 9_999 == 0 {
            assert!(circuits.list().len() <= 100);
        }
    }
    assert!(circuits.list().len() <= 100);
    assert_eq!(circuits.unguarded(), 0);
    for key in 0..10 {
        assert_eq!(circuits.get(&key).unwrap().state(), State::Open);
    }
    let sums = Sums::of(&circuits);
    assert_eq!(sums.calls("success"), 99_990);
    assert_eq!(sums.calls("failure"), 10);
    assert!(sums.get("hook_breaker_evictions_total") >= 99_900);
}

#[tokio::test(start_paused = true)]
async fn only_what_nobody_will_miss_is_evicted() {
    for kept in ["open", "disabled", "called", "held", "nothing"] {
        let layer = layer().max_keys(1);
        let circuits = layer.handle();
        let mut service = layer.layer(service_fn(async |req: Req| match req {
            (7, _) => pending().await,
            req => answer(req).await,
        }));
        let mut call = None;
        let mut handle = None;
        match kept {
            "open" => assert!(circuits.force_open(7)),
            "disabled" => circuits.get_or_create(7).unwrap().disable(),
            "called" => {
                let mut under_way = task::spawn(service.ready().await.unwrap().call((7, true)));
                assert_pending!(under_way.poll());
                call = Some(under_way);
            }
            "held" => handle = circuits.get_or_create(7),
            _ => drop(circuits.get_or_create(7)),
        }
        let stays = kept != "nothing";
        service.ready().await.unwrap().call((8, true)).await.unwrap();
        assert_eq!(circuits.get(&7).is_some(), stays, "{kept}");
        assert_eq!(circuits.get(&8).is_some(), !stays, "{kept}");
        assert_eq!(circuits.unguarded(), u64::from(stays), "{kept}");
        assert!(circuits.list().len() == 1);
        drop((call, handle));

        circuits.reset_all();
        service.ready().await.unwrap().call((9, true)).await.unwrap();
        assert!(
            circuits.get(&9).is_some(),
            "{kept}: no longer held, and still there"
        );
    }
}

#[test]
fn threads_that_race_for_a_key_share_one_circuit() {
    for _ in 0..200 {
        let circuits = layer().max_keys(1).handle();
        let barrier = Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    if let Some(circuit) = circuits.get_or_create(1) {
                        circuit.try_acquire().unwrap().success();
                    }
                });
            }
        });
        assert_eq!(circuits.list().len(), 1);
        // Whoever lost the race gave the place it had reserved back.
        assert!(circuits.get_or_create(2).is_some(), "a place was lost");
    }
}

/// A dip in a counter looks like a restart to whoever reads it.
#[test]
fn totals_never_fall_while_circuits_are_evicted() {
    let layer = layer().max_keys(4);
    let circuits = layer.handle();
    let service = layer.layer(service_fn(answer));
    std::thread::scope(|scope| {
        let calling: Vec<_> = (0..2)
            .map(|thread| {
                let mut service = service.clone();
                scope.spawn(move || {
                    for call in 0..20_000 {
                        let call = service.call((thread * 1_000_000 + call, true));
                        futures::executor::block_on(call).unwrap();
                    }
                })
            })
            .collect();
        let mut last = 0;
        while calling.iter().any(|thread| !thread.is_finished()) {
            let now = Sums::of(&circuits).calls("success");
            assert!(now >= last, "{last} calls, and then {now}");
            last = now;
        }
    });
    let (guarded, unguarded) = (Sums::of(&circuits).calls("success"), circuits.unguarded());
    assert_eq!(guarded + unguarded, 40_000);
}

/// Panics where it is told to.
#[derive(Debug)]
struct Touchy(u32);

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        assert_ne!((self.0, other.0), (2, 2), "touched");
        self.0 == other.0
    }
}
impl Eq for Touchy {}
impl Hash for Touchy {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert_ne!(self.0, 3, "touched");
        self.0.hash(state);
    }
}
impl Clone for Touchy {
    fn clone(&self) -> Self {
        assert_ne!(self.0, 4, "touched");
        Self(self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_panics_takes_no_place_and_leaves_the_rest_as_it_was() {
    let layer = CircuitBreakerLayer::keyed_by(|key: &u32| {
        assert_ne!(*key, 5, "no key");
        Touchy(*key)
    })
    .max_keys(2);
    let mut service = layer.layer(service_fn(async |_: u32| Ok::<_, BoxError>(())));
    service.ready().await.unwrap().call(2).await.unwrap();
    for key in [2, 3, 4, 5] {
        for _ in 0..3 {
            let call = catch_unwind(AssertUnwindSafe(|| service.call(key)));
            assert!(call.is_err(), "{key}");
        }
    }
    let one = service.call(1).await;
    one.unwrap();
    assert_eq!(layer.handle().unguarded(), 0);
    assert_eq!(layer.handle().list().len(), 2, "a panic took a place");
}

#[tokio::test(start_paused = true)]
async fn readiness_is_the_inner_services_and_its_error_passes() {
    let layer = layer();
    let (mut service, mut backend) = mock::spawn_layer::<Req, (), _>(layer.clone());
    backend.allow(0);
    assert_pending!(service.poll_ready());
    backend.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());

    // A refusal uses none of it up.
    layer.handle().force_open(1);
    assert_eq!(
        reason(service.call((1, true)).await),
        Some(Reason::CircuitIsolated)
    );
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call((2, true)));
    assert_pending!(call.poll());
    backend.next_request().await.unwrap().1.send_response(());
    assert_ready_ok!(call.poll());
    backend.send_error("gone for good");
    assert_eq!(
        assert_ready_err!(service.poll_ready()).to_string(),
        "gone for good"
    );
    assert_eq!(layer.handle().get(&2).unwrap().snapshot().failures, 0);
}

#[tokio::test(start_paused = true)]
async fn a_clone_shares_the_circuits_and_starts_unready() {
    #[derive(Default)]
    struct Strict(bool);
    impl Clone for Strict {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl Service<Req> for Strict {
        type Response = ();
        type Error = BoxError;
        type Future = std::future::Ready<Result<(), BoxError>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), BoxError>> {
            self.0 = true;
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Req) -> Self::Future {
            assert!(std::mem::take(&mut self.0), "called before it was ready");
            std::future::ready(Ok(()))
        }
    }

    let mut service = layer().layer(Strict::default());
    service.ready().await.unwrap();
    let mut clone = service.clone();
    service.call((1, true)).await.unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| clone.call((1, true)))).is_err());
    // The panic in `call` was a failure of the circuit both share.
    assert_eq!(service.handle().get(&1).unwrap().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn on_axum_a_route_that_is_down_is_shut_and_the_others_are_not() {
    let layer = CircuitBreakerLayer::keyed_by(|req: &axum::extract::Request| req.uri().path().to_owned())
        .consecutive_failures(1)
        .classify_with(
            |result: Result<&Response, &Infallible>, _: Duration| match result {
                Ok(response) if response.status().is_server_error() => Outcome::Failure,
                _ => Outcome::Success,
            },
        )
        .respond_with(|_: Rejected| StatusCode::SERVICE_UNAVAILABLE.into_response());
    let router: Router = Router::new()
        .route("/ill", get(|| async { StatusCode::BAD_GATEWAY }))
        .route("/well", get(|| async { "well" }))
        .layer(layer);
    let ask = async |path: &str| {
        let req = Request::get(path).body(Body::empty()).unwrap();
        let Ok(response) = router.clone().oneshot(req).await;
        response.status()
    };
    assert_eq!(ask("/ill").await, StatusCode::BAD_GATEWAY);
    assert_eq!(ask("/ill").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask("/well").await, StatusCode::OK);
}

/// Counters by name and label.
#[derive(Default)]
struct Sums(Vec<(String, u64)>);

impl Sums {
    fn of<K: Hash + Eq + Clone + Send + Sync>(circuits: &KeyedCircuits<K>) -> Self {
        let mut sums = Self::default();
        circuits.read(&mut sums);
        sums
    }
    fn get(&self, name: &str) -> u64 {
        self.0.iter().find(|(found, _)| found == name).unwrap().1
    }
    fn calls(&self, kind: &str) -> u64 {
        self.get(&format!("hook_breaker_calls_total{kind}"))
    }
}

impl Gather for Sums {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        let labels: String = labels.iter().map(|label| label.1).collect();
        self.0.push((format!("{name}{labels}"), value));
    }
    fn gauge(&mut self, _: &'static str, _: &[Label], _: f64) {}
    fn histogram(&mut self, _: &'static str, _: &[Label], _: &HistogramSnapshot) {}
}

//! A service that waits until it is let in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

use hook_breaker::{BoxError, Breaker, CircuitBreaker, CircuitBreakerLayer, State};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

const OPEN_FOR: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(30);

fn layer(probes: u32) -> CircuitBreakerLayer {
    CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .probes(probes)
        .wait_until_permitted()
}

fn trip(circuit: &CircuitBreaker) {
    circuit.try_acquire().unwrap().failure();
}

async fn well((): ()) -> Result<(), BoxError> {
    Ok(())
}

/// A service of the layer, in a task of its own.
macro_rules! waiter {
    ($layer:expr) => {
        task::spawn($layer.layer(service_fn(well)))
    };
}

macro_rules! poll {
    ($service:expr) => {
        $service.enter(|cx, mut service| service.poll_ready(cx))
    };
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_break_polls_twice_and_wakes_nobody_before_its_end() {
    let layer = layer(1);
    let circuit = layer.handle();
    trip(&circuit);
    let mut waiter = waiter!(layer);
    assert_pending!(poll!(waiter));
    assert!(!waiter.is_woken(), "woken by itself");
    advance(OPEN_FOR - Duration::from_millis(2)).await;
    assert!(!waiter.is_woken());
    advance(Duration::from_millis(3)).await;
    assert!(waiter.is_woken());
    assert_ready_ok!(poll!(waiter));

    circuit.reset();
    trip(&circuit);
    let (polls, start) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let mut service = layer.layer(service_fn(well));
    let counting = Arc::clone(&polls);
    std::future::poll_fn(move |cx| {
        counting.fetch_add(1, SeqCst);
        service.poll_ready(cx)
    })
    .await
    .unwrap();
    assert_eq!(polls.load(SeqCst), 2);
    assert!(start.elapsed() >= OPEN_FOR && start.elapsed() < OPEN_FOR + Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn one_is_woken_for_each_permit_and_the_first_to_come_is_the_first_in() {
    let layer = layer(2);
    let circuit = layer.handle();
    trip(&circuit);
    advance(OPEN_FOR).await;
    let probes = [(); 2].map(|()| circuit.try_acquire().unwrap());
    let mut waiters: Vec<_> = (0..4).map(|_| waiter!(layer)).collect();
    for waiter in &mut waiters {
        assert_pending!(poll!(waiter));
    }
    assert_eq!(circuit.snapshot().waiting, 4);
    for (place, probe) in probes.into_iter().enumerate() {
        probe.ignore();
        assert!(waiters[place].is_woken());
        // Another way in was no one's to take but theirs.
        assert!(circuit.try_acquire().is_err());
        assert_ready_ok!(poll!(waiters[place]));
        assert!(!waiters[3].is_woken());
        // The next is told what to watch the clock for.
        if waiters[place + 1].is_woken() {
            assert_pending!(poll!(waiters[place + 1]));
        }
    }
    assert_eq!(
        (circuit.snapshot().waiting, circuit.snapshot().free_probes),
        (2, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn who_was_told_to_be_ready_is_never_refused() {
    let layer = layer(1);
    let circuit = layer.handle();
    let mut waiter = waiter!(layer);
    assert_ready_ok!(poll!(waiter));
    trip(&circuit);
    assert!(circuit.try_acquire().is_err());
    waiter.call(()).await.unwrap();
    assert_eq!(
        (circuit.state(), circuit.snapshot().not_permitted),
        (State::Open, 1)
    );
    assert_pending!(poll!(waiter));
    circuit.force_open();
    assert_pending!(poll!(waiter));
}

#[tokio::test(start_paused = true)]
async fn one_who_goes_hands_on_what_was_his_wherever_he_stood() {
    for claimed in [false, true] {
        for gone in 0..3 {
            let layer = layer(1);
            let circuit = layer.handle();
            trip(&circuit);
            advance(OPEN_FOR).await;
            let probe = circuit.try_acquire().unwrap();
            let mut waiters: Vec<_> = (0..3).map(|_| waiter!(layer)).collect();
            for waiter in &mut waiters {
                assert_pending!(poll!(waiter));
            }
            probe.ignore();
            assert!(waiters[0].is_woken());
            if claimed {
                assert_ready_ok!(poll!(waiters[0]));
            }
            drop(waiters.remove(gone));
            if gone == 0 {
                assert!(waiters[0].is_woken(), "claimed: {claimed}");
            }
            assert_ready_ok!(poll!(waiters[0]));
            assert_pending!(poll!(waiters[1]));
            waiters[0].call(()).await.unwrap();
            assert!(waiters[1].is_woken());
            assert_ready_ok!(poll!(waiters[1]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn all_are_woken_where_all_are_let_in_and_none_where_none_is() {
    for way_in in [
        CircuitBreaker::reset,
        CircuitBreaker::disable,
        CircuitBreaker::metrics_only,
    ] {
        let layer = layer(1);
        let circuit = layer.handle();
        circuit.force_open();
        let mut waiters: Vec<_> = (0..3).map(|_| waiter!(layer)).collect();
        for waiter in &mut waiters {
            assert_pending!(poll!(waiter));
        }
        advance(100 * OPEN_FOR).await;
        assert!(waiters.iter().all(|waiter| !waiter.is_woken()));
        way_in(&circuit);
        for waiter in &mut waiters {
            assert!(waiter.is_woken());
            assert_ready_ok!(poll!(waiter));
        }
        assert_eq!(circuit.snapshot().waiting, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_clone_inherits_neither_the_place_nor_the_leave() {
    let layer = layer(1);
    let circuit = layer.handle();
    trip(&circuit);
    advance(OPEN_FOR).await;
    let mut waiter = waiter!(layer);
    assert_ready_ok!(poll!(waiter));
    let mut clone = task::spawn(Breaker::clone(&waiter));
    assert_pending!(poll!(clone));
    drop(clone);
    waiter.call(()).await.unwrap();
    assert_eq!(circuit.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_leave_runs_out_while_the_inner_service_is_busy() {
    let layer = layer(1);
    let circuit = layer.handle();
    trip(&circuit);
    advance(OPEN_FOR).await;
    let (mut busy, mut backend) = mock::spawn_layer::<(), (), _>(layer.clone());
    backend.allow(0);
    assert_pending!(busy.poll_ready());
    assert_eq!(circuit.state(), State::HalfOpen);
    let mut next = waiter!(layer);
    assert_pending!(poll!(next));
    advance(LEASE + Duration::from_millis(1)).await;
    assert!(next.is_woken(), "nobody watches the lease");
    assert_pending!(poll!(next));
    assert_eq!(circuit.state(), State::Open);
    backend.allow(1);
    assert!(busy.is_woken());
    assert_pending!(busy.poll_ready());
    advance(OPEN_FOR + Duration::from_millis(1)).await;
    assert!(next.is_woken());
    assert_ready_ok!(poll!(next));
}

#[tokio::test(start_paused = true)]
async fn no_timer_outlives_the_one_who_waited() {
    let layer = layer(1);
    let circuit = layer.handle();
    trip(&circuit);
    let (mut first, mut second) = (waiter!(layer), waiter!(layer));
    assert_pending!(poll!(first));
    assert_pending!(poll!(second));
    // Who is first now watches the clock.
    drop(first);
    assert!(second.is_woken());
    assert_pending!(poll!(second));
    assert!(!second.is_woken());
    drop(second);
    assert_eq!((circuit.snapshot().waiting, circuit.snapshot().in_flight), (0, 0));
    // With no timer left, paused time goes straight to the one asked for.
    let start = Instant::now();
    tokio::time::timeout(3 * OPEN_FOR, std::future::pending::<()>())
        .await
        .unwrap_err();
    assert_eq!(start.elapsed(), 3 * OPEN_FOR);
}

#[cfg(feature = "coarse-clock")]
#[tokio::test]
async fn a_coarse_clock_does_not_spin() {
    let layer = CircuitBreakerLayer::new()
        .consecutive_failures(1)
        .open_for(Duration::from_millis(30))
        .coarse_clock()
        .wait_until_permitted();
    trip(&layer.handle());
    let mut service = layer.layer(service_fn(well));
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        polls += 1;
        service.poll_ready(cx)
    })
    .await
    .unwrap();
    assert!((2..=5).contains(&polls), "{polls} polls");
}

#[tokio::test(start_paused = true)]
async fn those_who_do_not_wait_are_refused_by_the_same_circuit() {
    let circuit = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(1)
        .build();
    let refusing = CircuitBreakerLayer::from(circuit.clone());
    let waiting = refusing.clone().wait_until_permitted();
    trip(&circuit);
    let mut waiter = waiter!(waiting);
    assert_pending!(poll!(waiter));
    let mut impatient = refusing.layer(service_fn(well));
    impatient.ready().await.unwrap().call(()).await.unwrap_err();
    advance(OPEN_FOR).await;
    // One who asks by hand takes the probe, and its end lets those in who wait.
    let probe = circuit.try_acquire().unwrap();
    assert!(matches!(poll!(waiter), Poll::Pending));
    probe.success();
    assert!(waiter.is_woken());
    assert_ready_ok!(poll!(waiter));
}

#[tokio::test(start_paused = true)]
async fn one_who_was_let_in_and_neither_came_nor_went_holds_up_nobody_for_longer_than_a_lease_and_a_break() {
    let layer = layer(1);
    let circuit = layer.handle();
    trip(&circuit);
    advance(OPEN_FOR).await;
    let probe = circuit.try_acquire().unwrap();
    let (mut absent, mut next) = (waiter!(layer), waiter!(layer));
    assert_pending!(poll!(absent));
    assert_pending!(poll!(next));
    probe.ignore();
    assert!(absent.is_woken());

    // It is not polled again, and not dropped. The next watches the clock from here on.
    for wait in [Duration::ZERO, LEASE, OPEN_FOR] {
        advance(wait).await;
        assert!(next.is_woken(), "nobody woke the next {wait:?} later");
        if wait < OPEN_FOR {
            assert_pending!(poll!(next));
        }
    }
    assert_ready_ok!(poll!(next));
}

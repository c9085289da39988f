//! tower-resilience's circuit breaker.

use std::{pin::Pin, time::Duration};

use futures::poll;
use hook_breaker::{CircuitBreakerLayer, State, TripPolicy, Window};
use tokio::time::{advance, timeout};
use tower::{Layer, Service};
use tower_resilience::circuitbreaker::{CircuitBreakerLayer as PeerLayer, CircuitState};

use crate::backend::{Ask, Backend, Bench};

/// Over before anybody looks: the peer's clock is the real one.
const AT_ONCE: Duration = Duration::from_nanos(1);

const SECOND: Duration = Duration::from_secs(1);

/// Half of ten calls.
fn ours() -> CircuitBreakerLayer {
    CircuitBreakerLayer::new().failure_rate(0.5, Window::calls(10))
}

fn peer() -> PeerLayer {
    PeerLayer::builder()
        .failure_rate_threshold(0.5)
        .sliding_window_size(10)
        .build()
        .expect("sensible figures")
}

#[tokio::test(start_paused = true)]
async fn a_window_of_ten_calls_opens_after_ten_failures_whatever_was_before() {
    async fn failures<S: Service<Ask>>(mut bench: Bench<S>) -> usize {
        assert_eq!(bench.admitted(Ask::Good, 1_000).await, 1_000);
        bench.admitted(Ask::Bad, 10_000).await
    }
    assert_eq!(failures(Bench::new(|backend| ours().layer(backend))).await, 5);
    let peers = failures(Bench::new(|backend| peer().layer(backend))).await;
    assert!(peers >= 990, "tower-resilience opens after {peers}");
}

#[tokio::test(start_paused = true)]
async fn thirty_timeouts_in_a_row_are_failures() {
    async fn after_timeouts<S: Service<Ask>>(mut bench: Bench<S>) -> bool {
        for _ in 0..30 {
            let call = bench.call(Ask::Hang).await;
            let _ = timeout(SECOND, call).await;
        }
        bench.admits(Ask::Good).await
    }
    assert!(!after_timeouts(Bench::new(|backend| ours().layer(backend))).await);
    assert!(after_timeouts(Bench::new(|backend| peer().layer(backend))).await);
}

#[tokio::test(start_paused = true)]
async fn panics_are_failures() {
    async fn admitted<S: Service<Ask>>(mut bench: Bench<S>) -> usize {
        bench.admitted(Ask::Panic, 30).await
    }
    assert_eq!(admitted(Bench::new(|backend| ours().layer(backend))).await, 10);
    assert_eq!(admitted(Bench::new(|backend| peer().layer(backend))).await, 30);
}

/// As axum does, which lays a layer around each of its routes.
#[tokio::test(start_paused = true)]
async fn what_a_layer_makes_shares_its_circuit() {
    async fn second_admits<S: Service<Ask>>(layer: impl Layer<Backend, Service = S>) -> bool {
        let mut first = Bench::new(|backend| layer.layer(backend));
        let mut second = Bench::new(|backend| layer.layer(backend));
        assert_eq!(first.admitted(Ask::Bad, 30).await, 10);
        second.admits(Ask::Good).await
    }
    assert!(!second_admits(ours()).await);
    assert!(second_admits(peer()).await);
}

#[tokio::test(start_paused = true)]
async fn a_reset_forgets_the_failures_of_a_closed_circuit() {
    let ours = CircuitBreakerLayer::new().consecutive_failures(10);
    let handle = ours.handle();
    let mut bench = Bench::new(|backend| ours.layer(backend));
    bench.admitted(Ask::Bad, 9).await;
    handle.reset();
    assert_eq!(bench.admitted(Ask::Bad, 30).await, 10);

    let peer = PeerLayer::builder().consecutive_failures(10);
    let (peer, handle) = peer.build_with_handle().expect("sensible figures");
    let mut bench = Bench::new(|backend| peer.layer(backend));
    bench.admitted(Ask::Bad, 9).await;
    handle.reset().await;
    assert_eq!(bench.admitted(Ask::Bad, 30).await, 1);
}

/// A call begins, the circuit opens, its break is over, a probe is on its way; then the old call succeeds.
#[tokio::test(start_paused = true)]
async fn a_success_from_before_the_break_does_not_close_the_circuit() {
    async fn belated<S: Service<Ask>>(bench: &mut Bench<S>) -> Pin<Box<S::Future>> {
        let mut old = Box::pin(bench.call(Ask::Held).await);
        assert!(poll!(&mut old).is_pending());
        assert_eq!(bench.admitted(Ask::Bad, 10).await, 10);
        advance(SECOND).await;
        let mut probe = Box::pin(bench.call(Ask::Held).await);
        assert!(poll!(&mut probe).is_pending());
        bench.backend.release();
        assert!(old.await.is_ok());
        // Dropped, it would be a result of its own.
        probe
    }
    let ours = ours().open_for(SECOND).probes(1);
    let handle = ours.handle();
    let mut bench = Bench::new(|backend| ours.layer(backend));
    let _probe = belated(&mut bench).await;
    assert_eq!(handle.state(), State::HalfOpen);

    let peer = PeerLayer::builder()
        .sliding_window_size(10)
        .wait_duration_in_open(AT_ONCE)
        .permitted_calls_in_half_open(1);
    let (peer, handle) = peer.build_with_handle().expect("sensible figures");
    let mut bench = Bench::new(|backend| peer.layer(backend));
    let _probe = belated(&mut bench).await;
    assert_eq!(handle.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_does_not_close_what_slowness_opened() {
    let slow = TripPolicy::slow_call_rate(0.5, SECOND / 2, Window::calls(10));
    let ours = CircuitBreakerLayer::new()
        .trip_when(slow)
        .open_for(SECOND)
        .probes(1);
    let handle = ours.handle();
    let mut bench = Bench::new(|backend| ours.layer(backend));
    assert_eq!(bench.admitted(Ask::Slow, 30).await, 10);
    advance(SECOND).await;
    assert!(bench.admits(Ask::Slow).await, "the probe");
    assert_eq!(handle.state(), State::Open);

    // By the peer's clock, which is the real one, any call takes a nanosecond.
    let peer = PeerLayer::builder()
        .failure_rate_threshold(1.0)
        .slow_call_duration_threshold(AT_ONCE)
        .slow_call_rate_threshold(0.5)
        .sliding_window_size(10)
        .wait_duration_in_open(AT_ONCE)
        .permitted_calls_in_half_open(1);
    let (peer, handle) = peer.build_with_handle().expect("sensible figures");
    let mut bench = Bench::new(|backend| peer.layer(backend));
    assert_eq!(bench.admitted(Ask::Slow, 10).await, 10);
    assert_eq!(handle.state(), CircuitState::Open);
    assert!(bench.admits(Ask::Slow).await, "the probe");
    assert_eq!(handle.state(), CircuitState::Closed);
}

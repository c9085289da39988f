//! What is timed, in virtual time.

use std::{convert::Infallible, time::Duration};

use hook_monitor::{CallMonitor, MonitorLayer, Outcome};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service, service_fn};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn latency_is_the_time_from_call_to_result_for_successes_and_failures() {
    let layer = MonitorLayer::new("timed");
    let mut service = layer.layer(service_fn(|(ms, ok): (u32, bool)| async move {
        sleep(ms * MS).await;
        if ok { Ok(()) } else { Err(()) }
    }));
    // The response of a call waits 30 ms before anyone polls it; its caller waits that long, too.
    let response = service.call((0, true));
    advance(30 * MS).await;
    assert_eq!(response.await, Ok(()));
    assert_eq!(service.call((10, true)).await, Ok(()));
    assert_eq!(service.call((80, false)).await, Err(()));

    let seen = layer.handle().snapshot();
    assert_eq!(seen.latency.count(), 3);
    assert_eq!((seen.mean(), seen.max()), (40 * MS, 80 * MS));
    let p50 = seen.p50();
    assert!((30 * MS..34 * MS).contains(&p50), "{p50:?}");
    assert_eq!((seen.p90(), seen.p99()), (80 * MS, 80 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_cancels_and_says_nothing_of_latency() {
    let layer = MonitorLayer::new("impatient");
    let mut service = layer.layer(service_fn(|()| async {
        sleep(10_000 * MS).await;
        Ok::<_, Infallible>(())
    }));
    assert!(timeout(100 * MS, service.call(())).await.is_err());

    let seen = layer.handle().snapshot();
    assert_eq!((seen.cancelled, seen.in_flight), (1, 0));
    assert_eq!((seen.latency.count(), seen.max()), (0, Duration::ZERO));
    assert_eq!(seen.success_rate(), None);
}

#[tokio::test(start_paused = true)]
async fn the_classifier_is_told_how_long_the_call_took() {
    let layer =
        MonitorLayer::new("slow is broken").classify_with(|_: Result<&(), &Infallible>, took: Duration| {
            if took > 50 * MS {
                Outcome::Failure
            } else {
                Outcome::Success
            }
        });
    let mut service = layer.layer(service_fn(|ms: u32| async move {
        sleep(ms * MS).await;
        Ok::<_, Infallible>(())
    }));
    for ms in [49, 50, 51] {
        let Ok(()) = service.call(ms).await;
    }
    let seen = layer.handle().snapshot();
    assert_eq!((seen.successes, seen.failures), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn watched_futures_and_calls_by_hand_are_timed_alike() {
    let monitor = CallMonitor::new("by hand");
    let call = monitor.start();
    let answer = monitor.watch(async {
        sleep(20 * MS).await;
        Ok::<_, ()>("here")
    });
    assert_eq!(answer.await, Ok("here"));
    call.finish(Outcome::Failure);
    let ignored = monitor.start();
    advance(1_000 * MS).await;
    ignored.finish(Outcome::Ignored);

    let seen = monitor.handle().snapshot();
    assert_eq!(seen.latency.count(), 2);
    assert_eq!((seen.mean(), seen.max()), (20 * MS, 20 * MS));
}

#[tokio::test]
async fn figures_of_nothing_are_answers() {
    let seen = MonitorLayer::new("idle").handle().snapshot();
    assert_eq!(seen.success_rate(), None);
    for figure in [seen.mean(), seen.p50(), seen.p90(), seen.p99(), seen.max()] {
        assert_eq!(figure, Duration::ZERO);
    }
}

#[test]
fn the_success_rate_is_of_successes_failures_and_panics() {
    let monitor = CallMonitor::new("rate");
    let rate = || monitor.handle().snapshot().success_rate();
    monitor.start().finish(Outcome::Ignored);
    drop(monitor.start());
    let _under_way = monitor.start();
    assert_eq!(rate(), None);

    monitor.start().finish(Outcome::Success);
    assert_eq!(rate(), Some(1.0));
    monitor.start().finish(Outcome::Failure);
    assert_eq!(rate(), Some(0.5));
    let panics = std::panic::catch_unwind(|| {
        let _call = monitor.start();
        panic!("as asked");
    });
    assert!(panics.is_err());
    monitor.start().finish(Outcome::Success);
    assert_eq!(rate(), Some(0.5));
}

#[cfg(feature = "coarse-clock")]
#[tokio::test(start_paused = true)]
async fn the_coarse_clock_is_deaf_to_paused_time_and_keeps_the_figures_of_the_layer() {
    let layer = MonitorLayer::new("coarse");
    let calls = layer.handle();
    let mut service = layer.coarse_clock().layer(service_fn(|()| async {
        advance(3_600_000 * MS).await;
        Ok::<_, Infallible>(())
    }));
    let Ok(()) = service.call(()).await;
    let seen = calls.snapshot();
    assert_eq!(seen.successes, 1);
    assert!(seen.max() < 60_000 * MS, "{seen:?}");
}

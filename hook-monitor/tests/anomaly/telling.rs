//! Who hears of an anomaly: subscribers, health, the scrape.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use hook_monitor::{
    BoxError, MonitorLayer, Source, Status,
    anomaly::{AnomalyWatch, Change, Direction, EndedBy, Limit, Signal},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Fed, MS, figure, figures, ticks};

#[tokio::test(start_paused = true)]
async fn a_service_that_gets_slow_is_told_to_subscribers_and_is_degraded_until_the_note_is_over() {
    let monitor = MonitorLayer::new("orders");
    let took = Arc::new(Mutex::new(10 * MS));
    let service = {
        let took = Arc::clone(&took);
        monitor.layer(service_fn(move |(): ()| {
            let took = *took.lock().unwrap();
            async move {
                tokio::time::sleep(took).await;
                Ok::<_, BoxError>(())
            }
        }))
    };
    let watch = AnomalyWatch::new();
    let orders = watch.watch(monitor.handle());
    let mut events = watch.subscribe();
    let task = watch.spawn(Duration::from_secs(1));

    let calls = |n: usize| {
        let service = service.clone();
        async move {
            for _ in 0..n {
                service.clone().oneshot(()).await.unwrap();
            }
        }
    };
    calls(1_000).await;
    assert_eq!(
        (orders.status(), watch.status()),
        (Status::Healthy, Status::Healthy)
    );
    let usual = orders.state().baseline.expect("a baseline");
    assert!(
        (10.0..11.5).contains(&(usual.p99.as_secs_f64() * 1e3)),
        "{usual:?}"
    );
    assert_eq!(orders.judge(40 * MS), None);
    assert!(
        orders
            .judge(60 * MS)
            .is_some_and(|outlier| outlier.took == 60 * MS)
    );

    *took.lock().unwrap() = 40 * MS;
    calls(100).await;
    let event = events.next().await.expect("the watch is there");
    let Change::Began(anomaly) = event.change else {
        panic!("{event:?}")
    };
    assert_eq!((&*event.target, anomaly.direction), ("orders", Direction::Slow));
    assert_eq!(
        (orders.status(), watch.status()),
        (Status::Degraded, Status::Degraded)
    );

    calls(2_000).await;
    let event = events.next().await.expect("the watch is there");
    assert!(
        matches!(
            event.change,
            Change::Ended {
                why: EndedBy::Accepted,
                ..
            }
        ),
        "{event:?}"
    );
    let event = events.next().await.expect("the watch is there");
    let Change::BaselineShift(shift) = event.change else {
        panic!("{event:?}")
    };
    assert!(
        shift.is_regression() && shift.new.p50 > 3 * shift.old.p50,
        "{shift:?}"
    );
    assert_eq!(
        (orders.status(), orders.state().active.len()),
        (Status::Degraded, 0)
    );
    tokio::time::sleep(Duration::from_secs(601)).await;
    assert_eq!((orders.status(), events.missed()), (Status::Healthy, 0));

    // The task ends with its handle, and the subscription with the watch.
    drop((task, watch));
    tokio::task::yield_now().await;
    assert_eq!(events.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_when_it_is_dropped() {
    let watch = AnomalyWatch::new();
    let target = Fed::default().watched(&watch, "dropped");
    let task = watch.spawn(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let ticked = target.state().ticked;
    assert!(ticked.is_some() && !task.is_over());
    drop(task);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(target.state().ticked, ticked);
}

#[test]
fn every_series_is_there_from_the_first_scrape() {
    let (watch, fed, mut now) = (AnomalyWatch::new(), Fed::default(), Instant::now());
    let target = fed.watched(&watch, "series").limit(Limit::p99(25 * MS));
    let first = figures(&watch);
    assert_eq!(first.len(), 13);
    assert!(
        first
            .iter()
            .all(|(name, value)| *value == f64::from(u8::from(name.contains("ratio")))),
        "{first:?}"
    );

    ticks(&watch, &fed, &mut now, 40, 10 * MS);
    ticks(&watch, &fed, &mut now, 4, 30 * MS);
    let names = |figures: Vec<(String, f64)>| figures.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(figures(&watch)), names(first));
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=latency}"),
        1.0
    );
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=limit}"),
        1.0
    );
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=errors}"),
        0.0
    );
    assert_eq!(
        figure(
            &watch,
            "hook_anomaly_episodes_total{target=series,signal=latency,direction=slow}"
        ),
        1.0
    );
    let baseline = figure(&watch, "hook_baseline_seconds{target=series,quantile=0.5}");
    assert!((0.010..0.0115).contains(&baseline), "{baseline}");
    let ratio = figure(&watch, "hook_baseline_day_ratio{target=series,quantile=0.5}");
    assert!((2.5..3.5).contains(&ratio), "{ratio}");

    ticks(&watch, &fed, &mut now, 30, 30 * MS);
    assert_eq!(figure(&watch, "hook_baseline_shifts_total{target=series}"), 1.0);
    assert_eq!(
        target
            .state()
            .active
            .iter()
            .map(|anomaly| anomaly.signal)
            .collect::<Vec<_>>(),
        [Signal::Limit]
    );
    // A limit that is taken away is exceeded by nothing.
    let _ = target.limit(Limit::p99(Duration::MAX).for_ticks(0));
    ticks(&watch, &fed, &mut now, 1, 30 * MS);
    assert_eq!(
        figure(&watch, "hook_anomaly_active{target=series,signal=limit}"),
        0.0
    );
}

#[tokio::test]
async fn a_subscriber_who_is_far_behind_is_told_how_many_events_it_lost() {
    let (watch, mut now) = (AnomalyWatch::new(), Instant::now());
    let targets: Vec<_> = (0..300).map(|i| (Fed::default(), format!("many {i}"))).collect();
    for (fed, name) in &targets {
        fed.watched(&watch, name);
    }
    let mut events = watch.subscribe();
    let mut told = 0;
    for tick in 0..12 {
        for (fed, _) in &targets {
            fed.calls(50, if tick < 8 { 10 * MS } else { 100 * MS });
        }
        now += Duration::from_secs(1);
        told += watch.tick(now).len();
    }
    assert_eq!(told, 300);
    drop(watch);
    let mut read = 0;
    while events.next().await.is_some() {
        read += 1;
    }
    assert_eq!((read, events.missed()), (256, 44));
}

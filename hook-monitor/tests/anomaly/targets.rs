//! Many targets at a time, those that come and go, and those that misbehave.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Instant,
};

use hook_monitor::{
    Histogram, Status,
    anomaly::{AnomalyWatch, Observed},
};

use crate::support::{Fed, MS, figures, ticks};

#[test]
fn a_source_that_panics_does_not_end_the_watch_over_the_others() {
    let (watch, fed, mut now) = (AnomalyWatch::new(), Fed::default(), Instant::now());
    let broken = Arc::new(AtomicBool::new(true));
    let panics = {
        let broken = Arc::clone(&broken);
        watch.watch_with("broken".into(), move || {
            assert!(!broken.load(Relaxed), "out of order");
            Fed::default().observed()
        })
    };
    let fine = fed.watched(&watch, "fine");
    ticks(&watch, &fed, &mut now, 10, MS);
    assert!(fine.state().baseline.is_some() && panics.state().is_unreadable);
    assert_eq!(
        (panics.status(), fine.status()),
        (Status::Degraded, Status::Healthy)
    );
    broken.store(false, Relaxed);
    ticks(&watch, &fed, &mut now, 1, MS);
    assert_eq!(panics.status(), Status::Healthy);
}

#[test]
fn a_name_is_one_target_and_can_be_forgotten() {
    let watch = AnomalyWatch::new();
    let old = Fed::default().watched(&watch, "name");
    let new = Fed::default().watched(&watch, "name");
    let now = Instant::now();
    watch.tick(now);
    assert_eq!((old.state().ticked, new.state().ticked), (None, Some(now)));
    assert_eq!((watch.all().len(), watch.target("name").is_some()), (1, true));
    assert_eq!(
        (watch.forget("name"), watch.forget("name"), watch.all().len()),
        (true, false, 0)
    );
}

#[test]
#[should_panic(expected = "an AnomalyWatch has 1000 targets at most; \"one too many\" would be one more")]
fn targets_are_bounded() {
    let watch = AnomalyWatch::new();
    for i in 0..1_000 {
        Fed::default().watched(&watch, &format!("bounded {i}"));
    }
    assert_eq!(watch.all().len(), 1_000);
    // One of the same name has a place.
    Fed::default().watched(&watch, "bounded 7");
    Fed::default().watched(&watch, "one too many");
}

#[test]
fn ticks_of_two_threads_at_once_judge_each_call_once() {
    let (watch, fed) = (AnomalyWatch::new(), Fed::default());
    let target = fed.watched(&watch, "threads");
    let start = Instant::now();
    watch.tick(start);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    fed.calls(1, 10 * MS);
                    watch.tick(start);
                }
            });
        }
    });
    watch.tick(start);
    assert_eq!(target.state().totals.calls, 2_000);
}

/// The last handles go while a tick reads the target, which itself ticks, forgets and subscribes.
#[test]
fn a_watch_and_a_target_may_go_while_they_are_read() {
    let watch = AnomalyWatch::new();
    let (inner, held) = (watch.clone(), Arc::new(()));
    let holds = Arc::clone(&held);
    let target = watch.watch_with("gone".into(), move || {
        let _holds = &holds;
        assert!(inner.tick(Instant::now()).is_empty(), "one tick at a time");
        drop(inner.subscribe());
        inner.forget("gone");
        Observed::new(Histogram::new().snapshot(), 0, 0)
    });
    drop(target);
    watch.tick(Instant::now());
    assert!(watch.all().is_empty());
    assert_eq!(
        Arc::strong_count(&held),
        1,
        "what was forgotten is dropped when it has been read"
    );
    std::thread::scope(|scope| {
        for at in 0..4 {
            let watch = &watch;
            scope.spawn(move || {
                for n in 0..200 {
                    let name = format!("racing {}", (at + n) % 3);
                    let target = Fed::default().watched(watch, &name);
                    watch.tick(Instant::now());
                    drop((target.state(), watch.forget(&name), figures(watch)));
                }
            });
        }
    });
}

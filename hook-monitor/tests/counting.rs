//! Every way a call can end, by value.

use std::{
    convert::Infallible,
    future::{Future, poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use hook_monitor::{
    BoxError, CallMonitor, Classify, Ending, MonitorHandle, MonitorLayer, Outcome, Reason, Rejected,
};
use tower::{Layer, Service, service_fn};

/// The ends that `ends` leaves out.
fn refused_and_late(calls: &MonitorHandle) -> [u64; 2] {
    let seen = calls.snapshot();
    [seen.rejected, seen.timeouts]
}

/// Successes, failures, ignored, cancelled, panicked, in flight; and that they add up to the starts.
#[track_caller]
fn ends(calls: &MonitorHandle) -> [u64; 6] {
    let seen = calls.snapshot();
    let ends = [
        seen.successes,
        seen.failures,
        seen.ignored,
        seen.cancelled,
        seen.panicked,
        seen.in_flight,
    ];
    let all = ends.iter().sum::<u64>() + seen.rejected + seen.timeouts;
    assert_eq!(seen.started, all, "{seen:?}");
    assert_eq!(
        seen.latency.count(),
        seen.successes + seen.failures + seen.timeouts,
        "{seen:?}"
    );
    ends
}

fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A future that is pending `pending` times and then does what `then` says.
fn after<T>(mut pending: u32, then: impl Fn() -> T) -> impl Future<Output = T> {
    poll_fn(move |_| {
        if pending == 0 {
            return Poll::Ready(then());
        }
        pending -= 1;
        Poll::Pending
    })
}

/// 0 succeeds, 1 fails, 2 is ignored, 3 panics.
fn end_as(end: u32) -> Result<u32, u32> {
    match end {
        0 | 2 => Ok(end),
        1 => Err(end),
        _ => panic!("as asked"),
    }
}

fn judge(result: Result<&u32, &u32>, _took: Duration) -> Outcome {
    match result {
        Ok(0) => Outcome::Success,
        Ok(_) => Outcome::Ignored,
        Err(_) => Outcome::Failure,
    }
}

#[test]
fn a_call_counts_once_however_it_ends_and_whenever_it_is_dropped() {
    for (end, ended) in [
        (0, [1, 0, 0, 0, 0, 0]),
        (1, [0, 1, 0, 0, 0, 0]),
        (2, [0, 0, 1, 0, 0, 0]),
        (3, [0, 0, 0, 0, 1, 0]),
    ] {
        for pending in 0..4 {
            // Drop the future after so many polls; `pending` is the one that ends the call.
            for polls in 0..=pending + 1 {
                let layer = MonitorLayer::new("matrix").classify_with(judge);
                let calls = layer.handle();
                let mut service = layer.layer(service_fn(move |()| after(pending, move || end_as(end))));
                let mut response = Box::pin(service.call(()));
                for poll in 0..polls {
                    assert_eq!(ends(&calls), [0, 0, 0, 0, 0, 1], "before poll {poll}");
                    let polled = catch_unwind(AssertUnwindSafe(|| poll_once(response.as_mut())));
                    assert_eq!(polled.is_err(), end == 3 && poll == pending);
                }
                let expected = if polls > pending {
                    ended
                } else {
                    [0, 0, 0, 0, 0, 1]
                };
                assert_eq!(
                    ends(&calls),
                    expected,
                    "end {end} after {polls} of {pending} polls"
                );

                drop(response);
                let expected = if polls > pending {
                    ended
                } else {
                    [0, 0, 0, 1, 0, 0]
                };
                assert_eq!(
                    ends(&calls),
                    expected,
                    "end {end}, dropped after {polls} of {pending}"
                );
            }
        }
    }
}

#[test]
fn a_refusal_and_a_timeout_count_as_that_once_and_whenever_they_are_dropped() {
    let refused = || BoxError::from(std::io::Error::other(Rejected::new(Reason::CircuitOpen)));
    let late = || BoxError::from(tower::timeout::error::Elapsed::new());
    for (make, ended) in [(&refused as &dyn Fn() -> BoxError, [1, 0]), (&late, [0, 1])] {
        for pending in 0..3 {
            for polls in 0..=pending + 1 {
                let layer = MonitorLayer::new("refused");
                let calls = layer.handle();
                let mut service = layer.layer(service_fn(|()| after(pending, || Err::<(), _>(make()))));
                let mut response = Box::pin(service.call(()));
                (0..polls).for_each(|_| drop(poll_once(response.as_mut())));
                drop(response);
                let (seen, cancelled) = if polls > pending { (ended, 0) } else { ([0, 0], 1) };
                assert_eq!(refused_and_late(&calls), seen, "after {polls} of {pending} polls");
                assert_eq!(ends(&calls), [0, 0, 0, cancelled, 0, 0]);
            }
        }
    }
}

#[test]
fn an_answer_counts_as_the_refusal_or_the_timeout_that_it_is() {
    let layer =
        MonitorLayer::new("answers").endings_with(|answer: Result<&u16, &Infallible>, _: Duration| {
            match answer {
                Ok(503) => Ending::Rejected,
                Ok(504) => Ending::Timeout,
                Ok(500) => Ending::Error,
                _ => Ending::Ok,
            }
        });
    let mut service = layer.layer(service_fn(|status: u16| ready(Ok::<_, Infallible>(status))));
    for status in [200, 500, 503, 503, 504, 504, 504] {
        assert!(poll_once(pin!(service.call(status))).is_ready());
    }
    assert_eq!(ends(&layer.handle()), [1, 1, 0, 0, 0, 0]);
    assert_eq!(refused_and_late(&layer.handle()), [2, 3]);
    assert_eq!(layer.handle().snapshot().success_rate(), Some(1.0 / 7.0));
}

#[test]
fn a_panic_while_making_the_future_is_counted() {
    let layer = MonitorLayer::new("call");
    let mut service = layer.layer(service_fn(|()| -> std::future::Ready<Result<(), Infallible>> {
        panic!("before there is a future")
    }));
    assert!(catch_unwind(AssertUnwindSafe(|| service.call(()))).is_err());
    assert_eq!(ends(&layer.handle()), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn a_panic_in_the_classifier_is_counted() {
    let layer = MonitorLayer::new("judge")
        .classify_with(|_: Result<&(), &Infallible>, _: Duration| -> Outcome { panic!("no opinion") });
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, Infallible>(()))));
    let mut response = pin!(service.call(()));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(response.as_mut()))).is_err());
    assert_eq!(ends(&layer.handle()), [0, 0, 0, 0, 1, 0]);
}

#[test]
fn a_panic_elsewhere_cancels_the_calls_it_drops_and_leaves_the_finished_alone() {
    let layer = MonitorLayer::new("bystander");
    let mut service = layer.layer(service_fn(|pending| after(pending, || Ok::<_, Infallible>(()))));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _unpolled = service.call(0);
        let mut waiting = pin!(service.call(1));
        assert!(poll_once(waiting.as_mut()).is_pending());
        let mut finished = pin!(service.call(0));
        assert!(poll_once(finished.as_mut()).is_ready());
        panic!("someone else");
    }));
    assert!(unwound.is_err());
    assert_eq!(ends(&layer.handle()), [1, 0, 0, 2, 0, 0]);
}

#[test]
fn a_future_that_panics_when_it_is_dropped_counts_once() {
    struct Spiteful;
    impl Drop for Spiteful {
        fn drop(&mut self) {
            panic!("not without me");
        }
    }

    for (pending, ended) in [(0, [1, 0, 0, 0, 0, 0]), (9, [0, 0, 0, 1, 0, 0])] {
        let layer = MonitorLayer::new("spiteful");
        let mut service = layer.layer(service_fn(move |()| {
            let (spite, mut inner) = (Spiteful, Box::pin(after(pending, || Ok::<_, Infallible>(()))));
            poll_fn(move |cx| {
                let _held = &spite;
                inner.as_mut().poll(cx)
            })
        }));
        let mut response = Box::pin(service.call(()));
        assert_eq!(poll_once(response.as_mut()).is_ready(), pending == 0);
        assert!(catch_unwind(AssertUnwindSafe(|| drop(response))).is_err());
        assert_eq!(ends(&layer.handle()), ended);
    }
}

#[test]
fn calls_that_outlive_everything_count_nowhere_else() {
    for _ in 0..20 {
        let layer = MonitorLayer::new("gone");
        let mut service = layer.layer(service_fn(|pending| after(pending, || Ok::<_, Infallible>(()))));
        let mut late = Box::pin(service.call(1));
        let dropped = Box::pin(service.clone().call(9));
        assert!(poll_once(late.as_mut()).is_pending());
        drop((layer, service));

        // What was the layer's may be somebody else's now, and these calls are none of theirs.
        let others: Vec<_> = (0..4).map(|_| CallMonitor::new("next")).collect();
        assert!(poll_once(late.as_mut()).is_ready());
        drop((late, dropped));
        for other in others {
            assert_eq!(ends(&other.handle()), [0; 6]);
        }
    }
}

#[test]
fn what_is_polled_after_the_end_changes_no_count() {
    let layer = MonitorLayer::new("again");
    let mut service = layer.layer(service_fn(|()| after(0, || Err::<(), _>(7))));
    let mut response = pin!(service.call(()));
    for _ in 0..3 {
        assert_eq!(poll_once(response.as_mut()), Poll::Ready(Err(7)));
    }
    assert_eq!(ends(&layer.handle()), [0, 1, 0, 0, 0, 0]);
}

#[test]
fn services_clones_and_layers_of_one_layer_count_in_one_place() {
    let layer = MonitorLayer::new("shared");
    let calls = layer.handle();
    let inner = service_fn(|fails: bool| ready(if fails { Err(()) } else { Ok(()) }));
    let mut one = layer.layer(inner);
    let mut two = layer.clone().layer(inner);
    let mut three = two.clone();
    // Also under another judgement: the figures belong to the first `new`.
    let excuse = |_: Result<&(), &()>, _: Duration| Outcome::Ignored;
    let mut four = layer.classify_with(excuse).layer(inner);

    assert!(poll_once(pin!(one.call(false))).is_ready());
    assert!(poll_once(pin!(two.call(false))).is_ready());
    assert!(poll_once(pin!(three.call(true))).is_ready());
    assert!(poll_once(pin!(four.call(true))).is_ready());
    assert_eq!(ends(&calls), [2, 1, 1, 0, 0, 0]);
    assert_eq!(ends(&four.handle()), ends(&calls));
}

#[test]
fn two_layers_of_one_name_count_apart() {
    let (one, two) = (MonitorLayer::new("same"), MonitorLayer::new("same"));
    let mut service = one.layer(service_fn(|()| ready(Ok::<_, ()>(()))));
    assert!(poll_once(pin!(service.call(()))).is_ready());
    assert_eq!(ends(&one.handle()), [1, 0, 0, 0, 0, 0]);
    assert_eq!(ends(&two.handle()), [0; 6]);
}

// ===== without tower =====

#[test]
fn a_call_by_hand_counts_once_however_it_ends() {
    let monitor = CallMonitor::new("by hand");
    let calls = monitor.handle();
    monitor.start().finish(Outcome::Success);
    monitor.start().finish(Outcome::Failure);
    monitor.start().finish(Outcome::Ignored);
    drop(monitor.start());
    let unwound = catch_unwind(|| {
        let _call = monitor.start();
        panic!("in the middle of it");
    });
    assert!(unwound.is_err());
    let _under_way = monitor.start();
    assert_eq!(ends(&calls), [1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_call_made_and_dropped_by_a_destructor_is_not_ended_by_the_panic_around_it() {
    struct CallsOnDrop(CallMonitor);
    impl Drop for CallsOnDrop {
        fn drop(&mut self) {
            drop(self.0.start());
        }
    }

    let monitor = CallMonitor::new("destructor");
    let unwound = catch_unwind(|| {
        let _last_words = CallsOnDrop(monitor.clone());
        panic!("elsewhere");
    });
    assert!(unwound.is_err());
    assert_eq!(ends(&monitor.handle()), [0, 0, 0, 1, 0, 0]);
}

#[test]
fn a_watched_future_counts_like_a_call_of_a_service() {
    let monitor = CallMonitor::new("watched");
    let calls = monitor.handle();
    assert!(poll_once(pin!(monitor.watch(ready(Ok::<(), ()>(()))))).is_ready());
    assert!(poll_once(pin!(monitor.watch(ready(Err::<(), ()>(()))))).is_ready());
    assert!(poll_once(pin!(monitor.watch_with(judge, ready(Ok(2))))).is_ready());
    drop(monitor.watch(ready(Ok::<(), ()>(()))));
    let mut panics = pin!(monitor.watch(after(0, || end_as(3))));
    assert!(catch_unwind(AssertUnwindSafe(|| poll_once(panics.as_mut()))).is_err());
    let _under_way = monitor.watch(ready(Ok::<(), ()>(())));
    assert_eq!(ends(&calls), [1, 1, 1, 1, 1, 1]);
}

#[test]
fn a_layer_made_of_a_monitor_counts_where_the_monitor_counts() {
    let monitor = CallMonitor::new("both");
    let mut service = MonitorLayer::from(monitor.clone()).layer(service_fn(|()| ready(Err::<(), _>(()))));
    assert!(poll_once(pin!(service.call(()))).is_ready());
    monitor.start().finish(Outcome::Success);
    assert_eq!(ends(&monitor.handle()), [1, 1, 0, 0, 0, 0]);
}

/// A classifier need not be a closure.
#[test]
fn a_type_can_be_the_judge() {
    #[derive(Clone)]
    struct Budget(u32);
    impl Classify<u32, u32> for Budget {
        fn classify(&self, result: Result<&u32, &u32>, _took: Duration) -> Outcome {
            match result {
                Ok(spent) if *spent <= self.0 => Outcome::Success,
                _ => Outcome::Failure,
            }
        }
    }

    let layer = MonitorLayer::new("typed").classify_with(Budget(10));
    let mut service = layer.layer(service_fn(|spent: u32| ready(Ok::<_, u32>(spent))));
    assert!(poll_once(pin!(service.call(10))).is_ready());
    assert!(poll_once(pin!(service.call(11))).is_ready());
    assert_eq!(ends(&layer.handle()), [1, 1, 0, 0, 0, 0]);
}

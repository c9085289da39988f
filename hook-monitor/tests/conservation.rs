//! What holds while threads call at once, at every instant and when all is quiet.

use std::{
    convert::Infallible,
    future::{Future, Ready, poll_fn, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Barrier,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use hook_monitor::{CallMonitor, ErrorsAsFailures, MonitorLayer, Outcome, future::ResponseFuture};
use tower::{Layer, Service, service_fn};

const THREADS: u64 = 8;
const CALLS: u64 = 20_000;

#[test]
fn starts_are_ends_and_calls_in_flight_at_every_instant_under_eight_threads() {
    // Spares the test log a panic message per panicked call.
    std::panic::set_hook(Box::new(|_| ()));
    let layer =
        MonitorLayer::new("conserved").classify_with(
            |result: Result<&u64, &u64>, _: Duration| match result {
                Ok(0) => Outcome::Success,
                Ok(_) => Outcome::Ignored,
                Err(_) => Outcome::Failure,
            },
        );
    let calls = layer.handle();
    let service = layer.layer(service_fn(|end: u64| {
        let mut polled = false;
        poll_fn(move |_| match (end, polled) {
            (0, _) => Poll::Ready(Ok(0)),
            (1, _) => Poll::Ready(Err(1)),
            (2, _) => Poll::Ready(Ok(2)),
            (4, true) => panic!("as asked"),
            _ => {
                polled = true;
                Poll::Pending
            }
        })
    }));

    let done = AtomicBool::new(false);
    let started = Barrier::new(THREADS as usize + 1);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (mut service, started) = (service.clone(), &started);
                scope.spawn(move || {
                    started.wait();
                    for call in 0..CALLS {
                        // A panic costs microseconds, so there are fewer of them.
                        let end = if call % 100 == 4 { 4 } else { (call + thread) % 4 };
                        let mut response = pin!(service.call(end));
                        let mut cx = Context::from_waker(Waker::noop());
                        let _ = response.as_mut().poll(&mut cx);
                        if end == 4 {
                            let poll = catch_unwind(AssertUnwindSafe(|| response.as_mut().poll(&mut cx)));
                            assert!(poll.is_err());
                        }
                    }
                })
            })
            .collect();

        let (calls, done, started) = (&calls, &done, &started);
        let reader = scope.spawn(move || {
            started.wait();
            let mut last = calls.snapshot();
            let mut under_way = 0;
            while !done.load(SeqCst) {
                let seen = calls.snapshot();
                let ended = seen.successes + seen.failures + seen.ignored + seen.cancelled + seen.panicked;
                assert_eq!(seen.started, ended + seen.in_flight, "{seen:?}");
                assert!(seen.started >= last.started && seen.started <= THREADS * CALLS);
                assert!(seen.latency.count() >= seen.successes + seen.failures, "{seen:?}");
                if let Some(rate) = seen.success_rate() {
                    assert!((0.0..=1.0).contains(&rate));
                }
                under_way = under_way.max(seen.in_flight);
                last = seen;
            }
            under_way
        });
        for caller in callers {
            caller.join().expect("a caller");
        }
        done.store(true, SeqCst);
        // Starts are read after ends, so what starts and ends in between looks under way; what cannot
        // happen is fewer than none, which would show as about 2^64.
        let under_way = reader.join().expect("the reader");
        assert!(under_way <= THREADS * CALLS, "{under_way} under way");
    });

    let seen = calls.snapshot();
    let panicked = THREADS * CALLS / 100;
    assert_eq!((seen.started, seen.in_flight), (THREADS * CALLS, 0));
    assert_eq!(seen.panicked, panicked);
    assert_eq!(
        seen.successes + seen.failures + seen.ignored + seen.cancelled,
        THREADS * CALLS - panicked
    );
    for count in [seen.successes, seen.failures, seen.ignored, seen.cancelled] {
        assert!(count > THREADS * CALLS / 5, "{seen:?}");
    }
    assert_eq!(seen.latency.count(), seen.successes + seen.failures);
}

#[test]
fn in_flight_is_ahead_by_at_most_a_third_of_the_calls_that_began_while_it_was_read() {
    const CALLERS: u64 = 2;

    let monitor = CallMonitor::new("busy");
    let calls = monitor.handle();
    let (begun, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    begun.fetch_add(1, SeqCst);
                    monitor.start().finish(Outcome::Ignored);
                }
            });
        }
        let mut worst = None;
        for _ in 0..20_000 {
            let before = begun.load(SeqCst);
            let seen = calls.snapshot().in_flight;
            // Each caller may be between its own count and the start of the call.
            let meanwhile = begun.load(SeqCst) - before + CALLERS;
            // Of three readings one after the other, one has at most a third of these in it: this holds
            // however the threads are scheduled.
            if seen > CALLERS + meanwhile / 3 {
                worst = worst.max(Some((seen, meanwhile)));
            }
        }
        done.store(true, Relaxed);
        assert_eq!(worst, None, "(in flight, began meanwhile), of {CALLERS} callers");
    });
}

#[test]
fn a_call_may_end_on_another_thread_than_it_began_on() {
    let layer = MonitorLayer::new("moved");
    let mut service = layer.layer(service_fn(|()| ready(Ok::<_, Infallible>(()))));
    let (send, receive) = mpsc::channel::<ResponseFuture<Ready<Result<(), Infallible>>, ErrorsAsFailures>>();
    thread::scope(|scope| {
        scope.spawn(move || {
            for response in receive {
                let poll = pin!(response).poll(&mut Context::from_waker(Waker::noop()));
                assert!(poll.is_ready());
            }
        });
        for _ in 0..1_000 {
            send.send(service.call(())).expect("the other thread");
        }
        drop(send);
    });
    let seen = layer.handle().snapshot();
    assert_eq!((seen.started, seen.successes, seen.in_flight), (1_000, 1_000, 0));
}

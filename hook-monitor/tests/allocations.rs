//! What a call costs the allocator: nothing.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use allocation_counter::measure;
use hook_monitor::{CallMonitor, MonitorLayer, Outcome};
use tower::{Layer, Service, service_fn};

fn inner(ok: bool) -> Ready<Result<(), ()>> {
    ready(if ok { Ok(()) } else { Err(()) })
}

/// The allocations of a hundred times `work`, after one to warm up.
fn allocations(mut work: impl FnMut()) -> u64 {
    work();
    measure(|| (0..100).for_each(|_| work())).count_total
}

fn run(future: impl Future) {
    let poll = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
    assert!(black_box(poll).is_ready());
}

#[test]
fn the_measure_sees_an_allocation() {
    assert_eq!(allocations(|| drop(black_box(Box::new(1)))), 100);
}

#[test]
fn a_call_allocates_nothing_however_it_ends() {
    let mut service = MonitorLayer::new("lean").layer(service_fn(inner));
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(
        allocations(|| {
            let ready: Poll<Result<(), ()>> = service.poll_ready(&mut cx);
            assert!(ready.is_ready());
            run(service.call(true));
            run(service.call(false));
            drop(service.call(true));
        }),
        0
    );
}

#[test]
fn a_judged_call_a_clone_and_a_service_allocate_nothing() {
    let slow = Duration::from_secs(1);
    let layer = MonitorLayer::new("judged").classify_with(move |_: Result<&(), &()>, took: Duration| {
        if took > slow {
            Outcome::Failure
        } else {
            Outcome::Ignored
        }
    });
    let service = layer.layer(service_fn(inner));
    assert_eq!(allocations(|| run(service.clone().call(true))), 0);
    assert_eq!(
        allocations(|| run(layer.clone().layer(service_fn(inner)).call(true))),
        0
    );
}

#[test]
fn a_call_by_hand_and_a_watched_future_allocate_nothing() {
    let monitor = CallMonitor::new("by hand");
    assert_eq!(
        allocations(|| {
            monitor.clone().start().finish(Outcome::Success);
            drop(monitor.start());
            run(monitor.watch(ready(Ok::<_, Infallible>(()))));
        }),
        0
    );
}

#[cfg(feature = "coarse-clock")]
#[test]
fn the_coarse_clock_allocates_nothing() {
    let mut service = MonitorLayer::new("coarse")
        .coarse_clock()
        .layer(service_fn(inner));
    assert_eq!(allocations(|| run(service.call(true))), 0);
}

//! The services that layers are put around, and how a call of one is made.

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tower_service::Service;

/// The cheapest service there is: its future is ready at once. What a layer adds to it is the layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bare;

impl Service<u64> for Bare {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    #[inline]
    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, req: u64) -> Self::Future {
        // Or the optimiser sees through a thin layer to a constant.
        ready(Ok(black_box(req)))
    }
}

/// The service of a backend that is down.
#[derive(Clone, Copy, Debug, Default)]
pub struct Down;

/// The error of [`Down`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsDown;

impl std::fmt::Display for IsDown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the backend is down")
    }
}

impl std::error::Error for IsDown {}

impl Service<u64> for Down {
    type Response = u64;
    type Error = IsDown;
    type Future = Ready<Result<u64, IsDown>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), IsDown>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _req: u64) -> Self::Future {
        ready(Err(IsDown))
    }
}

/// Runs a future that needs nobody else to make progress, with as little around it as there can be: always inline, as an
/// `await` is. Else a future that was just written is moved to another frame, which costs more than a layer does.
#[inline(always)]
pub fn drive<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
    }
}

/// One call as a caller makes it: readiness, then the call. By hand, because an `async` block of its own is a state
/// machine of its own, whose cost would be on both sides of every comparison.
#[inline(always)]
pub fn call<S: Service<Req>, Req>(service: &mut S, req: Req) -> Result<S::Response, S::Error> {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(ready) = service.poll_ready(&mut cx) {
            ready?;
            break;
        }
    }
    drive(service.call(req))
}

/// Calls of a service in a row, timed: one side of a [pair](crate::side_by_side).
pub fn calls<S: Service<u64>>(mut service: S) -> impl FnMut(u64) -> Duration {
    move |n| {
        let began = Instant::now();
        for _ in 0..n {
            black_box(call(&mut service, black_box(7)).is_ok());
        }
        began.elapsed()
    }
}

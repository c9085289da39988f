use std::{
    fmt, mem,
    task::{Context, Poll, ready},
};

use hook_monitor::{Classify, ErrorsAsFailures, OnReject, RejectWithError};
use tower_service::Service;

use crate::{
    breaker::CircuitBreaker,
    future::ResponseFuture,
    gate::Peek,
    permit::{Admission, Unwinding},
    refusal::Refusal,
    waiting::Waiting,
};

/// A service behind a circuit breaker, made by [`CircuitBreakerLayer`](crate::CircuitBreakerLayer).
///
/// # Readiness
///
/// While the circuit lets calls in, the breaker is ready when the inner service is. While it refuses,
/// the breaker is ready at once without touching the inner service, and the refusal comes out of the
/// response future.
///
/// With [`wait_until_permitted`](crate::CircuitBreakerLayer::wait_until_permitted) it is not ready while the circuit
/// refuses, and does not refuse a call it was ready for.
///
/// A service keeps what its inner service has reserved for it, or has put it in a queue for, when the
/// circuit refuses in between: until it is polled ready and called again, or dropped. A service that
/// will not be used for a while should be dropped, or replaced by its clone.
///
/// # Cancellation
///
/// A response future that is dropped counts by the [`DroppedCall`](crate::DroppedCall) rule.
pub struct Breaker<S, C = ErrorsAsFailures, R = RejectWithError> {
    inner: S,
    circuit: CircuitBreaker,
    classify: C,
    on_reject: R,
    readiness: Readiness,
    /// There is one if it waits rather than refuses.
    waiting: Option<Box<Waiting>>,
}

/// What the caller was promised when it last asked.
#[derive(Clone, Copy, Debug)]
enum Readiness {
    /// Nothing.
    Unknown,
    /// The inner service is ready, and stays so until it is called.
    Inner,
    /// To be refused: the inner service was not asked, so it must not be called.
    Refusal(Refusal),
}

impl<S, C, R> Breaker<S, C, R> {
    pub(crate) fn new(inner: S, circuit: CircuitBreaker, classify: C, on_reject: R, waits: bool) -> Self {
        let waiting = waits.then(|| Waiting::new(circuit.core()));
        Self {
            inner,
            circuit,
            classify,
            on_reject,
            readiness: Readiness::Unknown,
            waiting,
        }
    }

    /// The circuit, to look at and to reset.
    pub fn handle(&self) -> CircuitBreaker {
        self.circuit.clone()
    }

    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, to be changed. What is called on it does not pass the circuit.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Takes the breaker off.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, C, R, Req> Service<Req> for Breaker<S, C, R>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error> + Clone,
    R: OnReject<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = R::Error;
    type Future = ResponseFuture<S::Future, C, R>;

    #[inline(always)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.waiting.is_some() {
            return self.poll_ready_waiting(cx).map_err(R::inner);
        }
        if let Peek::Refusing(refusal) = self.circuit.gate().peek() {
            // An inner service that was ready still is: should the break be over by then, it is called.
            if !matches!(self.readiness, Readiness::Inner) {
                self.readiness = Readiness::Refusal(refusal);
            }
            return Poll::Ready(Ok(()));
        }
        self.readiness = Readiness::Unknown;
        ready!(self.inner.poll_ready(cx)).map_err(R::inner)?;
        self.readiness = Readiness::Inner;
        Poll::Ready(Ok(()))
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        if let Readiness::Refusal(refusal) = self.readiness {
            self.readiness = Readiness::Unknown;
            return self.refuse(refusal);
        }
        // `Unknown` is a caller who did not ask; what that leads to is the inner service's to say.
        if self.waiting.is_none() {
            // Cloned before there is an admission that its panic would leave behind.
            let classify = self.classify.clone();
            if let Some(admission) = Admission::acquire_free(self.circuit.gate()) {
                self.readiness = Readiness::Unknown;
                return call_inner(&mut self.inner, admission, classify, req);
            }
        }
        self.call_slowly(req)
    }
}

impl<S, C, R> Breaker<S, C, R> {
    /// Where the circuit does not let every call in, or leave was promised.
    #[inline(never)]
    fn call_slowly<Req>(&mut self, req: Req) -> ResponseFuture<S::Future, C, R>
    where
        S: Service<Req>,
        C: Classify<S::Response, S::Error> + Clone,
        R: Clone,
    {
        let readiness = mem::replace(&mut self.readiness, Readiness::Unknown);
        let classify = self.classify.clone();
        let promised = self.waiting.as_mut().and_then(|waiting| waiting.take());
        let admission = match promised.map_or_else(|| Admission::acquire(self.circuit.gate()), Ok) {
            Ok(admission) => admission,
            Err(refusal) => {
                // The inner service keeps its readiness, if it had it, for the next call.
                self.readiness = readiness;
                return ResponseFuture::refused(refusal, self.on_reject.clone());
            }
        };
        call_inner(&mut self.inner, admission, classify, req)
    }

    /// What was promised when the caller asked for readiness. Nobody knows whether the inner service is ready, and
    /// there is no waiting for it in here, so the refusal stands, whatever the circuit is by now; it costs no second
    /// look at the clock.
    #[inline]
    fn refuse<F>(&self, refusal: Refusal) -> ResponseFuture<F, C, R>
    where
        R: Clone,
    {
        self.circuit.gate().count_refusal();
        ResponseFuture::refused(refusal, self.on_reject.clone())
    }

    #[inline(never)]
    fn poll_ready_waiting<Req>(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>>
    where
        S: Service<Req>,
    {
        let Some(waiting) = &mut self.waiting else {
            return self.inner.poll_ready(cx);
        };
        loop {
            ready!(waiting.poll_turn(cx));
            ready!(self.inner.poll_ready(cx))?;
            if waiting.confirm() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Calls `inner` and lets the admission go with the call; a panic in there is a failure.
#[inline(always)]
pub(crate) fn call_inner<S, C, R, Req>(
    inner: &mut S,
    mut admission: Admission,
    classify: C,
    req: Req,
) -> ResponseFuture<S::Future, C, R>
where
    S: Service<Req>,
    C: Classify<S::Response, S::Error>,
{
    admission.start(classify.is_timed());
    let guard = Unwinding::guard(admission);
    let future = inner.call(req);
    ResponseFuture::called(future, guard.survived(), classify)
}

impl<S: Clone, C: Clone, R: Clone> Clone for Breaker<S, C, R> {
    /// Another service on the same circuit. It is not ready, whatever this one is.
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.circuit.clone(),
            self.classify.clone(),
            self.on_reject.clone(),
            self.waiting.is_some(),
        )
    }
}

// By hand: a closure is not `Debug`.
impl<S: fmt::Debug, C, R> fmt::Debug for Breaker<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("inner", &self.inner)
            .field("circuit", &self.circuit)
            .finish_non_exhaustive()
    }
}

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use hook_monitor::{Classify, ErrorsAsFailures, Lane, Lanes, OnReject, Reason, RejectWithError, Rejected};
use tower_service::Service;

use crate::{
    breaker::CircuitBreaker,
    future::ResponseFuture,
    gate::Peek,
    permit::{Admission, Unwinding},
    shared::{Core, Owner},
};

/// A service behind a circuit breaker, made by [`CircuitBreakerLayer`](crate::CircuitBreakerLayer).
///
/// # Readiness
///
/// While the circuit lets calls in, the breaker is ready when the inner service is. While it refuses,
/// the breaker is ready at once without touching the inner service, and the refusal comes out of the
/// response future.
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
    lanes: Lanes<Judge<C, R>>,
    readiness: Readiness,
}

/// What the caller was promised when it last asked.
#[derive(Clone, Copy, Debug)]
enum Readiness {
    /// Nothing.
    Unknown,
    /// The inner service is ready, and stays so until it is called.
    Inner,
    /// A refusal for this reason: the inner service was not asked, so it must not be called.
    Refusal(Reason),
}

impl<S, C, R> Breaker<S, C, R> {
    pub(crate) fn new(inner: S, lanes: Lanes<Judge<C, R>>) -> Self {
        Self {
            inner,
            lanes,
            readiness: Readiness::Unknown,
        }
    }

    /// The circuit, to look at and to reset.
    ///
    /// Each one made allocates a few times: keep it, and clone it where another is needed.
    pub fn handle(&self) -> CircuitBreaker {
        CircuitBreaker::of(&self.lanes.any().core)
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
    C: Classify<S::Response, S::Error>,
    R: OnReject<S::Response, S::Error>,
{
    type Response = S::Response;
    type Error = R::Error;
    type Future = ResponseFuture<S::Future, C, R>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if let Peek::Refusing(reason) = self.lanes.any().core.peek() {
            // An inner service that was ready still is: should the break be over by then, it is called.
            if !matches!(self.readiness, Readiness::Inner) {
                self.readiness = Readiness::Refusal(reason);
            }
            return Poll::Ready(Ok(()));
        }
        self.readiness = Readiness::Unknown;
        ready!(self.inner.poll_ready(cx)).map_err(R::inner)?;
        self.readiness = Readiness::Inner;
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, req: Req) -> Self::Future {
        let admission = match Admission::acquire(self.lanes.mine()) {
            Ok(admission) => admission,
            Err((rejected, judge)) => {
                // The inner service keeps its readiness, if it had it, for the next call.
                if matches!(self.readiness, Readiness::Refusal(_)) {
                    self.readiness = Readiness::Unknown;
                }
                return ResponseFuture::refused(rejected, judge);
            }
        };
        if let Readiness::Refusal(reason) = self.readiness {
            return self.refuse_unreadied(admission, reason);
        }
        // `Unknown` is a caller who did not ask; what that leads to is the inner service's to say.
        self.readiness = Readiness::Unknown;
        self.call_admitted(admission, req)
    }
}

impl<S, C, R> Breaker<S, C, R> {
    #[inline]
    fn call_admitted<Req>(
        &mut self,
        mut admission: Admission<Held<C, R>>,
        req: Req,
    ) -> ResponseFuture<S::Future, C, R>
    where
        S: Service<Req>,
        C: Classify<S::Response, S::Error>,
    {
        if admission.owner().classify.is_timed() {
            admission.start();
        }
        let guard = Unwinding::guard(admission);
        let future = self.inner.call(req);
        ResponseFuture::called(future, guard.survived())
    }

    /// The circuit refused when the caller asked for readiness and admits now. Nobody knows whether
    /// the inner service is ready, and there is no waiting for it in here, so the refusal stands; the
    /// next attempt finds the door open.
    #[cold]
    fn refuse_unreadied<F>(
        &mut self,
        admission: Admission<Held<C, R>>,
        reason: Reason,
    ) -> ResponseFuture<F, C, R> {
        self.readiness = Readiness::Unknown;
        let judge = Arc::clone(admission.owner());
        admission.refuse();
        let rejected = Rejected::new(reason).after(Duration::ZERO);
        ResponseFuture::refused(rejected, judge)
    }
}

impl<S: Clone, C, R> Clone for Breaker<S, C, R> {
    /// Another service on the same circuit. It is not ready, whatever this one is.
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.lanes.clone())
    }
}

// By hand: a closure is not `Debug`.
impl<S: fmt::Debug, C, R> fmt::Debug for Breaker<S, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("inner", &self.inner)
            .field("name", &self.lanes.any().core.name)
            .field("state", &self.lanes.any().core.gate.word().state)
            .finish_non_exhaustive()
    }
}

// ===== impl Judge =====

/// What a call holds on to.
pub(crate) type Held<C, R> = Arc<Lane<Judge<C, R>>>;

/// What services and their calls share: the circuit, and the user's part, which is how a result is
/// judged and what a refusal becomes.
pub(crate) struct Judge<C, R> {
    pub(crate) core: Arc<Core>,
    pub(crate) classify: Arc<C>,
    pub(crate) on_reject: Arc<R>,
}

impl<C, R> Owner for Judge<C, R> {
    #[inline]
    fn core(&self) -> &Core {
        &self.core
    }
}

// By hand: all three are shared, so neither closure need be `Clone`.
impl<C, R> Clone for Judge<C, R> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            classify: Arc::clone(&self.classify),
            on_reject: Arc::clone(&self.on_reject),
        }
    }
}

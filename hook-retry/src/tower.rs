//! A policy for tower's own retry layer: [`RetryPolicy::for_tower`](crate::RetryPolicy::for_tower).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::retry::Policy;

use crate::{
    backoff::Backoff,
    budget::Withdrawal,
    decide::{Decide, Verdict},
    policy::RetryPolicy,
    request::RequestRules,
    rules::{Plan, Rules},
    session::{Next, Session},
};

impl<B: Backoff, C, R> RetryPolicy<B, C, R> {
    /// The same policy for `tower::retry::RetryLayer`, for a stack that has that already.
    ///
    /// A [`RetryPolicy`] itself is no `Policy` of tower's, because that is also the place where each call keeps how far
    /// it has come. Prefer [`RetryLayer`](crate::RetryLayer) where you can; behind tower's layer
    ///
    /// - there are no figures,
    /// - the service that was ready for an attempt is kept through the wait, and what it has reserved with it,
    /// - changes of [`before_retry`](RetryPolicy::before_retry) add up, for tower copies what was changed,
    /// - retries without a wait do not let other tasks run.
    ///
    /// ```
    /// use hook_retry::{Fixed, RetryPolicy};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), &'static str> {
    /// let tries = std::sync::atomic::AtomicU32::new(0);
    /// let service = ServiceBuilder::new()
    ///     .retry(RetryPolicy::new().backoff(Fixed::from_millis(20)).for_tower())
    ///     .service(service_fn(async |_: &str| match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
    ///         0 => Err("not yet"),
    ///         n => Ok(n),
    ///     }));
    /// assert_eq!(service.oneshot("hello").await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn for_tower(self) -> TowerPolicy<B, C, R> {
        TowerPolicy {
            session: None,
            is_retry: false,
            rules: self.rules,
            plan: self.plan,
        }
    }
}

/// A [`RetryPolicy`] as a `tower::retry::Policy`, and how far one call has come.
pub struct TowerPolicy<B: Backoff, C, R> {
    /// Of the latest call. Tower copies the policy for each call after asking it to copy the request.
    session: Option<Session<B::Delays>>,
    /// Whether the next request to be copied is a retry's, and not a new call's.
    is_retry: bool,
    rules: Rules<B, C, R>,
    plan: Plan,
}

impl<B, C, R, Req, Res, E> Policy<Req, Res, E> for TowerPolicy<B, C, R>
where
    B: Backoff,
    C: Decide<Res, E>,
    R: RequestRules<Req>,
{
    type Future = Wait;

    fn retry(&mut self, req: &mut Req, result: &mut Result<Res, E>) -> Option<Wait> {
        let session = self.session.as_mut()?;
        let verdict = self.rules.decide.decide(result.as_ref(), &session.attempt());
        if verdict == Verdict::Stop {
            return None;
        }
        let Next { delay, paid } = session
            .next(verdict, true, &self.rules.backoff, &self.plan)
            .ok()?;
        session.advance();
        self.rules.requests.change(req, session.number());
        self.is_retry = true;
        Some(Wait {
            sleep: (!delay.is_zero()).then(|| tokio::time::sleep(delay)),
            paid,
        })
    }

    fn clone_request(&mut self, req: &Req) -> Option<Req> {
        if std::mem::take(&mut self.is_retry) {
            let is_last = self.session.as_ref().is_some_and(Session::is_last);
            return if is_last {
                None
            } else {
                self.rules.requests.keep(req)
            };
        }
        if let Some(budget) = &self.plan.budget {
            budget.deposit();
        }
        let (is_timed, deadline) = (self.rules.decide.is_timed(), self.rules.requests.deadline(req));
        let session = self
            .session
            .insert(Session::begin(&self.plan.limits, is_timed, deadline));
        if session.is_last() {
            None
        } else {
            self.rules.requests.keep(req)
        }
    }
}

impl<B, C: Clone, R: Clone> Clone for TowerPolicy<B, C, R>
where
    B: Backoff<Delays: Clone> + Clone,
{
    fn clone(&self) -> Self {
        Self {
            session: self.session.clone(),
            is_retry: self.is_retry,
            rules: self.rules.clone(),
            plan: self.plan.clone(),
        }
    }
}

// By hand: a policy need not be `Debug`.
impl<B: Backoff, C, R> fmt::Debug for TowerPolicy<B, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TowerPolicy").finish_non_exhaustive()
    }
}

pin_project! {
    /// The wait of a [`TowerPolicy`] before a retry. Dropped before its end, it costs nothing of the budget.
    ///
    /// # Panics
    ///
    /// If it has to wait outside a tokio runtime with its timer enabled.
    #[derive(Debug)]
    pub struct Wait {
        #[pin]
        sleep: Option<tokio::time::Sleep>,
        paid: Option<Withdrawal>,
    }
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if let Some(sleep) = this.sleep.as_pin_mut() {
            ready!(sleep.poll(cx));
        }
        if let Some(paid) = this.paid.take() {
            paid.spend();
        }
        Poll::Ready(())
    }
}

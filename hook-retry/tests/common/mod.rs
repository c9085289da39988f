//! A service that fails as often as it is told, and notes when it was called.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::{cell::RefCell, rc::Rc, time::Duration};

use hook_retry::{Exponential, RetryPolicy};
use tokio::time::Instant;
use tower::{Service, service_fn};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// Calls that were made, and when, in milliseconds since the start.
#[derive(Clone)]
pub(crate) struct Calls {
    pub(crate) start: Instant,
    at: Rc<RefCell<Vec<u128>>>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            at: Rc::default(),
        }
    }

    pub(crate) fn note(&self) -> usize {
        self.at.borrow_mut().push(self.start.elapsed().as_millis());
        self.at.borrow().len()
    }

    pub(crate) fn count(&self) -> usize {
        self.at.borrow().len()
    }

    pub(crate) fn at(&self) -> Vec<u128> {
        self.at.borrow().clone()
    }
}

/// A service that fails so many times, and then answers with the number of the call.
pub(crate) fn failing(
    failures: usize,
    calls: &Calls,
) -> impl Service<&'static str, Response = usize, Error = String, Future: Unpin> + Clone + use<> {
    let calls = calls.clone();
    service_fn(move |_: &str| {
        let n = calls.note();
        std::future::ready(if n <= failures {
            Err(format!("failure {n}"))
        } else {
            Ok(n)
        })
    })
}

pub(crate) fn plain(retries: u32) -> RetryPolicy<Exponential> {
    RetryPolicy::new()
        .retries(retries)
        .backoff(Exponential::from_millis(100).no_jitter())
}

use std::{fmt, sync::Arc};

use tower_layer::Layer;

use crate::{
    backoff::Exponential, decide::RetryErrors, handle::RetryHandle, policy::RetryPolicy, request::Requests,
    rules::Rules, service::Retry, shared::Shared,
};

/// Tries the calls of a service again, as a [`RetryPolicy`] says.
///
/// Policy and figures are the layer's: every service it makes, and every clone of it, shares them, however
/// often `layer` is called. See the [crate page](crate).
///
/// ```
/// use hook_retry::{RetryLayer, RetryPolicy};
///
/// let layer = RetryLayer::new(RetryPolicy::new().retries(2)).name("inventory");
/// let figures = layer.handle();
/// ```
pub struct RetryLayer<B = Exponential, C = RetryErrors, R = Requests> {
    rules: Rules<B, C, R>,
    shared: Arc<Shared>,
}

impl<B, C, R> RetryLayer<B, C, R> {
    /// Retries by `policy`, under the name `retry`.
    pub fn new(policy: RetryPolicy<B, C, R>) -> Self {
        Self {
            rules: policy.rules,
            shared: Shared::new("retry".to_owned(), policy.plan),
        }
    }

    /// What this layer is called in figures and listings. Default: `retry`.
    ///
    /// Begins new figures: use it before [`handle`](Self::handle), `clone` and `layer`.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            rules: self.rules,
            shared: Shared::new(name.into(), self.shared.plan.clone()),
        }
    }

    /// The figures of all the services this layer makes. To be taken after [`name`](Self::name).
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(&self.shared)
    }
}

impl<S, B, C, R> Layer<S> for RetryLayer<B, C, R>
where
    B: Clone,
    C: Clone,
    R: Clone,
{
    type Service = Retry<S, B, C, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, self.rules.clone(), Arc::clone(&self.shared))
    }
}

impl Default for RetryLayer {
    /// Retries by the default policy.
    fn default() -> Self {
        Self::new(RetryPolicy::new())
    }
}

impl<B: Clone, C: Clone, R: Clone> Clone for RetryLayer<B, C, R> {
    fn clone(&self) -> Self {
        Self {
            rules: self.rules.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

// By hand: a policy need not be `Debug`.
impl<B, C, R> fmt::Debug for RetryLayer<B, C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("handle", &self.handle())
            .finish_non_exhaustive()
    }
}

use std::{fmt, sync::Arc};

use hook_monitor::Lanes;
use tower_layer::Layer;

use crate::{
    handle::{RetryHandle, Stats},
    policy::RetryPolicy,
    service::{Local, Retry},
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
pub struct RetryLayer<P = RetryPolicy> {
    lanes: Lanes<Local<P>>,
}

impl<P> RetryLayer<P> {
    /// Retries by `policy`, under the name `retry`.
    pub fn new(policy: P) -> Self {
        Self::of(Arc::new(policy), "retry".to_owned())
    }

    /// What this layer is called in figures and listings. Default: `retry`.
    ///
    /// Begins new figures: use it before [`handle`](Self::handle), `clone` and `layer`.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self::of(Arc::clone(&self.lanes.any().policy), name.into())
    }

    fn of(policy: Arc<P>, name: String) -> Self {
        let stats = Arc::new(Stats::new(name));
        Self {
            lanes: Lanes::new(&Local { policy, stats }),
        }
    }

    /// The figures of all the services this layer makes.
    pub fn handle(&self) -> RetryHandle {
        RetryHandle::new(&self.lanes.any().stats)
    }
}

impl<S, P> Layer<S> for RetryLayer<P> {
    type Service = Retry<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Retry::new(inner, self.lanes.clone())
    }
}

impl Default for RetryLayer {
    /// Retries by the default policy.
    fn default() -> Self {
        Self::new(RetryPolicy::new())
    }
}

// By hand: the policy is shared, so it need not be `Clone`.
impl<P> Clone for RetryLayer<P> {
    fn clone(&self) -> Self {
        Self {
            lanes: self.lanes.clone(),
        }
    }
}

// By hand: a policy need not be `Debug`.
impl<P> fmt::Debug for RetryLayer<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryLayer")
            .field("handle", &self.handle())
            .finish_non_exhaustive()
    }
}

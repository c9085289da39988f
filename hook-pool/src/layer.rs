use std::{fmt, hash::Hash};

use hook_monitor::{RejectWithError, Rejected, RespondWith};
use tower_layer::Layer;

use crate::{
    Pool, PoolHandle,
    config::knobs,
    policy::{KeepUnlessError, OneKey, Policy},
    shared::Core,
};

/// Makes a client of a connector: each request goes over a pooled connection.
///
/// The connector is a `Service<K, Response = C> + Clone` whose connections are themselves a
/// `Service<Req>`; the layer makes a [`Pool`], a `Service<Req>`.
///
/// The connections are in the layer: all services that it and its clones make share them and the limits.
/// Each dials with the connector it was made over. When the layer, its clones and all their services are
/// gone, the pool is closed.
pub struct PoolLayer<K, C, F = OneKey, R = RejectWithError, P = KeepUnlessError> {
    core: Core<K, C>,
    policy: Policy<F, R, P>,
}

impl<K: Hash + Eq, C> PoolLayer<K, C> {
    /// A layer with at most `max_per_key` connections per key, idle, in use and being opened.
    ///
    /// By default all requests have the same key `()`; a connection goes back unless its call ended in
    /// an error; and refusals are errors.
    ///
    /// # Panics
    ///
    /// If `max_per_key` is zero.
    #[track_caller]
    pub fn new(max_per_key: usize) -> Self {
        assert!(
            max_per_key > 0,
            "a pool of no connections serves nobody: max_per_key must be 1 or more"
        );
        Self {
            core: Core::new(max_per_key),
            policy: Policy {
                key_of: OneKey,
                on_reject: RejectWithError,
                keep: KeepUnlessError,
            },
        }
    }
}

impl<K, C, F, R, P> PoolLayer<K, C, F, R, P> {
    /// Takes the key from the request: only connections opened for that key carry it.
    ///
    /// Whatever tells two places apart must be in the key: host, port, TLS or not, whose credentials.
    #[must_use]
    pub fn keyed_by<Req, G>(self, key: G) -> PoolLayer<K, C, G, R, P>
    where
        G: Fn(&Req) -> K,
    {
        let Policy { on_reject, keep, .. } = self.policy;
        PoolLayer {
            core: self.core,
            policy: Policy {
                key_of: key,
                on_reject,
                keep,
            },
        }
    }

    /// Judges by the result of a call whether its connection goes back. By default it does unless the
    /// call ended in an error.
    ///
    /// ```
    /// use hook_pool::PoolLayer;
    ///
    /// struct Reply {
    ///     closing: bool,
    /// }
    /// # let _: PoolLayer<(), (), _, _, _> =
    /// PoolLayer::new(4).keep_if(|result: Result<&Reply, &std::io::Error>| match result {
    ///     Ok(reply) => !reply.closing,
    ///     Err(_) => false,
    /// })
    /// # ;
    /// ```
    #[must_use]
    pub fn keep_if<Res, Err, G>(self, keep: G) -> PoolLayer<K, C, F, R, G>
    where
        G: Fn(Result<&Res, &Err>) -> bool,
    {
        let Policy {
            key_of, on_reject, ..
        } = self.policy;
        PoolLayer {
            core: self.core,
            policy: Policy {
                key_of,
                on_reject,
                keep,
            },
        }
    }

    /// Turns a refusal into what `on_reject`, an [`OnReject`](hook_monitor::OnReject), makes of it.
    ///
    /// It has to be one for the connector's error and one for that of the connections, with the same
    /// error of its own.
    #[must_use]
    pub fn on_reject<T>(self, on_reject: T) -> PoolLayer<K, C, F, T, P> {
        let Policy { key_of, keep, .. } = self.policy;
        PoolLayer {
            core: self.core,
            policy: Policy {
                key_of,
                on_reject,
                keep,
            },
        }
    }

    /// Answers each refusal with what `respond` makes of it; the error type stays the connector's, which
    /// then has to be that of its connections.
    #[must_use]
    pub fn respond_with<Res, G>(self, respond: G) -> PoolLayer<K, C, F, RespondWith<G>, P>
    where
        G: Fn(Rejected) -> Res,
    {
        self.on_reject(RespondWith::new(respond))
    }

    knobs!();

    /// A handle for looking in from outside. It does not keep the pool open.
    pub fn handle(&self) -> PoolHandle<K, C> {
        PoolHandle::new(self.core.shared().clone())
    }
}

impl<M, K, C, F, R, P> Layer<M> for PoolLayer<K, C, F, R, P>
where
    F: Clone,
    R: Clone,
    P: Clone,
{
    type Service = Pool<M, K, C, F, R, P>;

    fn layer(&self, connector: M) -> Self::Service {
        Pool::new(connector, self.core.clone(), self.policy.clone())
    }
}

// By hand: neither keys nor connections need be `Clone`, they stay where they are.
impl<K, C, F: Clone, R: Clone, P: Clone> Clone for PoolLayer<K, C, F, R, P> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl<K, C, F, R, P> fmt::Debug for PoolLayer<K, C, F, R, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLayer")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

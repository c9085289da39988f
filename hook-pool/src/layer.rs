use std::fmt;

use hook_monitor::{BoxError, RejectWithError, Rejected, RespondWith};
use tower_layer::Layer;

use crate::{
    DEFAULT_MAX_PER_KEY, Pool, PoolHandle,
    config::knobs,
    connector::{ConnectError, Connector, Key},
    policy::{AtResponse, KeepUnlessError, OneKey, Policy},
    shared::Core,
};

/// Makes a client of a connector: each request goes over a pooled connection.
///
/// The connector is a [`Connector<K>`](crate::Connector) whose connections are themselves a `Service<Req>`; the
/// layer makes a [`Pool`], a `Service<Req>`.
///
/// The connections are in the layer: all services that it and its clones make share them and the limits.
/// Each dials with the connector it was made over; what is opened in the background is opened with the connector
/// of whoever asked first. When the layer, its clones and all their services are gone, the pool is closed.
pub struct PoolLayer<K, C, F = OneKey, R = RejectWithError, P = KeepUnlessError, W = AtResponse> {
    core: Core<K, C, ConnectError>,
    policy: Policy<F, R, P, W>,
}

impl<K, C> PoolLayer<K, C> {
    /// A layer with at most `max_per_key` connections per key, idle, in use and being opened.
    ///
    /// By default all requests have the same key `()`; a connection goes back with the response, and is thrown away
    /// if its call ended in an error; and refusals are errors.
    ///
    /// # Panics
    ///
    /// If `max_per_key` is zero.
    #[track_caller]
    pub fn new(max_per_key: usize) -> Self {
        assert!(
            max_per_key > 0,
            "a pool of no connections serves nobody: max_per_key must be 1 or more, not 0"
        );
        Self {
            core: Core::new(max_per_key),
            policy: Policy {
                key_of: OneKey,
                on_reject: RejectWithError,
                keep: KeepUnlessError,
                release: AtResponse,
            },
        }
    }
}

/// At most 10 connections per key.
impl<K, C> Default for PoolLayer<K, C> {
    fn default() -> Self {
        Self::new(DEFAULT_MAX_PER_KEY)
    }
}

impl<K, C, F, R, P, W> PoolLayer<K, C, F, R, P, W> {
    /// Takes the key from the request: only connections opened for that key carry it.
    ///
    /// Whatever tells two places apart must be in the key: host, port, TLS or not, whose credentials.
    #[must_use]
    pub fn keyed_by<Req, G>(self, key_of: G) -> PoolLayer<K, C, G, R, P, W>
    where
        G: Fn(&Req) -> K,
    {
        let Policy {
            on_reject,
            keep,
            release,
            ..
        } = self.policy;
        PoolLayer {
            core: self.core,
            policy: Policy {
                key_of,
                on_reject,
                keep,
                release,
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
    pub fn keep_if<Res, Err, G>(self, keep: G) -> PoolLayer<K, C, F, R, G, W>
    where
        G: Fn(Result<&Res, &Err>) -> bool,
    {
        let Policy {
            key_of,
            on_reject,
            release,
            ..
        } = self.policy;
        PoolLayer {
            core: self.core,
            policy: Policy {
                key_of,
                on_reject,
                keep,
                release,
            },
        }
    }

    /// Turns a refusal into what `on_reject`, an [`OnReject`](hook_monitor::OnReject), makes of it.
    ///
    /// A connect that failed is a refusal too: the call was never sent. Its reason is
    /// [`ConnectFailed`](hook_monitor::Reason::ConnectFailed), its source the connector's error.
    #[must_use]
    pub fn on_reject<T>(self, on_reject: T) -> PoolLayer<K, C, F, T, P, W> {
        let Policy {
            key_of,
            keep,
            release,
            ..
        } = self.policy;
        PoolLayer {
            core: self.core,
            policy: Policy {
                key_of,
                on_reject,
                keep,
                release,
            },
        }
    }

    /// Answers each refusal with what `respond` makes of it; the error type stays that of the connections.
    #[must_use]
    pub fn respond_with<Res, G>(self, respond: G) -> PoolLayer<K, C, F, RespondWith<G>, P, W>
    where
        G: Fn(Rejected) -> Res,
    {
        self.on_reject(RespondWith::new(respond))
    }

    /// Says when a connection that answered goes back, see [`Release`](crate::Release). By default it does with
    /// the response.
    #[must_use]
    pub fn release<V>(self, release: V) -> PoolLayer<K, C, F, R, P, V> {
        let Policy {
            key_of,
            on_reject,
            keep,
            ..
        } = self.policy;
        PoolLayer {
            core: self.core,
            policy: Policy {
                key_of,
                on_reject,
                keep,
                release,
            },
        }
    }

    /// Gives a connection back when the body of its response has ended, for responses that are
    /// `http::Response`s whose body is still read from the connection.
    #[cfg(feature = "http")]
    #[must_use]
    pub fn until_body_ends(self) -> PoolLayer<K, C, F, R, P, crate::AtBodyEnd> {
        self.release(crate::AtBodyEnd)
    }

    knobs!(C);

    /// A handle for looking in from outside, resizing and resetting. It does not keep the pool open.
    pub fn handle(&self) -> PoolHandle
    where
        K: Key,
        C: Send + 'static,
    {
        PoolHandle::new(self.core.shared().clone())
    }
}

impl<M, K, C, F, R, P, W> Layer<M> for PoolLayer<K, C, F, R, P, W>
where
    M: Connector<K, Response = C, Error: Into<BoxError>>,
    K: Key,
    F: Clone,
    R: Clone,
    P: Clone,
    W: Clone,
{
    type Service = Pool<M, K, F, R, P, W>;

    fn layer(&self, connector: M) -> Self::Service {
        Pool::new(connector, self.core.clone(), self.policy.clone())
    }
}

// By hand: neither keys nor connections need be `Clone`, they stay where they are.
impl<K, C, F: Clone, R: Clone, P: Clone, W: Clone> Clone for PoolLayer<K, C, F, R, P, W> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl<K, C, F, R, P, W> fmt::Debug for PoolLayer<K, C, F, R, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLayer")
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

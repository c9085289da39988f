use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hook_monitor::{Gather, Source};
use http::{HeaderName, Method, Request, Response, StatusCode, header::HOST};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    CacheBody, HttpResponseFuture,
    directives::{Wish, wish},
    future::{Errand, Missed, labelled},
    stored::{Cache, Key, Stored, find},
};
use crate::{
    CacheStats, ResultCache, config::Config, future::Calling, stats::Count, store::Limits,
};

pub(super) static X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What every entry bears beside its URI. No URI is empty.
pub(super) const ALL: &str = "";

/// Keeps responses by the rules of HTTP. The [module](super) says which.
///
/// All services a layer makes share one cache. A setter makes a new layer with a cache of its own: take
/// [handles](Self::handle) and clones last.
#[derive(Clone)]
#[must_use = "a layer does nothing until it wraps a service"]
pub struct HttpCacheLayer {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) cache: Cache,
    pub(super) body_limit: usize,
    pub(super) default_ttl: Option<Duration>,
}

impl HttpCacheLayer {
    /// Up to 64 MiB of responses of up to 1 MiB each, for as long as they say.
    pub fn new() -> Self {
        let config = Config {
            name: "http".into(),
            ttl_by: Some(Arc::new(|_: &Key, stored: &Stored| stored.lifetime())),
            ..Config::default()
        };
        Self::with(config, 1 << 20, None).capacity_bytes(64 << 20)
    }

    fn with(config: Config<Key, Stored>, body_limit: usize, default_ttl: Option<Duration>) -> Self {
        let cache = ResultCache::with_config(config);
        Self {
            shared: Arc::new(Shared {
                cache,
                body_limit,
                default_ttl,
            }),
        }
    }

    fn change(self, change: impl FnOnce(&mut Config<Key, Stored>)) -> Self {
        let mut config = self.shared.cache.config().clone();
        change(&mut config);
        Self::with(config, self.shared.body_limit, self.shared.default_ttl)
    }

    /// How many bytes the responses may weigh together, header fields included. The default is 64 MiB. One may weigh an
    /// eighth of that.
    pub fn capacity_bytes(self, bytes: u64) -> Self {
        self.change(|config| {
            config.limits = Limits::weight(bytes, bytes / 8);
            config.weigh = Some(Arc::new(|key: &Key, stored: &Stored| {
                (key.uri.len() + stored.bytes()) as u64
            }));
        })
    }

    /// How many bytes a body may have to be stored. The default is 1 MiB. The client gets all of a larger one.
    pub fn body_limit(self, bytes: usize) -> Self {
        let config = self.shared.cache.config().clone();
        Self::with(config, bytes, self.shared.default_ttl)
    }

    /// For how long responses are fresh that do not say so themselves. By default those are not stored.
    pub fn default_ttl(self, ttl: Duration) -> Self {
        let config = self.shared.cache.config().clone();
        Self::with(config, self.shared.body_limit, Some(ttl))
    }

    /// For how long after its time a response stands in for an error of the inner service and for a status of 500 and
    /// above, unless it forbids that with `must-revalidate`. The default is zero.
    pub fn stale_if_error(self, window: Duration) -> Self {
        self.change(|config| config.expiry.if_error = window)
    }

    /// The name of this instance among the figures. The default is `http`.
    pub fn name(self, name: impl Into<Arc<str>>) -> Self {
        self.change(|config| config.name = name.into())
    }

    /// Looks into the cache from outside, and empties it.
    pub fn handle(&self) -> HttpCacheHandle {
        HttpCacheHandle {
            shared: self.shared.clone(),
        }
    }
}

impl Default for HttpCacheLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for HttpCacheLayer {
    type Service = HttpCache<S>;

    fn layer(&self, inner: S) -> HttpCache<S> {
        HttpCache {
            inner,
            shared: self.shared.clone(),
        }
    }
}

/// Keeps responses by the rules of HTTP. Made by an [`HttpCacheLayer`].
///
/// # Readiness
///
/// Always ready; a call of the inner service drives a clone of it to readiness inside the response future.
#[derive(Clone)]
pub struct HttpCache<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, B, R> Service<Request<B>> for HttpCache<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: Body<Data = Bytes>,
{
    type Response = Response<CacheBody<R>>;
    type Error = S::Error;
    type Future = HttpResponseFuture<S, B, R>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request<B>) -> Self::Future {
        let cache = &self.shared.cache;
        let errand = match *req.method() {
            Method::GET | Method::HEAD => match self.answer(&req) {
                Ok(response) => return HttpResponseFuture::known(response),
                Err(errand) => errand,
            },
            Method::OPTIONS | Method::TRACE => Errand::Bypass,
            _ => Errand::Change {
                shared: self.shared.clone(),
                uri: uri(&req),
            },
        };
        if !matches!(errand, Errand::Miss(_)) {
            cache.counts().one(Count::Bypassed);
        }
        HttpResponseFuture::called(Calling::new(self.inner.clone(), req), errand)
    }
}

impl<S> HttpCache<S> {
    fn answer<B, R>(&self, req: &Request<B>) -> Result<Response<CacheBody<R>>, Errand> {
        let cache = &self.shared.cache;
        let wish = wish(req.headers());
        if wish == Wish::Bypass {
            return Err(Errand::Bypass);
        }
        let uri = uri(req);
        if wish != Wish::Fresh {
            if let Some(kept) = find(cache, &uri, req.headers()) {
                cache.counts().one(Count::Hit);
                let answer = kept.answer(req.method(), req.headers(), cache.now());
                return Ok(labelled(answer, "hit"));
            }
        }
        cache.counts().one(Count::Miss);
        if wish == Wish::OnlyCached {
            let mut answer = Response::new(CacheBody::whole(Bytes::new()));
            *answer.status_mut() = StatusCode::GATEWAY_TIMEOUT;
            return Ok(labelled(answer, "miss"));
        }
        // The origin may answer a condition with 304, which is no response to store: that is its client's.
        Err(Errand::Miss(Box::new(Missed {
            shared: self.shared.clone(),
            uri,
            method: req.method().clone(),
            headers: req.headers().clone(),
            began: cache.flights().tick(),
        })))
    }
}

/// What a request is about: the host, for what serves several, and the path with its query.
fn uri<B>(req: &Request<B>) -> Arc<str> {
    let path = req
        .uri()
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let host = match req.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => req.headers().get(HOST).and_then(|host| host.to_str().ok()),
    };
    match host {
        Some(host) => format!("{}{path}", host.to_ascii_lowercase()).into(),
        None => path.into(),
    }
}

/// What a response for `uri` can be invalidated by: the URI, its path and query on whatever host, and everything.
pub(super) fn tags(uri: &str) -> Vec<Box<str>> {
    let path = uri.find('/').map_or(uri, |slash| &uri[slash..]);
    let mut tags: Vec<Box<str>> = vec![uri.into(), ALL.into()];
    if path != uri {
        tags.push(path.into());
    }
    tags
}

/// Looks into an [`HttpCacheLayer`] from outside, and empties it.
#[derive(Clone)]
pub struct HttpCacheHandle {
    shared: Arc<Shared>,
}

impl HttpCacheHandle {
    /// Whatever is stored for `uri` is not served any more, in all variants; nor is what is loaded for it right now.
    ///
    /// The URI is a path with its query, `/report?year=1`, for whatever host; or that of one host as clients name it, in
    /// lower case: `example.org/report?year=1`. Where nothing is stored for it, nothing happens.
    pub fn invalidate(&self, uri: &str) {
        self.shared.cache.invalidate_tag(uri);
    }

    /// Nothing that is stored or loaded right now is served any more.
    pub fn invalidate_all(&self) {
        self.shared.cache.invalidate_tag(ALL);
        self.shared.cache.invalidate_all();
    }

    /// The figures since the layer was made. What was stored under a URI that varies counts as two entries.
    pub fn stats(&self) -> CacheStats {
        self.shared.cache.stats()
    }
}

impl Source for HttpCacheHandle {
    fn layer(&self) -> &'static str {
        "cache"
    }

    fn name(&self) -> &str {
        &self.shared.cache.config().name
    }

    fn read(&self, into: &mut dyn Gather) {
        self.shared.cache.counts().read(self.shared.cache.fill(), into);
    }
}

impl fmt::Debug for HttpCacheLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCacheLayer")
            .field("cache", &self.shared.cache)
            .finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for HttpCache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCache")
            .field("cache", &self.shared.cache)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpCacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpCacheHandle")
            .field(&self.shared.cache)
            .finish()
    }
}

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, StatusCode, header::HOST, uri::Authority};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    CacheBody, HttpCacheHandle, HttpResponseFuture,
    directives::{Wish, is_conditional, wish},
    errand::{Change, Errand, Missed, labelled},
    future::Asked,
    stored::{Cache, Key, Stored, find, known},
};
use crate::{ResultCache, config::Config, future::Calling, stats::Count, store::Limits};

pub(super) static X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// What the tags of a response weigh beside the letters in them.
const TAGS: usize = 256;

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
    /// How long others wait for a body that is under way.
    pub(super) patience: Duration,
    /// URIs whose responses turned out not to be kept, lately: nobody waits for the next one.
    pub(super) unkept: ResultCache<Arc<str>, ()>,
}

/// For how long nobody waits for the response of a URI that had none to keep, and for how many of those.
const UNKEPT: (Duration, usize) = (Duration::from_secs(60), 1_000);

impl HttpCacheLayer {
    /// Up to 64 MiB of responses of up to 1 MiB each, for as long as they say.
    pub fn new() -> Self {
        let mut config = Config {
            name: "http".into(),
            ..Config::default()
        };
        config.expiry.keep = Duration::from_secs(3_600);
        Self::with(config, 1 << 20, None, Duration::from_secs(1)).capacity_bytes(64 << 20)
    }

    fn with(
        config: Config<Key, Stored>,
        body_limit: usize,
        default_ttl: Option<Duration>,
        patience: Duration,
    ) -> Self {
        let (ttl, capacity) = UNKEPT;
        let cache = ResultCache::with_config(config);
        Self {
            shared: Arc::new(Shared {
                cache,
                body_limit,
                default_ttl,
                patience,
                unkept: ResultCache::builder().capacity(capacity).ttl(ttl).build(),
            }),
        }
    }

    fn change(self, change: impl FnOnce(&mut Config<Key, Stored>)) -> Self {
        let mut config = self.shared.cache.config().clone();
        change(&mut config);
        let shared = &self.shared;
        Self::with(config, shared.body_limit, shared.default_ttl, shared.patience)
    }

    /// How many bytes the responses may weigh together, header fields included. The default is 64 MiB. One may weigh an
    /// eighth of that.
    pub fn capacity_bytes(self, bytes: u64) -> Self {
        self.change(|config| {
            config.limits = Limits::weight(bytes, bytes / 8);
            config.weigh = Some(Arc::new(|key: &Key, stored: &Stored| {
                // Its tags name the URI too.
                (TAGS + 4 * key.uri.len() + stored.bytes()) as u64
            }));
        })
    }

    /// How many bytes a body may have to be stored. The default is 1 MiB. The client gets all of a larger one.
    pub fn body_limit(self, bytes: usize) -> Self {
        let config = self.shared.cache.config().clone();
        Self::with(config, bytes, self.shared.default_ttl, self.shared.patience)
    }

    /// For how long responses are fresh that do not say so themselves. By default those are not stored.
    pub fn default_ttl(self, ttl: Duration) -> Self {
        let config = self.shared.cache.config().clone();
        Self::with(config, self.shared.body_limit, Some(ttl), self.shared.patience)
    }

    /// For how long after its time a response that has an `ETag` or a `Last-Modified` is kept, so that the origin can be
    /// asked whether it is still right in the place of sending all of it again. The default is an hour; zero is never.
    pub fn revalidate_within(self, window: Duration) -> Self {
        self.change(|config| config.expiry.keep = window)
    }

    /// How long others who ask for a URI wait for the body of its response, which is stored when its own client has read
    /// it to the end. The default is a second. Whoever has waited so long calls the inner service for itself. It needs
    /// tokio's timer; outside of a runtime of tokio's nobody waits.
    pub fn patience(self, limit: Duration) -> Self {
        let config = self.shared.cache.config().clone();
        let shared = &self.shared;
        Self::with(config, shared.body_limit, shared.default_ttl, limit)
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

    /// Looks into the cache from outside, and empties it. To be taken after the setters: each of them makes another cache,
    /// and a handle taken before looks into, and empties, one that nobody uses.
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
                Err(Unanswered::Missed(missed, joins)) => {
                    return HttpResponseFuture::asking(Asked {
                        inner: self.inner.clone(),
                        req,
                        missed,
                        joins,
                    });
                }
                Err(Unanswered::Bypass) => Errand::Bypass,
            },
            Method::OPTIONS | Method::TRACE => Errand::Bypass,
            _ => Errand::Change(Change {
                shared: self.shared.clone(),
                uri: uri(&req),
            }),
        };
        cache.counts().one(Count::Bypassed);
        HttpResponseFuture::called(Calling::new(self.inner.clone(), req), errand)
    }
}

impl<S> HttpCache<S> {
    fn answer<B, R>(&self, req: &Request<B>) -> Result<Response<CacheBody<R>>, Unanswered> {
        let cache = &self.shared.cache;
        let wish = wish(req.headers());
        if wish == Wish::Bypass {
            return Err(Unanswered::Bypass);
        }
        let Some(uri) = uri(req) else {
            return Err(Unanswered::Bypass);
        };
        if matches!(wish, Wish::Anything | Wish::OnlyCached) {
            if let Some(kept) = find(cache, &uri, req.headers()) {
                cache.counts().one(Count::Hit);
                let answer = kept.answer(req.method(), req.headers(), cache.now());
                return Ok(labelled(answer, "hit"));
            }
        }
        if matches!(wish, Wish::OnlyCached | Wish::Neither) {
            cache.counts().one(Count::Miss);
            let mut answer = Response::new(CacheBody::whole(Bytes::new()));
            *answer.status_mut() = StatusCode::GATEWAY_TIMEOUT;
            return Ok(labelled(answer, "miss"));
        }
        let get = *req.method() == Method::GET;
        let known = if get {
            known(cache, &uri, req.headers())
        } else {
            None
        };
        // The origin may answer a client's own condition with 304: that is no response for others.
        let joins = get
            && wish == Wish::Anything
            && (known.is_some() || !is_conditional(req.headers()))
            && !self.shared.unkept.contains(&uri);
        let missed = Missed {
            shared: self.shared.clone(),
            uri,
            method: req.method().clone(),
            headers: req.headers().clone(),
            began: 0,
            since: 0,
            known,
            lead: None,
        };
        Err(Unanswered::Missed(Box::new(missed), joins))
    }
}

/// What the cache has no answer for.
enum Unanswered {
    /// To be loaded; and whether it may wait for another's response.
    Missed(Box<Missed>, bool),
    Bypass,
}

/// What a request is about: the host, for what serves several, and the path with its query.
///
/// None if it names two hosts, or one that is none: the origin may answer for another than this cache would store it for.
fn uri<B>(req: &Request<B>) -> Option<Arc<str>> {
    let path = req
        .uri()
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let mut hosts = req.headers().get_all(HOST).iter();
    let named = match hosts.next() {
        // An empty one is what a client sends that has no name for the host.
        Some(host) if host.is_empty() => None,
        Some(host) => Some(Authority::try_from(host.as_bytes()).ok()?),
        None => None,
    };
    let host = match (req.uri().authority(), named.as_ref()) {
        (Some(authority), Some(named)) if authority != named => return None,
        (authority, named) => authority.or(named),
    };
    if hosts.next().is_some() {
        return None;
    }
    Some(match host {
        Some(host) => format!("{}{path}", host.as_str().to_ascii_lowercase()).into(),
        None => path.into(),
    })
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

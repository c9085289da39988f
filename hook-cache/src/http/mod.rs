//! A cache for HTTP responses: the part of RFC 9111 that a shared cache in front of a service needs, safe by default.
//!
//! ```
//! use axum::{Router, http::header::CACHE_CONTROL, routing::get};
//! use hook_cache::http::HttpCacheLayer;
//!
//! let cache = HttpCacheLayer::new();
//! let handle = cache.handle();
//! let app: Router = Router::new()
//!     .route("/report", get(|| async { ([(CACHE_CONTROL, "max-age=60")], "a slow report") }))
//!     .layer(cache);
//! // Later, when the report has changed:
//! handle.invalidate("/report");
//! # drop(app);
//! ```
//!
//! What is stored: `GET` responses that say how long they are fresh, or all cacheable ones with
//! [`default_ttl`](HttpCacheLayer::default_ttl). What never is: responses to requests with `Authorization` or `Cookie`;
//! responses with `Set-Cookie`, `private`, `no-store`, `no-cache`, `Vary: *`, a range, or a body that breaks off or is
//! larger than the [limit](HttpCacheLayer::body_limit). Every response says what it was in `x-cache`: `hit`, `miss`,
//! `stale` or `bypass`.
//!
//! The body is kept aside while it streams to the client, who waits for nothing and gets all of it whatever becomes of
//! the cache. For that reason concurrent misses of one URI are not joined: a slow client would hold up all others.
//! Stale responses are not revalidated with the origin by `ETag`; they are loaded anew.

mod body;
mod directives;
mod future;
mod layer;
mod stored;

pub use body::CacheBody;
pub use future::HttpResponseFuture;
pub use layer::{HttpCache, HttpCacheHandle, HttpCacheLayer};

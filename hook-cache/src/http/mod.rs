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
//! responses with `Set-Cookie`, `private`, `no-store`, `Vary: *`, a range, or a body that breaks off or is
//! larger than the [limit](HttpCacheLayer::body_limit). A request to switch to another protocol passes by. Every response says what it was in `x-cache`: `hit`, `miss`,
//! `stale` or `bypass`.
//!
//! The body is kept aside while it streams to the client, who waits for nothing and gets all of it whatever becomes of
//! the cache.
//!
//! Those who ask for one URI at the same time make one call. They wait for its response however long that takes, and
//! then for its body, but no longer than [`patience`](HttpCacheLayer::patience): a slow client holds nobody up. If there is
//! nothing to be stored after all, they all call for themselves at once; and for a minute nobody waits for that URI.
//! Requests on a condition, with `no-cache`, and `HEAD` call for themselves.
//!
//! A response with an `ETag` or a `Last-Modified` is kept for [an hour](HttpCacheLayer::revalidate_within) after its time,
//! and the origin is asked whether it is still right. If it says 304, the body is kept, the header fields are merged,
//! and its time begins anew. That is a `miss`, as the origin was asked. From what is fresh, `If-None-Match` and
//! `If-Modified-Since` of clients are answered with 304. With such a validator a response that says `no-cache`, or that has
//! no time at all, is kept too: the origin is asked about it each time, and nobody waits for anybody.
//!
//! Time counts from when a response was asked for, so that neither a slow origin nor a slow client makes it any fresher. One
//! that was old when it came, by its `Age` or by its `Date` (RFC 9111, 4.2.3), is fresh for so much less: the clock of an
//! origin in another place must not be slow.

mod body;
mod directives;
mod errand;
mod future;
mod handle;
mod layer;
mod stored;

pub use body::CacheBody;
pub use future::HttpResponseFuture;
pub use handle::HttpCacheHandle;
pub use layer::{HttpCache, HttpCacheLayer};

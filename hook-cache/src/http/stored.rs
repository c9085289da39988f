use std::{hash::Hash, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{
        AGE, CONTENT_LENGTH, ETAG, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
    },
};

use super::{
    CacheBody,
    directives::{has_validator, may_be_stale},
};
use crate::ResultCache;

/// How many variants of one URI are kept. One whose places are both taken takes one of them.
const VARIANTS: u64 = 8;

pub(super) type Cache = ResultCache<Key, Stored>;

/// A URI, and the place of one of its variants; `None` is what the URI itself leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) uri: Arc<str>,
    pub(super) place: Option<u8>,
}

impl Key {
    pub(super) fn of(uri: &Arc<str>) -> Self {
        Self {
            uri: uri.clone(),
            place: None,
        }
    }
}

#[derive(Clone)]
pub(super) enum Stored {
    /// The responses differ by these fields of the request.
    Varies(Arc<[HeaderName]>),
    Response(Arc<Kept>),
}

/// A response as it is kept.
pub(super) struct Kept {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) lifetime: Duration,
    /// Its age in seconds when it came; that counts from when it was asked for.
    pub(super) age: u64,
    pub(super) came: u64,
    /// The values of the fields it depends on, in the request that brought it.
    pub(super) chosen: Vec<Option<HeaderValue>>,
}

impl Stored {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Varies(names) => names.len() * size_of::<HeaderName>(),
            Self::Response(kept) => {
                let headers: usize = kept
                    .headers
                    .iter()
                    .map(|(name, value)| name.as_str().len() + value.len())
                    .sum();
                size_of::<Kept>() + kept.body.len() + 2 * headers
            }
        }
    }
}

/// What the request has in the fields that matter, repeated ones in one.
pub(super) fn choose(names: &[HeaderName], request: &HeaderMap) -> Vec<Option<HeaderValue>> {
    let joined = |name: &HeaderName| {
        let values: Vec<&[u8]> = request.get_all(name).iter().map(HeaderValue::as_bytes).collect();
        match values.as_slice() {
            [] => None,
            // Neither can fail: these were values.
            values => HeaderValue::from_bytes(&values.join(&b", "[..])).ok(),
        }
    };
    names.iter().map(joined).collect()
}

/// The two places that a variant may have.
fn places(cache: &Cache, chosen: &[Option<HeaderValue>]) -> [Option<u8>; 2] {
    let hash = cache.hash_of(chosen);
    let first = hash % VARIANTS;
    let second = (first + 1 + (hash >> 16) % (VARIANTS - 1)) % VARIANTS;
    [Some(first as u8), Some(second as u8)]
}

/// Where a variant is to be stored: where it is, or where there is room, or else in the place of another.
pub(super) fn place(cache: &Cache, uri: &Arc<str>, chosen: &[Option<HeaderValue>]) -> Option<u8> {
    if chosen.is_empty() {
        return None;
    }
    let [first, second] = places(cache, chosen);
    let mine = |place| match cache.old(Key {
        uri: uri.clone(),
        place,
    }) {
        Some(Stored::Response(kept)) => Some(kept.chosen == chosen),
        Some(Stored::Varies(_)) | None => None,
    };
    match (mine(first), mine(second)) {
        (Some(true), _) => first,
        (_, Some(true)) => second,
        (None, _) => first,
        (Some(false), _) => second,
    }
}

/// The response for a request, if there is a fresh one.
pub(super) fn find(cache: &Cache, uri: &Arc<str>, request: &HeaderMap) -> Option<Arc<Kept>> {
    look(uri, request, cache, |key| cache.peek_hit(key))
}

/// What the origin may be asked about in the place of the whole response.
pub(super) fn known(cache: &Cache, uri: &Arc<str>, request: &HeaderMap) -> Option<Arc<Kept>> {
    let kept = look(uri, request, cache, |key| cache.old(key))?;
    has_validator(&kept.headers).then_some(kept)
}

/// The response for a request, also if it is past its time and may stand in for an error.
pub(super) fn spare(cache: &Cache, uri: &Arc<str>, request: &HeaderMap) -> Option<Arc<Kept>> {
    let kept = look(uri, request, cache, |key| cache.rescue_key(key))?;
    may_be_stale(&kept.headers).then_some(kept)
}

fn look(
    uri: &Arc<str>,
    request: &HeaderMap,
    cache: &Cache,
    get: impl Fn(Key) -> Option<Stored>,
) -> Option<Arc<Kept>> {
    let uri = uri.clone();
    match get(Key::of(&uri))? {
        Stored::Response(kept) => Some(kept),
        Stored::Varies(names) => {
            let chosen = choose(&names, request);
            places(cache, &chosen).into_iter().find_map(|place| {
                let key = Key {
                    uri: uri.clone(),
                    place,
                };
                match get(key)? {
                    Stored::Response(kept) => (kept.chosen == chosen).then_some(kept),
                    Stored::Varies(_) => None,
                }
            })
        }
    }
}

impl Kept {
    /// What the client is given: all of it, without a body for `HEAD`, or that it has it already.
    pub(super) fn answer<B>(&self, method: &Method, request: &HeaderMap, now: u64) -> Response<CacheBody<B>> {
        let known = self.status == StatusCode::OK && self.matches(request);
        let bodiless = known || *method == Method::HEAD;
        let body = if bodiless { Bytes::new() } else { self.body.clone() };
        let mut response = Response::new(CacheBody::whole(body));
        *response.status_mut() = if known {
            StatusCode::NOT_MODIFIED
        } else {
            self.status
        };
        *response.headers_mut() = self.headers.clone();
        // Or axum, which sees an empty body, says zero, and that is not what a `GET` would get (RFC 9110, 8.6).
        if bodiless && self.status != StatusCode::NO_CONTENT {
            let length = HeaderValue::from(self.body.len());
            response.headers_mut().entry(CONTENT_LENGTH).or_insert(length);
        }
        let age = self
            .age
            .saturating_add(now.saturating_sub(self.came) / 1_000_000_000);
        response.headers_mut().insert(AGE, age.into());
        response
    }

    /// Whether `If-None-Match` names what is kept, by weak comparison (RFC 9110, 13.1.2), or else `If-Modified-Since`
    /// is no earlier than its last change (13.1.3).
    fn matches(&self, request: &HeaderMap) -> bool {
        if !request.contains_key(IF_NONE_MATCH) {
            let date = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
            let (since, changed) = (
                request.get(IF_MODIFIED_SINCE).and_then(date),
                self.headers.get(LAST_MODIFIED).and_then(date),
            );
            return since.is_some_and(|since| changed.is_some_and(|changed| changed <= since));
        }
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let Some(mine) = self
            .headers
            .get(ETAG)
            .and_then(|tag| tag.to_str().ok())
            .map(opaque)
        else {
            return false;
        };
        request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| {
                value
                    .split(',')
                    .any(|tag| tag.trim() == "*" || opaque(tag) == mine)
            })
    }
}

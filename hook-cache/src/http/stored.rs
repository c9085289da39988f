use std::{hash::Hash, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Response, StatusCode,
    header::{AGE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH},
};

use super::{CacheBody, directives::Directives};
use crate::ResultCache;

/// How many variants of one URI are kept. One that shares the place of another takes it.
const VARIANTS: u64 = 8;

pub(super) type Cache = ResultCache<Key, Stored>;

/// A URI, and the place of one of its variants; `None` is what the URI itself leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) uri: Arc<str>,
    pub(super) place: Option<u8>,
}

#[derive(Clone)]
pub(super) enum Stored {
    /// The responses differ by these fields of the request.
    Varies(Arc<[HeaderName]>, Duration),
    Response(Arc<Kept>),
}

/// A response as it is kept.
pub(super) struct Kept {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) lifetime: Duration,
    /// Its age in seconds when it came, and when that was.
    pub(super) age: u64,
    pub(super) came: u64,
    /// The values of the fields it depends on, in the request that brought it.
    pub(super) chosen: Vec<Option<HeaderValue>>,
}

impl Stored {
    pub(super) fn lifetime(&self) -> Duration {
        match self {
            Self::Varies(_, lifetime) => *lifetime,
            Self::Response(kept) => kept.lifetime,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Varies(names, _) => names.len() * size_of::<HeaderName>(),
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

pub(super) fn place(cache: &Cache, chosen: &[Option<HeaderValue>]) -> Option<u8> {
    if chosen.is_empty() {
        return None;
    }
    Some((cache.hash_of(chosen) % VARIANTS) as u8)
}

/// The response for a request, if there is a fresh one.
pub(super) fn find(cache: &Cache, uri: &Arc<str>, request: &HeaderMap) -> Option<Arc<Kept>> {
    look(uri, request, cache, |key| cache.peek_hit(key))
}

/// The response for a request, also if it is past its time and may stand in for an error.
pub(super) fn spare(cache: &Cache, uri: &Arc<str>, request: &HeaderMap) -> Option<Arc<Kept>> {
    let kept = look(uri, request, cache, |key| cache.rescue_key(key))?;
    (!Directives::of(&kept.headers).must_revalidate).then_some(kept)
}

fn look(
    uri: &Arc<str>,
    request: &HeaderMap,
    cache: &Cache,
    get: impl Fn(Key) -> Option<Stored>,
) -> Option<Arc<Kept>> {
    let uri = uri.clone();
    match get(Key {
        uri: uri.clone(),
        place: None,
    })? {
        Stored::Response(kept) => Some(kept),
        Stored::Varies(names, _) => {
            let chosen = choose(&names, request);
            match get(Key {
                uri,
                place: place(cache, &chosen),
            })? {
                Stored::Response(kept) => (kept.chosen == chosen).then_some(kept),
                Stored::Varies(..) => None,
            }
        }
    }
}

impl Kept {
    /// What the client is given: all of it, without a body for `HEAD`, or that it has it already.
    pub(super) fn answer<B>(&self, method: &Method, request: &HeaderMap, now: u64) -> Response<CacheBody<B>> {
        let known = self.status == StatusCode::OK && self.matches(request);
        let body = if known || *method == Method::HEAD {
            Bytes::new()
        } else {
            self.body.clone()
        };
        let mut response = Response::new(CacheBody::whole(body));
        *response.status_mut() = if known {
            StatusCode::NOT_MODIFIED
        } else {
            self.status
        };
        *response.headers_mut() = self.headers.clone();
        let age = self
            .age
            .saturating_add(now.saturating_sub(self.came) / 1_000_000_000);
        response.headers_mut().insert(AGE, age.into());
        response
    }

    /// Whether `If-None-Match` names what is kept, by weak comparison (RFC 9110, 13.1.2).
    fn matches(&self, request: &HeaderMap) -> bool {
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

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        LAST_MODIFIED,
    },
};
use http_body::Body;

use super::{
    CacheBody,
    body::Twin,
    directives::{age, lifetime, vary},
    layer::{Shared, X_CACHE},
    stored::{Kept, Key, Stored, choose, spare},
};
use crate::{core, flight::Lead, load::took, stats::Count};

/// What the call is for.
pub(super) enum Errand {
    Bypass,
    Change(Change),
    Miss(Box<Missed>),
}

/// A call that changes what its URI leads to, if it succeeds; and, for all anybody knows, if it was dropped half way.
pub(super) struct Change {
    pub(super) shared: Arc<Shared>,
    /// Gone once it is known that nothing has changed.
    pub(super) uri: Option<Arc<str>>,
}

impl Drop for Change {
    fn drop(&mut self) {
        if let Some(uri) = &self.uri {
            self.shared.cache.invalidate_tag(uri);
        }
    }
}

/// A request that the cache had no answer for.
pub(super) struct Missed {
    pub(super) shared: Arc<Shared>,
    pub(super) uri: Arc<str>,
    pub(super) method: Method,
    /// As the client sent them.
    pub(super) headers: HeaderMap,
    /// Its number among the loads and invalidations, and when that was.
    pub(super) began: u64,
    pub(super) since: u64,
    /// What the origin may say is still right.
    pub(super) known: Option<Arc<Kept>>,
    /// The duty to tell those who wait. Dropped, it passes to one of them.
    pub(super) lead: Option<Lead<Key, Stored>>,
}

impl Errand {
    pub(super) fn finish<R, E>(self, result: Result<Response<R>, E>) -> Result<Response<CacheBody<R>>, E>
    where
        R: Body<Data = Bytes>,
    {
        match self {
            Self::Bypass => Ok(pass(result?, None, "bypass")),
            Self::Change(mut change) => {
                let response = result?;
                let status = response.status();
                if status.is_client_error() || status.is_server_error() {
                    change.uri = None;
                }
                Ok(pass(response, None, "bypass"))
            }
            Self::Miss(missed) => missed.finish(result),
        }
    }
}

impl Missed {
    /// To be called right before the inner service is.
    pub(super) fn begin(&mut self, headers: &mut HeaderMap) {
        let cache = &self.shared.cache;
        cache.counts().one(Count::Miss);
        (self.began, self.since) = (cache.flights().tick(), cache.now());
        let Some(known) = &self.known else {
            return;
        };
        headers.remove(IF_NONE_MATCH);
        headers.remove(IF_MODIFIED_SINCE);
        for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
            if let Some(value) = known.headers.get(validator) {
                headers.insert(condition, value.clone());
            }
        }
    }

    fn finish<R, E>(mut self: Box<Self>, result: Result<Response<R>, E>) -> Result<Response<CacheBody<R>>, E>
    where
        R: Body<Data = Bytes>,
    {
        let counts = self.shared.cache.counts();
        let took = took(self.since, self.shared.cache.now());
        if result
            .as_ref()
            .is_ok_and(|response| !response.status().is_server_error())
        {
            counts.loaded(took);
        } else {
            counts.failed(took);
            let stale = self.stand_in();
            match self.lead.take() {
                // Those who waited have something to stand in, too.
                Some(lead) if stale.is_some() => drop(lead.fail(Arc::new(()), |_| ())),
                Some(lead) => lead.scatter(),
                None => {}
            }
            return match stale {
                Some(answer) => Ok(answer),
                None => Ok(pass(result?, None, "miss")),
            };
        }
        let response = result?;
        if response.status() == StatusCode::NOT_MODIFIED {
            if let Some(known) = self.known.take() {
                return Ok(self.renew(&known, response.headers(), took));
            }
        }
        let copy = self.copy(&response, took);
        Ok(pass(response, copy, "miss"))
    }

    /// What is past its time and may stand in for an error.
    pub(super) fn stand_in<R>(&self) -> Option<Response<CacheBody<R>>> {
        let cache = &self.shared.cache;
        let kept = spare(cache, &self.uri, &self.headers)?;
        cache.counts().one(Count::Rescued);
        Some(labelled(
            kept.answer(&self.method, &self.headers, cache.now()),
            "stale",
        ))
    }

    /// The origin says that `known` is still right: its body is kept, its fields are merged, its life begins anew
    /// (RFC 9111, 4.3.4).
    fn renew<R>(
        mut self: Box<Self>,
        known: &Kept,
        said: &HeaderMap,
        took: Duration,
    ) -> Response<CacheBody<R>> {
        let mut headers = known.headers.clone();
        // Without a date of its own, an `Expires` of old would count from the date of old, for ever.
        headers.remove(DATE);
        for name in said.keys().filter(|name| !about_the_body(name)) {
            headers.remove(name);
            for value in said.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let aged = age(&headers, took);
        let life = self.shared.lifetime(known.status, &headers, aged);
        let place = vary(&headers).map(|names| self.place(names));
        strip(&mut headers);
        let kept = Arc::new(Kept {
            status: known.status,
            headers,
            body: known.body.clone(),
            lifetime: life.unwrap_or_default(),
            age: aged,
            came: self.since,
            chosen: place
                .as_ref()
                .map(|place| place.chosen.clone())
                .unwrap_or_default(),
        });
        let cache = self.shared.cache.clone();
        let answer = kept.answer(&self.method, &self.headers, cache.now());
        let lead = self.lead.take();
        match (place, life) {
            _ if !same_tag(&known.headers, said) => {
                // It speaks of another one. Nobody knows what this one is worth.
                cache.invalidate_tag(&self.uri);
                settle(&self.shared, &self.uri, lead, core::Kept::Outdated);
            }
            (Some(place), Some(_)) => {
                let came_of_it = self.shared.store(&self.uri, place, kept, self.began);
                settle(&self.shared, &self.uri, lead, came_of_it);
            }
            _ => settle(&self.shared, &self.uri, lead, core::Kept::Refused),
        }
        labelled(answer, "miss")
    }

    fn place(&self, names: Vec<HeaderName>) -> Place {
        Place {
            chosen: choose(&names, &self.headers),
            names,
        }
    }

    /// The beginning of a copy, if the response may be stored. Otherwise those who wait go on by themselves.
    fn copy<R: Body>(mut self, response: &Response<R>, took: Duration) -> Option<Twin> {
        let lead = self.lead.take();
        match self.may_copy(response, took) {
            Some((mut twin, shared)) => {
                if let Some(lead) = &lead {
                    lead.promise(shared.cache.now());
                }
                twin.lead = lead;
                Some(twin)
            }
            None => {
                settle(&self.shared, &self.uri, lead, core::Kept::Refused);
                None
            }
        }
    }

    fn may_copy<R: Body>(&self, response: &Response<R>, took: Duration) -> Option<(Twin, Arc<Shared>)> {
        let (status, headers) = (response.status(), response.headers());
        let aged = age(headers, took);
        let lifetime = self.shared.lifetime(status, headers, aged)?;
        let names = vary(headers)?;
        let length = headers
            .get(CONTENT_LENGTH)
            .map(|length| length.to_str().ok()?.parse::<u64>().ok());
        // A length that is no number: nobody can say whether the body is whole.
        let length = length.map_or(Some(None), |length| length.map(Some))?;
        let limit = self.shared.body_limit as u64;
        let known = response.body().size_hint().lower().max(length.unwrap_or(0));
        if self.method != Method::GET || known > limit {
            return None;
        }
        let place = self.place(names);
        let mut kept = headers.clone();
        strip(&mut kept);
        let twin = Twin {
            kept: Kept {
                status,
                age: aged,
                headers: kept,
                body: Bytes::new(),
                lifetime,
                came: self.since,
                chosen: place.chosen.clone(),
            },
            uri: self.uri.clone(),
            place,
            began: self.began,
            length,
            bytes: BytesMut::new(),
            shared: self.shared.clone(),
            lead: None,
        };
        Some((twin, self.shared.clone()))
    }
}

/// What makes a response the one it is among the variants of its URI.
pub(super) struct Place {
    chosen: Vec<Option<HeaderValue>>,
    names: Vec<HeaderName>,
}

impl Shared {
    /// As [`lifetime`], for as long as this cache keeps what is past its time.
    fn lifetime(&self, status: StatusCode, headers: &HeaderMap, aged: u64) -> Option<Duration> {
        let keep = self.cache.config().expiry.keep;
        lifetime(status, headers, self.default_ttl, aged).filter(|life| !(life.is_zero() && keep.is_zero()))
    }

    pub(super) fn store(&self, uri: &Arc<str>, place: Place, kept: Arc<Kept>, began: u64) -> core::Kept {
        let (life, came) = (kept.lifetime, kept.came);
        let put = |place, what| {
            let key = Key {
                uri: uri.clone(),
                place,
            };
            self.cache
                .put_since(key, what, life, super::layer::tags(uri), (began, came))
        };
        let at = super::stored::place(&self.cache, uri, &place.chosen);
        if at.is_some() {
            put(None, Stored::Varies(place.names.into()));
        }
        let came_of_it = put(at, Stored::Response(kept));
        // Each one has to ask the origin: there is nothing to wait for.
        match came_of_it {
            core::Kept::Stored if life.is_zero() => core::Kept::Refused,
            came_of_it => came_of_it,
        }
    }
}

/// Tells those who wait what came of the response they waited for.
pub(super) fn settle(
    shared: &Shared,
    uri: &Arc<str>,
    lead: Option<Lead<Key, Stored>>,
    came_of_it: core::Kept,
) {
    let Some(lead) = lead else {
        return;
    };
    match came_of_it {
        core::Kept::Stored => lead.scatter(),
        // One of them loads what is there now.
        core::Kept::Outdated => lead.dissolve(),
        core::Kept::Refused => {
            shared.unkept.insert(uri.clone(), ());
            lead.scatter();
        }
    }
}

/// Whether what the origin says may be about the very response that is known.
fn same_tag(known: &HeaderMap, said: &HeaderMap) -> bool {
    let opaque = |tag: &HeaderValue| {
        tag.as_bytes()
            .strip_prefix(b"W/")
            .unwrap_or(tag.as_bytes())
            .to_owned()
    };
    match (known.get(ETAG), said.get(ETAG)) {
        (Some(known), Some(said)) => opaque(known) == opaque(said),
        _ => true,
    }
}

fn about_the_body(name: &HeaderName) -> bool {
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE].contains(name)
        || name == http::header::TRANSFER_ENCODING
}

/// Takes out what is about the connection and not about the response (RFC 9111, 3.1), and what is said anew.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(http::header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let fixed = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "trailer",
    ];
    for name in named.iter().map(String::as_str).chain(fixed) {
        headers.remove(name);
    }
    headers.remove(AGE);
    headers.remove(&X_CACHE);
}

fn pass<R>(response: Response<R>, copy: Option<Twin>, what: &'static str) -> Response<CacheBody<R>>
where
    R: Body<Data = Bytes>,
{
    labelled(response.map(|body| CacheBody::passing(body, copy)), what)
}

pub(super) fn labelled<R>(mut response: Response<R>, what: &'static str) -> Response<R> {
    response
        .headers_mut()
        .insert(X_CACHE.clone(), HeaderValue::from_static(what));
    response
}

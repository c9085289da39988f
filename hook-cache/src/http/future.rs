use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{AGE, CONTENT_LENGTH},
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    CacheBody,
    body::Twin,
    directives::{age, lifetime, vary},
    layer::{Shared, X_CACHE},
    stored::{Kept, Key, Stored, choose, place, spare},
};
use crate::{future::Calling, stats::Count};

pin_project! {
    /// The response of an [`HttpCache`](super::HttpCache).
    ///
    /// Dropping it drops the call of the inner service, if there is one; nothing else depends on it.
    pub struct HttpResponseFuture<S, B, R>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, R>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, R>
    where
        S: Service<Request<B>>,
    {
        Known { response: Option<Response<CacheBody<R>>> },
        Called { #[pin] call: Calling<S, Request<B>>, errand: Option<Errand> },
    }
}

/// What the call is for.
pub(super) enum Errand {
    Bypass,
    /// It changes what its URI leads to, if it succeeds.
    Change {
        shared: Arc<Shared>,
        uri: Arc<str>,
    },
    Miss(Box<Missed>),
}

/// A request that the cache had no answer for.
pub(super) struct Missed {
    pub(super) shared: Arc<Shared>,
    pub(super) uri: Arc<str>,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) began: u64,
}

impl<S, B, R> HttpResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    pub(super) fn known(response: Response<CacheBody<R>>) -> Self {
        Self {
            state: State::Known {
                response: Some(response),
            },
        }
    }

    pub(super) fn called(call: Calling<S, Request<B>>, errand: Errand) -> Self {
        Self {
            state: State::Called {
                call,
                errand: Some(errand),
            },
        }
    }
}

impl<S, B, R> Future for HttpResponseFuture<S, B, R>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<CacheBody<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Known { response } => Poll::Ready(Ok(response.take().expect(crate::load::SPENT))),
            StateProj::Called { call, errand } => {
                let result = ready!(call.poll(cx));
                Poll::Ready(errand.take().expect(crate::load::SPENT).finish(result))
            }
        }
    }
}

impl Errand {
    fn finish<R, E>(self, result: Result<Response<R>, E>) -> Result<Response<CacheBody<R>>, E>
    where
        R: Body<Data = Bytes>,
    {
        let missed = match self {
            Self::Bypass => return Ok(pass(result?, None, "bypass")),
            Self::Change { shared, uri } => {
                let response = result?;
                if response.status().is_success() || response.status().is_redirection() {
                    shared.cache.invalidate_tag(&uri);
                }
                return Ok(pass(response, None, "bypass"));
            }
            Self::Miss(missed) => missed,
        };
        let failed = match &result {
            Ok(response) => response.status().is_server_error(),
            Err(_) => true,
        };
        if failed {
            if let Some(kept) = spare(&missed.shared.cache, &missed.uri, &missed.headers) {
                missed.shared.cache.counts().one(Count::Rescued);
                let answer = kept.answer(&missed.method, &missed.headers, missed.shared.cache.now());
                return Ok(labelled(answer, "stale"));
            }
        }
        let response = result?;
        let copy = missed.copy(&response);
        Ok(pass(response, copy, "miss"))
    }
}

impl Missed {
    /// The beginning of a copy, if the response may be stored.
    fn copy<R: Body>(self, response: &Response<R>) -> Option<Twin> {
        let (status, headers) = (response.status(), response.headers());
        let lifetime = lifetime(status, headers, self.shared.default_ttl)?;
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
        let cache = &self.shared.cache;
        let chosen = choose(&names, &self.headers);
        let key = Key {
            uri: self.uri.clone(),
            place: place(cache, &chosen),
        };
        let index = key.place.map(|_| {
            (
                Key {
                    uri: self.uri.clone(),
                    place: None,
                },
                Stored::Varies(names.into(), lifetime),
            )
        });
        let mut kept = headers.clone();
        strip(&mut kept);
        Some(Twin {
            kept: Kept {
                status,
                age: age(headers),
                headers: kept,
                body: Bytes::new(),
                lifetime,
                came: cache.now(),
                chosen,
            },
            key,
            index,
            began: self.began,
            length,
            bytes: BytesMut::new(),
            shared: self.shared,
        })
    }
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

fn pass<R: Body>(response: Response<R>, copy: Option<Twin>, what: &'static str) -> Response<CacheBody<R>> {
    labelled(response.map(|body| CacheBody::passing(body, copy)), what)
}

pub(super) fn labelled<R>(mut response: Response<R>, what: &'static str) -> Response<R> {
    response
        .headers_mut()
        .insert(X_CACHE.clone(), HeaderValue::from_static(what));
    response
}

impl<S, B, R> fmt::Debug for HttpResponseFuture<S, B, R>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponseFuture").finish_non_exhaustive()
    }
}

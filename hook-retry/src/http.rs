//! Retries of HTTP requests, in the types of the `http` crate: [`RetryPolicy::http`](crate::RetryPolicy::http).

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use http_body::Body;

use crate::{
    decide::{Attempt, Decide, Verdict},
    failure::{Failure, boxed},
    policy::RetryPolicy,
    request::{ChangeRequest, KeepRequest, NoDeadline, Requests},
};

mod date;

/// The policy that [`RetryPolicy::http`] makes.
pub type HttpPolicy = RetryPolicy<crate::Exponential, HttpResults, HttpRequests>;

/// What [`HttpPolicy`] does with requests.
pub type HttpRequests = Requests<Idempotent, NoDeadline, TellAttempt>;

impl RetryPolicy {
    /// The default policy for HTTP.
    ///
    /// Requests with an idempotent method (GET, HEAD, OPTIONS, TRACE, PUT, DELETE) are retried after the statuses
    /// 408, 429, 502, 503 and 504, and after errors as [`Verdict::of`] and [`HttpResults`] judge them. `Retry-After`
    /// is obeyed in both its forms. From its second time on a request carries an [`AttemptNumber`].
    ///
    /// A request is copied by `Clone`. Where it cannot be, as axum's, use [`clone_with`](RetryPolicy::clone_with) with
    /// [`bodiless`], or with a closure that asks [`is_idempotent`] itself, for `clone_with` takes the place of that rule, too.
    /// [`any_method`](HttpPolicy::any_method) retries the others, too.
    ///
    /// ```
    /// use hook_retry::{BoxError, RetryLayer, RetryPolicy};
    /// use http::{Request, Response, StatusCode};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), BoxError> {
    /// let tries = std::sync::atomic::AtomicU32::new(0);
    /// let backend = service_fn(async |_: Request<String>| {
    ///     let mut answer = Response::new("hello");
    ///     if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
    ///         *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    ///         answer.headers_mut().insert("retry-after", "1".parse()?);
    ///     }
    ///     Ok::<_, BoxError>(answer)
    /// });
    /// let client = RetryLayer::new(RetryPolicy::http()).layer(backend);
    /// assert_eq!(client.oneshot(Request::new(String::new())).await?.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    pub fn http() -> HttpPolicy {
        Self::new().decide_by(HttpResults).requests(|_| Requests {
            keep: Idempotent { any: false },
            deadline: NoDeadline,
            change: TellAttempt,
        })
    }
}

impl<B, C, D, W> RetryPolicy<B, C, Requests<Idempotent, D, W>> {
    /// Retries requests of any method, POST and PATCH included: for servers that can tell a repetition.
    pub fn any_method(mut self) -> Self {
        self.rules.requests.keep.any = true;
        self
    }
}

/// Whether a request of this method may be sent twice, by the definition of the method (RFC 9110, 9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent()
}

/// Copies a request with an idempotent method whose body is known to have nothing in it; others go through once. For
/// [`clone_with`](RetryPolicy::clone_with), where a body can be read only once:
///
/// ```
/// use axum::{Router, routing::get};
/// use hook_retry::{RetryLayer, RetryPolicy, http::bodiless};
///
/// let retry = RetryLayer::new(RetryPolicy::http().clone_with(bodiless));
/// let app: Router = Router::new().route("/report", get(|| async { "all is well" })).layer(retry);
/// # drop(app);
/// ```
///
/// Head and extensions are those of the original, the body is `T::default()`.
pub fn bodiless<T: Body + Default>(req: &Request<T>) -> Option<Request<T>> {
    if !is_idempotent(req.method()) || !req.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(T::default());
    *copy.method_mut() = req.method().clone();
    *copy.uri_mut() = req.uri().clone();
    *copy.version_mut() = req.version();
    copy.headers_mut().clone_from(req.headers());
    copy.extensions_mut().clone_from(req.extensions());
    Some(copy)
}

/// Copies requests with an idempotent method, by `Clone`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Idempotent {
    any: bool,
}

impl<T: Clone> KeepRequest<Request<T>> for Idempotent {
    #[inline]
    fn keep(&self, req: &Request<T>) -> Option<Request<T>> {
        (self.any || is_idempotent(req.method())).then(|| req.clone())
    }
}

/// Which attempt a request is, among its extensions. Absent on the first, as if there were no retries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptNumber(pub u32);

/// Puts an [`AttemptNumber`] into the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TellAttempt;

impl<T> ChangeRequest<Request<T>> for TellAttempt {
    fn change(&self, req: &mut Request<T>, number: u32) {
        req.extensions_mut().insert(AttemptNumber(number));
    }
}

/// Judges responses by status and `Retry-After`, and errors by what they are.
///
/// A refusal is judged as [`Verdict::of`] does. An input or output error is retried if it is one of connections
/// (refused, reset, aborted, broken, timed out, unreachable, ended early); any other kind, as a bad address, is the
/// answer. An error of another type, or one whose type does not show what it is, means that no response came, and is
/// retried.
///
/// A `Retry-After` of zero, or of a moment that is over, is a retry after the back-off. One that cannot be read is no
/// retry: who asks for patience in a way that is not understood is not to be pestered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HttpResults;

impl<T, E: 'static> Decide<Response<T>, E> for HttpResults {
    #[inline]
    fn decide(&self, result: Result<&Response<T>, &E>, _: &Attempt) -> Verdict {
        match result {
            Ok(response) => of_response(response.status(), response.headers()),
            Err(err) => of_error(err),
        }
    }

    #[inline]
    fn is_timed(&self) -> bool {
        false
    }

    fn failure(&self, result: Result<&Response<T>, &E>) -> Failure {
        result.map_or_else(Failure::of_any, |_| Failure::Response)
    }
}

/// The judgement of a response by [`HttpResults`], for use in a closure of your own.
#[inline]
pub fn of_response(status: StatusCode, headers: &HeaderMap) -> Verdict {
    match status.as_u16() {
        408 | 429 | 502 | 503 | 504 => asked_for(headers),
        _ => Verdict::Stop,
    }
}

#[cold]
fn asked_for(headers: &HeaderMap) -> Verdict {
    if !headers.contains_key(RETRY_AFTER) {
        return Verdict::Retry;
    }
    match retry_after(headers, SystemTime::now()) {
        Some(Duration::ZERO) => Verdict::Retry,
        Some(delay) => Verdict::RetryAfter(delay),
        None => Verdict::Stop,
    }
}

/// What `Retry-After` says, as a time from now; `None` if it is not there or cannot be read.
///
/// A date is compared to the `Date` of the same response, so that the clocks of the two ends need not agree, and to
/// `now` only where there is none.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let then = date::parse(text)?;
    let sent = headers
        .get(DATE)
        .and_then(|date| date::parse(date.to_str().ok()?));
    let since_epoch = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    Some(Duration::from_secs(
        then.saturating_sub(sent.unwrap_or(since_epoch)),
    ))
}

fn of_error<E: 'static>(err: &E) -> Verdict {
    use std::io::ErrorKind::{
        AddrNotAvailable, BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable,
        Interrupted, NetworkDown, NetworkUnreachable, NotConnected, TimedOut, UnexpectedEof, WouldBlock,
    };
    let Some(err) = boxed(err) else {
        return Verdict::Retry;
    };
    match Failure::of(err) {
        Failure::Io(
            AddrNotAvailable | BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset
            | HostUnreachable | Interrupted | NetworkDown | NetworkUnreachable | NotConnected | TimedOut
            | UnexpectedEof | WouldBlock,
        ) => Verdict::Retry,
        Failure::Io(_) => Verdict::Stop,
        _ => Verdict::of(err),
    }
}

#[cfg(test)]
mod tests;

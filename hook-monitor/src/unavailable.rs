use http::{HeaderValue, Response, StatusCode, header};

use crate::Rejected;

/// A refusal as an HTTP response: 503, `Retry-After`, and one line of text that says why.
///
/// It is made for `respond_with` of the layers that refuse. `Retry-After` is a second where nobody knows better.
///
/// ```
/// use hook_monitor::{Reason, Rejected, unavailable};
/// use std::time::Duration;
///
/// let rejected = Rejected::new(Reason::CircuitOpen).after(Duration::from_millis(4_200));
/// let response: http::Response<String> = unavailable(rejected);
/// assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"5".parse()?));
/// assert_eq!(response.body(), "circuit open, retry after 4.2s\n");
/// # Ok::<_, http::header::InvalidHeaderValue>(())
/// ```
pub fn unavailable<B: From<String>>(rejected: Rejected) -> Response<B> {
    let mut response = Response::new(B::from(format!("{rejected}\n")));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(
        header::RETRY_AFTER,
        rejected.retry_after_secs().unwrap_or(1).into(),
    );
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

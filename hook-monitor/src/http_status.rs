use std::time::Duration;

use http::{Response, StatusCode};

use crate::{Classify, Outcome};

/// Judges an HTTP response by its status: 5xx and 429 are failures, other 4xx are ignored, for they are the
/// client's own, and the rest are successes. An error is a failure.
///
/// ```
/// use hook_monitor::{Classify, HttpStatus, Outcome};
/// use std::{convert::Infallible, time::Duration};
///
/// let not_found = http::Response::builder().status(404).body(()).unwrap_or_default();
/// let judged = HttpStatus.classify(Ok::<_, &Infallible>(&not_found), Duration::ZERO);
/// assert_eq!(judged, Outcome::Ignored);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HttpStatus;

impl<B, E> Classify<Response<B>, E> for HttpStatus {
    #[inline]
    fn classify(&self, result: Result<&Response<B>, &E>, _took: Duration) -> Outcome {
        match result.map(Response::status) {
            Err(_) | Ok(StatusCode::TOO_MANY_REQUESTS) => Outcome::Failure,
            Ok(status) if status.is_server_error() => Outcome::Failure,
            Ok(status) if status.is_client_error() => Outcome::Ignored,
            Ok(_) => Outcome::Success,
        }
    }

    #[inline]
    fn is_timed(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_faults_and_its_plea_for_mercy_are_failures_and_the_clients_faults_are_nobodys() {
        let judge = |status| {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            HttpStatus.classify(Ok::<_, &()>(&response), Duration::ZERO)
        };
        for (statuses, outcome) in [
            (&[200, 204, 301, 304][..], Outcome::Success),
            (&[400, 401, 404, 409, 422, 499], Outcome::Ignored),
            (&[429, 500, 502, 503, 504, 599], Outcome::Failure),
        ] {
            for status in statuses {
                assert_eq!(judge(*status), outcome, "{status}");
            }
        }
        let err = HttpStatus.classify(Err::<&Response<()>, _>(&()), Duration::ZERO);
        assert_eq!(err, Outcome::Failure);
    }
}

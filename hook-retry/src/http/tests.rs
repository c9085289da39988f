use std::io;

use super::*;
use crate::{BoxError, Reason, Rejected};

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let lines = lines
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    lines.collect()
}

#[test]
fn a_date_is_read_in_all_three_forms_and_nothing_else_is_a_date() {
    for (text, seconds) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ("Mon, 01 Jan 1900 00:00:00 GMT", 0),
    ] {
        assert_eq!(date::parse(text), Some(seconds), "{text}");
    }
    for text in [
        "",
        "soon",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
    ] {
        assert_eq!(date::parse(text), None, "{text}");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_by_the_servers_own_clock() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_700);
    for (lines, seconds) in [
        (vec![("retry-after", "120")], Some(120)),
        (vec![("retry-after", " 3 ")], Some(3)),
        (vec![("retry-after", "99999999999999999999999")], Some(u64::MAX)),
        (vec![("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], Some(77)),
        // The server's clock is an hour behind ours, which does not matter.
        (
            vec![
                ("retry-after", "Sun, 06 Nov 1994 07:49:37 GMT"),
                ("date", "Sun, 06 Nov 1994 07:49:30 GMT"),
            ],
            Some(7),
        ),
        (vec![("retry-after", "Sun, 06 Nov 1994 00:00:00 GMT")], Some(0)),
        (vec![("retry-after", "-1")], None),
        (vec![("retry-after", "soon")], None),
        (vec![], None),
    ] {
        assert_eq!(
            retry_after(&headers(&lines), now),
            seconds.map(Duration::from_secs),
            "{lines:?}"
        );
    }
}

#[test]
fn five_statuses_are_retried_and_garbage_for_a_time_is_no_retry() {
    let none = headers(&[]);
    for status in 100..600 {
        let verdict = of_response(StatusCode::from_u16(status).unwrap(), &none);
        let is_retried = [408, 429, 502, 503, 504].contains(&status);
        assert_eq!(verdict == Verdict::Retry, is_retried, "{status}");
        assert_eq!(verdict == Verdict::Stop, !is_retried, "{status}");
    }
    let busy = |value| {
        of_response(
            StatusCode::SERVICE_UNAVAILABLE,
            &headers(&[("retry-after", value)]),
        )
    };
    assert_eq!(busy("2"), Verdict::RetryAfter(Duration::from_secs(2)));
    assert_eq!(busy("0"), Verdict::Retry);
    assert_eq!(busy("-1"), Verdict::Stop);
    assert_eq!(busy("soon"), Verdict::Stop);
}

#[test]
fn connection_errors_are_retried_and_mistakes_are_not() {
    fn of(err: impl Into<BoxError>) -> Verdict {
        of_error::<BoxError>(&err.into())
    }
    assert_eq!(
        of(io::Error::from(io::ErrorKind::ConnectionRefused)),
        Verdict::Retry
    );
    assert_eq!(of(io::Error::from(io::ErrorKind::TimedOut)), Verdict::Retry);
    assert_eq!(of(io::Error::from(io::ErrorKind::InvalidInput)), Verdict::Stop);
    assert_eq!(of("the connection was closed"), Verdict::Retry);
    assert_eq!(of(Rejected::new(Reason::CircuitOpen)), Verdict::Stop);
    let soon = Duration::from_secs(1);
    assert_eq!(
        of(Rejected::new(Reason::CircuitOpen).after(soon)),
        Verdict::Refused(Some(soon))
    );
    assert_eq!(
        of_error(&io::Error::from(io::ErrorKind::InvalidInput)),
        Verdict::Stop
    );
}

#[test]
fn idempotent_methods_are_copied_and_others_only_if_asked() {
    let idempotent = ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"];
    for method in idempotent.into_iter().chain(["POST", "PATCH", "CONNECT", "BREW"]) {
        let req = Request::builder().method(method).body("body").unwrap();
        let is_copied = Idempotent { any: false }.keep(&req).is_some();
        assert_eq!(is_copied, idempotent.contains(&method), "{method}");
        assert_eq!(
            Idempotent { any: true }.keep(&req).map(Request::into_body),
            Some("body")
        );
    }
}

//! HTTP: which requests are sent twice, and what the service is told.

use std::{cell::RefCell, io, time::Duration};

use axum::body::Body;
use hook_retry::{
    BoxError, RetryLayer, RetryPolicy,
    http::{AttemptNumber, bodiless},
};
use http::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};

fn answer(status: u16, retry_after: Option<&str>) -> Result<Response<()>, BoxError> {
    let mut answer = Response::builder().status(status);
    if let Some(value) = retry_after {
        answer = answer.header("retry-after", value);
    }
    Ok(answer.body(())?)
}

fn request(method: Method) -> Request<&'static str> {
    Request::builder().method(method).body("body").expect("a request")
}

#[tokio::test(start_paused = true)]
async fn idempotent_requests_are_sent_again_and_know_it() {
    for (method, any, attempts) in [
        (Method::GET, false, 2),
        (Method::POST, false, 1),
        (Method::POST, true, 2),
    ] {
        let seen = RefCell::new(vec![]);
        let backend = service_fn(|req: Request<&str>| {
            seen.borrow_mut().push(req.extensions().get().copied());
            std::future::ready(answer(if seen.borrow().len() == 1 { 503 } else { 200 }, None))
        });
        let policy = RetryPolicy::http();
        let policy = if any { policy.any_method() } else { policy };
        let status = RetryLayer::new(policy)
            .layer(backend)
            .oneshot(request(method))
            .await
            .expect("an answer");
        assert_eq!(*seen.borrow(), [None, Some(AttemptNumber(2))][..attempts]);
        assert_eq!(status.status() == StatusCode::OK, attempts == 2);
    }
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_waited_for_or_ends_the_call_if_it_is_too_long_or_garbage() {
    for (value, attempts, waited) in [("2", 2, 2), ("3600", 1, 0), ("-1", 1, 0), ("soon", 1, 0)] {
        let (start, tries) = (Instant::now(), RefCell::new(0));
        let backend = service_fn(|_: Request<&str>| {
            *tries.borrow_mut() += 1;
            std::future::ready(answer(429, Some(value)))
        });
        let policy = RetryPolicy::http().retries(1);
        let _ = RetryLayer::new(policy)
            .layer(backend)
            .oneshot(request(Method::GET))
            .await;
        assert_eq!(
            (*tries.borrow(), start.elapsed()),
            (attempts, Duration::from_secs(waited)),
            "{value}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_is_tried_again() {
    let tries = RefCell::new(0);
    let backend = service_fn(|_: Request<&str>| {
        *tries.borrow_mut() += 1;
        std::future::ready(match *tries.borrow() {
            1 => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
            2 => Err(io::Error::from(io::ErrorKind::InvalidInput)),
            _ => Ok(Response::new(())),
        })
    });
    let layer = RetryLayer::new(RetryPolicy::http());
    let err = layer
        .layer(backend)
        .oneshot(request(Method::GET))
        .await
        .expect_err("a mistake is not tried again");
    assert_eq!((err.kind(), *tries.borrow()), (io::ErrorKind::InvalidInput, 2));
}

/// A body that is there, be it of unknown length, is never sent twice, nor is a method that does something.
#[test]
fn only_what_is_idempotent_and_has_no_body_is_copied_and_then_all_of_its_head() {
    let full = || Body::from("hello");
    for (method, body, copied) in [
        (Method::GET, Body::empty(), true),
        (Method::DELETE, Body::empty(), true),
        (Method::POST, Body::empty(), false),
        (Method::PUT, full(), false),
        (Method::GET, full(), false),
        (
            Method::GET,
            Body::from_stream(futures::stream::empty::<Result<Vec<u8>, BoxError>>()),
            false,
        ),
    ] {
        let mut req = Request::builder()
            .method(method.clone())
            .uri("/a?b")
            .header("x-c", "d")
            .extension(7_u8);
        req = req.version(http::Version::HTTP_2);
        let req = req.body(body).unwrap();
        let copy = bodiless(&req);
        assert_eq!(copy.is_some(), copied, "{method}");
        let Some(copy) = copy else { continue };
        assert_eq!(
            (copy.method(), copy.uri(), copy.version()),
            (req.method(), req.uri(), req.version())
        );
        assert_eq!(
            (copy.headers(), copy.extensions().get()),
            (req.headers(), Some(&7_u8))
        );
    }
}

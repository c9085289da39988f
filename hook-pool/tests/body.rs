//! A body holds its connection until it has ended.

mod support;

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hook_monitor::Rejected;
use hook_pool::{AtBodyEnd, KeepUnlessError, Pool, PoolLayer, PooledBody, RespondWith};
use http::Response;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use support::{Conn, Dialler, Refused};
use tower::{Layer, Service, ServiceExt};

/// Two frames, or one and an error, or none at all.
struct Frames {
    left: usize,
    fails: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        if self.fails && self.left == 0 {
            return Poll::Ready(Some(Err(Refused)));
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}

struct Ask {
    frames: usize,
    fails: bool,
}

impl Service<Ask> for Conn {
    type Response = Response<Frames>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, ask: Ask) -> Self::Future {
        ready(Ok(Response::new(Frames {
            left: ask.frames,
            fails: ask.fails,
        })))
    }
}

type Held = Response<PooledBody<Frames, Conn>>;
type Answer = RespondWith<fn(Rejected) -> Held>;
type Client = Pool<Dialler, (), hook_pool::OneKey, Answer, KeepUnlessError, AtBodyEnd>;

fn client() -> Client {
    let answer: fn(Rejected) -> Held = |_| {
        Response::new(PooledBody::from(Frames {
            left: 0,
            fails: false,
        }))
    };
    PoolLayer::new(1)
        .until_body_ends()
        .respond_with(answer)
        .layer(Dialler::default())
}

async fn ask(client: &Client, frames: usize, fails: bool) -> PooledBody<Frames, Conn> {
    let response = client.clone().oneshot(Ask { frames, fails }).await;
    response.unwrap().into_body()
}

#[tokio::test(start_paused = true)]
async fn a_connection_goes_back_with_the_last_frame_and_not_before() {
    let client = client();
    let mut body = ask(&client, 2, false).await;
    let active = || client.handle().stats().active;
    assert_eq!(active(), 1);
    body.frame().await.unwrap().unwrap();
    assert_eq!(active(), 1);
    body.frame().await.unwrap().unwrap();
    assert_eq!((active(), client.handle().stats().available), (0, 1));
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn with_an_empty_body_it_goes_back_at_once() {
    let client = client();
    let _body = ask(&client, 0, false).await;
    assert_eq!(client.handle().stats().available, 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_or_fails_half_way_throws_it_away() {
    let client = client();
    let mut body = ask(&client, 2, false).await;
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(client.handle().stats().closed.broken, 1);
    let mut body = ask(&client, 2, true).await;
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap_err();
    assert_eq!(client.handle().stats().closed.broken, 2);
    assert_eq!(client.handle().stats().total, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_refusal_has_a_body_that_holds_nothing() {
    let client = client();
    client.handle().close();
    assert!(ask(&client, 2, false).await.is_end_stream());
}

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::policy::{Lease, Release};

/// A connection goes back when the body of its response has ended.
///
/// If the body is dropped before, or ends in an error, the connection is thrown away: there is still something on
/// it. So it is after `101 Switching Protocols`; of a tunnel that `CONNECT` has opened this knows nothing, so those
/// requests belong on connections of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AtBodyEnd;

impl<B: Body, C> Release<http::Response<B>, C> for AtBodyEnd {
    type Response = http::Response<PooledBody<B, C>>;

    fn release(&self, response: http::Response<B>, lease: Lease<C>) -> Self::Response {
        // From now on it speaks another protocol.
        let lease = Some(lease).filter(|_| response.status() != http::StatusCode::SWITCHING_PROTOCOLS);
        response.map(|body| PooledBody::new(body, lease))
    }
}

pin_project! {
    /// A body that holds the connection it is read from until it has ended.
    ///
    /// One that holds none, for a response made up here, comes `From` any body.
    pub struct PooledBody<B, C> {
        #[pin]
        body: B,
        lease: Option<Lease<C>>,
    }
}

impl<B: Body, C> PooledBody<B, C> {
    fn new(body: B, lease: Option<Lease<C>>) -> Self {
        let mut this = Self { body, lease };
        if this.body.is_end_stream() {
            this.lease.take().into_iter().for_each(Lease::give_back);
        }
        this
    }
}

impl<B: Body, C> From<B> for PooledBody<B, C> {
    fn from(body: B) -> Self {
        Self::new(body, None)
    }
}

impl<B: Body, C> Body for PooledBody<B, C> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        match &frame {
            Some(Err(_)) => drop(this.lease.take()),
            Some(Ok(_)) if !this.body.is_end_stream() => {}
            _ => this.lease.take().into_iter().for_each(Lease::give_back),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug, C> fmt::Debug for PooledBody<B, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBody")
            .field("body", &self.body)
            .field("holds", &self.lease.is_some())
            .finish()
    }
}

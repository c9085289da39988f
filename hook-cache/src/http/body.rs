use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    errand::{Place, settle},
    layer::Shared,
    stored::{Kept, Key, Stored},
};
use crate::{core, flight::Lead};

pin_project! {
    /// The body of a response that came through an [`HttpCache`](super::HttpCache): one from memory, or the inner
    /// service's own, of which a copy is kept while it passes.
    pub struct CacheBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Whole { bytes: Option<Bytes> },
        Passing { #[pin] inner: B, copy: Option<Twin> },
    }
}

/// What is kept of a body under way. Dropped before the end, it is kept nowhere, and one of those who wait calls for
/// itself.
pub(super) struct Twin {
    pub(super) shared: Arc<Shared>,
    pub(super) uri: Arc<str>,
    pub(super) place: Place,
    pub(super) kept: Kept,
    /// When its request began, among the invalidations.
    pub(super) began: u64,
    /// How many bytes there are to be, if that was said.
    pub(super) length: Option<u64>,
    pub(super) bytes: BytesMut,
    pub(super) lead: Option<Lead<Key, Stored>>,
}

impl Twin {
    /// Whether there is room for more.
    fn take(&mut self, data: &Bytes) -> bool {
        if self.bytes.len().saturating_add(data.len()) > self.shared.body_limit {
            return false;
        }
        self.bytes.extend_from_slice(data);
        true
    }

    /// It cannot be kept, nor could the next one. All who wait go on at once, not one after the other.
    fn give_up(self) {
        settle(&self.shared, &self.uri, self.lead, core::Kept::Refused);
    }

    fn store(mut self) {
        if self
            .length
            .is_some_and(|length| length != self.bytes.len() as u64)
        {
            return self.give_up();
        }
        // What grew has room to spare, which would be kept and weighed nowhere.
        self.kept.body = if self.bytes.capacity() > self.bytes.len() + self.bytes.len() / 8 {
            Bytes::copy_from_slice(&self.bytes)
        } else {
            self.bytes.freeze()
        };
        let came_of_it = self
            .shared
            .store(&self.uri, self.place, Arc::new(self.kept), self.began);
        settle(&self.shared, &self.uri, self.lead, came_of_it);
    }
}

impl<B> CacheBody<B> {
    pub(super) fn whole(bytes: Bytes) -> Self {
        let bytes = Some(bytes).filter(|bytes| !bytes.is_empty());
        Self {
            kind: Kind::Whole { bytes },
        }
    }

    pub(super) fn passing(inner: B, copy: Option<Twin>) -> Self
    where
        B: Body,
    {
        let mut copy = copy;
        // One that has ended is not polled by everybody.
        if inner.is_end_stream() {
            if let Some(copy) = copy.take() {
                copy.store();
            }
        }
        Self {
            kind: Kind::Passing { inner, copy },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for CacheBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let (mut inner, copy) = match self.project().kind.project() {
            KindProj::Whole { bytes } => {
                return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes))));
            }
            KindProj::Passing { inner, copy } => (inner, copy),
        };
        let frame = ready!(inner.as_mut().poll_frame(cx));
        let goes_on = match (&frame, copy.as_mut()) {
            (Some(Ok(frame)), Some(copy)) => match frame.data_ref() {
                Some(data) => copy.take(data),
                // Trailers are not kept, and without them it would not be the same response.
                None => false,
            },
            (Some(Err(_)), _) => false,
            (None, _) | (_, None) => true,
        };
        if !goes_on {
            if let Some(copy) = copy.take() {
                copy.give_up();
            }
        }
        if frame.is_none() || inner.is_end_stream() {
            if let Some(copy) = copy.take() {
                copy.store();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { bytes } => bytes.is_none(),
            Kind::Passing { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { bytes } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Passing { inner, .. } => inner.size_hint(),
        }
    }
}

impl<B> fmt::Debug for CacheBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBody").finish_non_exhaustive()
    }
}

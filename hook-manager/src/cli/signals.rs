use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask this program to end. Its hooks end with it.
pub(super) struct Signals(Vec<(u8, Signal)>);

impl Signals {
    pub(super) fn new() -> Self {
        let kinds = [
            (1, SignalKind::hangup()),
            (2, SignalKind::interrupt()),
            (15, SignalKind::terminate()),
        ];
        Self(
            kinds
                .into_iter()
                .filter_map(|(number, kind)| Some((number, signal(kind).ok()?)))
                .collect(),
        )
    }

    /// The number of the next one to arrive.
    pub(super) async fn next(&mut self) -> u8 {
        poll_fn(|cx| {
            let arrived = self
                .0
                .iter_mut()
                .find_map(|(number, signal)| match signal.poll_recv(cx) {
                    Poll::Ready(Some(())) => Some(*number),
                    _ => None,
                });
            arrived.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

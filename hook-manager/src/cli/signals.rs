use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that ask this program to end. Its hooks end with it.
pub(crate) struct Signals {
    ends: Vec<(u8, Signal)>,
    /// Whoever started us may have had the ends of children ignored, and with them their exit status.
    _children: Option<Signal>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        let kinds = [
            (1, SignalKind::hangup()),
            (2, SignalKind::interrupt()),
            (3, SignalKind::quit()),
            (15, SignalKind::terminate()),
        ];
        let listen = |(number, kind)| Some((number, signal(kind).ok()?));
        Self {
            ends: kinds.into_iter().filter_map(listen).collect(),
            _children: signal(SignalKind::child()).ok(),
        }
    }

    /// The number of the next one to arrive.
    pub(crate) async fn next(&mut self) -> u8 {
        poll_fn(|cx| {
            let arrived = self
                .ends
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

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "clock")]
mod clock;
mod counters;
mod histogram;
mod on_reject;
mod outcome;
mod rejected;
mod source;

#[cfg(feature = "clock")]
pub use clock::Clock;
pub use counters::Counters;
pub use histogram::{Histogram, HistogramSnapshot};
pub use on_reject::{OnReject, RejectWithError, RespondWith};
pub use outcome::{Classify, ErrorsAsFailures, Outcome};
pub use rejected::{Reason, Rejected};
pub use source::{Gather, Label, Source, Status};

/// Any error, boxed; the same type as `tower::BoxError`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

#![cfg_attr(feature = "layer", doc = include_str!("../README.md"))]
// The page is about the layer for the most part, and its examples run it.
#![cfg_attr(
    not(feature = "layer"),
    doc = "The vocabulary of the hook layers: what a call was ([`Outcome`], [`Classify`]), why it was",
    doc = "refused ([`Rejected`], [`OnReject`]), and how a layer is read from outside ([`Source`],",
    doc = "[`Gather`]). The feature `layer` adds `MonitorLayer`, which counts every call exactly once."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "layer")]
mod call;
#[cfg(feature = "clock")]
mod clock;
mod counters;
#[cfg(feature = "layer")]
pub mod future;
#[cfg(feature = "layer")]
mod handle;
#[cfg(feature = "health")]
pub mod health;
mod histogram;
mod keep;
mod lanes;
#[cfg(feature = "layer")]
mod layer;
#[cfg(feature = "layer")]
mod monitor;
mod on_reject;
mod outcome;
mod rejected;
#[cfg(feature = "layer")]
mod service;
mod slot;
mod source;
mod striped;
#[cfg(feature = "layer")]
mod tally;

#[cfg(feature = "layer")]
pub use call::Call;
#[cfg(feature = "clock")]
pub use clock::Clock;
pub use counters::Counters;
#[cfg(feature = "layer")]
pub use handle::{MonitorHandle, MonitorSnapshot};
pub use histogram::{Histogram, HistogramSnapshot};
pub use keep::{Counted, Keep, Room, Tenant, Visit};
pub use lanes::{Lane, Lanes};
#[cfg(feature = "layer")]
pub use layer::MonitorLayer;
#[cfg(feature = "layer")]
pub use monitor::CallMonitor;
pub use on_reject::{OnReject, RejectWithError, RespondWith};
pub use outcome::{Classify, ErrorsAsFailures, Outcome};
pub use rejected::{Reason, Rejected};
#[cfg(feature = "layer")]
pub use service::Monitor;
pub use source::{Gather, Label, Source, Status};
pub use striped::{Mine, Striped};

/// Any error, boxed; the same type as `tower::BoxError`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

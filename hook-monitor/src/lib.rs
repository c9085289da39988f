#![cfg_attr(feature = "layer", doc = include_str!("../README.md"))]
// The page is about the layer for the most part, and its examples run it.
#![cfg_attr(
    not(feature = "layer"),
    doc = "The vocabulary of the hook layers: what a call was ([`Outcome`], [`Classify`]), why it was",
    doc = "refused ([`Rejected`], [`OnReject`]), and how a layer is read from outside ([`Source`],",
    doc = "[`Gather`]). The feature `layer` adds `MonitorLayer`, which counts every call exactly once."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod advice;
#[cfg(feature = "anomaly")]
pub mod anomaly;
#[cfg(feature = "layer")]
mod call;
#[cfg(feature = "layer")]
mod cause;
#[cfg(feature = "clock")]
mod clock;
mod counters;
mod ending;
#[cfg(feature = "layer")]
pub mod future;
#[cfg(feature = "layer")]
mod handle;
#[cfg(feature = "health")]
pub mod health;
mod histogram;
#[cfg(feature = "http")]
mod http_status;
mod keep;
#[cfg(any(feature = "anomaly", feature = "health"))]
mod label;
#[cfg(feature = "layer")]
mod layer;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(feature = "metrics")]
pub mod metrics;
#[cfg(feature = "layer")]
mod monitor;
mod on_reject;
mod outcome;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod rejected;
#[cfg(feature = "resources")]
pub mod resources;
#[cfg(feature = "serde")]
mod serialise;
#[cfg(feature = "layer")]
mod service;
#[cfg(feature = "layer")]
mod shared;
mod slot;
mod source;
mod stack;
mod striped;
mod sync;
#[cfg(any(feature = "layer", all(test, loom)))]
#[cfg_attr(
    loom,
    allow(dead_code, reason = "without the layer, the models use a part of it")
)]
mod tally;
#[cfg(feature = "http")]
mod unavailable;

pub use advice::{Advice, Advisor, Rule};
#[cfg(feature = "layer")]
pub use call::Call;
#[cfg(feature = "clock")]
pub use clock::{Clock, Epoch};
pub use counters::Counters;
pub use ending::{Ending, EndingsBy};
#[cfg(feature = "layer")]
pub use handle::{MonitorHandle, MonitorSnapshot};
pub use histogram::{Histogram, HistogramSnapshot};
#[cfg(feature = "http")]
pub use http_status::HttpStatus;
pub use keep::{Counted, Keep, Room, Tenant, Visit};
#[cfg(feature = "layer")]
pub use layer::MonitorLayer;
#[cfg(feature = "layer")]
pub use monitor::CallMonitor;
pub use on_reject::{OnReject, RejectWithError, RespondWith};
pub use outcome::{Classify, ErrorsAsFailures, Outcome};
pub use rejected::{Reason, Rejected};
#[cfg(feature = "layer")]
pub use service::Monitored;
pub use source::{Gather, Label, Source, Status};
pub use stack::{Figure, Monitor, NotRegistered, SourceSnapshot, StackSnapshot, Value};
pub use striped::{Mine, Striped};
#[cfg(feature = "http")]
pub use unavailable::unavailable;

/// Any error, boxed; the same type as `tower::BoxError`.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

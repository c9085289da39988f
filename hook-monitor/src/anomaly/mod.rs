//! Learns what is usual for the calls of a monitor, and tells when it changes.
//!
//! [`AnomalyWatch`] watches the handles of monitors, or anything else with a latency histogram and counts of
//! successes and failures. Calls pay nothing for it: once per tick the watch compares what was counted since the last
//! one with a baseline of its own, and says what is not as usual: [slow, fast or failing](Direction), how
//! [bad](Severity), since when, and how it ended.
//!
//! ```
//! use std::time::{Duration, Instant};
//!
//! use hook_monitor::{
//!     MonitorLayer,
//!     anomaly::{AnomalyWatch, Limit},
//! };
//!
//! let monitor = MonitorLayer::new("orders");
//! let watch = AnomalyWatch::new();
//! let orders = watch.watch(monitor.handle()).limit(Limit::p99(Duration::from_secs(2)));
//!
//! // In a service: `let task = watch.spawn(Duration::from_secs(1));`, and keep `task`. Here by hand.
//! let now = Instant::now();
//! assert!(watch.tick(now).is_empty());
//! assert!(orders.state().baseline.is_none(), "no verdict before 200 calls");
//! ```
//!
//! # How it decides
//!
//! The baseline is a histogram that fades with a half-life of 2,000 calls (at high rates: of 40 ticks). While nothing
//! changes, the number of calls beyond one of its quantiles is binomial, whatever the distribution of the latencies is.
//! So four quantiles (the 50th, 90th and 99th upwards, the 10th downwards) and the share of failures each have a
//! CUSUM of the log-likelihood ratio of "the odds are 3 to 5 times as high" against "as usual". It begins an anomaly
//! over 10 and ends it under 2.5; one tick adds 9 at most, so it takes two. How much wilder than binomial the calls
//! are is learned while all is calm, so that calls that depend on each other do not cry wolf.
//!
//! An anomaly that lasts for 1,000 calls (at high rates: 20 ticks), or for 60 s and 200 calls, becomes the baseline:
//! [`Change::BaselineShift`], which is noted for ten minutes and, if it is for the worse, counts as
//! [`Status::Degraded`](crate::Status::Degraded). The crate page has the limits of all this.

mod detector;
mod errors;
mod event;
mod exceedance;
mod latency;
mod target;
mod task;
#[cfg(test)]
mod tests;
mod watch;
mod weights;

pub use detector::Totals;
pub use event::{
    Anomaly, AnomalyEvent, BaselineShift, Change, Direction, EndedBy, Exemplar, Level, Limit, Outlier,
    Severity, Signal,
};
pub use target::{AnomalyTarget, Observed, TargetState};
pub use task::{AnomalyEvents, AnomalyTask};
pub use watch::AnomalyWatch;

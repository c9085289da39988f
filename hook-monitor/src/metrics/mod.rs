//! Figures for whoever speaks the [`metrics`] facade: Prometheus, statsd, OpenTelemetry.
//!
//! The layers count in atomics of their own, and a [`Publisher`] passes the numbers on now and then. So a call never
//! touches a recorder, one that is installed late has lost nothing, and there need not be one.

mod catalog;
mod feed;
mod news;
mod publisher;
mod rules;

pub use catalog::{CATALOG, Family, Kind};
pub use publisher::Publisher;

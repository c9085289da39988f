#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod breaker;
mod circuit;
mod config;
mod error;
pub mod future;
mod gate;
mod handle;
mod layer;
mod permit;
mod service;
mod shared;
mod sync;
mod word;

pub use breaker::{CircuitBreaker, CircuitBreakerBuilder};
pub use config::{DroppedCall, State};
pub use error::CallError;
pub use handle::Snapshot;
pub use layer::CircuitBreakerLayer;
pub use permit::Permit;
pub use service::Breaker;

pub use hook_monitor::{
    BoxError, Classify, ErrorsAsFailures, OnReject, Outcome, Reason, RejectWithError, Rejected, RespondWith,
};

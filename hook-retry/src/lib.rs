#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backoff;
pub mod budget;
mod decide;
mod failure;
pub mod future;
mod handle;
#[cfg(feature = "http")]
pub mod http;
mod layer;
mod policy;
mod random;
pub mod request;
mod rules;
mod run;
mod service;
mod session;
mod shared;
mod stats;
#[cfg(feature = "tower")]
pub mod tower;

pub use backoff::{Backoff, Exponential, Fixed, Linear, NoWait};
pub use budget::Budget;
pub use decide::{Attempt, Decide, RetryErrors, RetryIf, Verdict};
pub use failure::Failure;
pub use handle::{RetryHandle, Snapshot};
pub use layer::RetryLayer;
pub use policy::RetryPolicy;
pub use service::Retry;

pub use hook_monitor::{BoxError, Reason, Rejected};

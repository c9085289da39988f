#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod breaker;
mod circuit;
mod config;
mod error;
mod event;
mod feed;
pub mod future;
mod gate;
mod handle;
mod keyed;
mod lanes;
mod layer;
mod ledger;
mod open_for;
mod permit;
mod policy;
mod queue;
mod refusal;
#[cfg(feature = "serde")]
mod saved;
mod service;
mod settings;
mod shared;
mod sync;
mod trace;
mod waiting;
mod word;

pub use breaker::{CircuitBreaker, CircuitBreakerBuilder};
pub use circuit::Cause;
pub use config::{AfterWait, DroppedCall, State};
pub use error::CallError;
pub use event::{Event, Transition};
pub use feed::Events;
pub use handle::{Snapshot, WindowSnapshot};
pub use keyed::{KeyedBreaker, KeyedBreakerLayer, KeyedCircuits};
pub use layer::CircuitBreakerLayer;
pub use open_for::OpenFor;
pub use permit::Permit;
pub use policy::{Tally, TripPolicy, Window};
#[cfg(feature = "serde")]
pub use saved::SavedCircuit;
pub use service::Breaker;

pub use hook_monitor::{
    BoxError, Classify, ErrorsAsFailures, OnReject, Outcome, Reason, RejectWithError, Rejected, RespondWith,
};
#[cfg(feature = "http")]
pub use hook_monitor::{HttpStatus, unavailable};

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// A model has no runtime, so nothing in the background either.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

mod aftermath;
mod alarm;
#[cfg(feature = "http")]
mod body;
mod checkout;
mod config;
mod connector;
mod dial;
mod drain;
mod entry;
mod error;
pub mod future;
mod handle;
mod keeper;
mod layer;
mod lease;
mod line;
mod patience;
mod place;
mod policy;
mod pool;
mod random;
mod service;
mod shared;
mod shelf;
mod shelves;
mod stats;
mod sync;
mod warm;

#[cfg(feature = "http")]
pub use body::{AtBodyEnd, PooledBody};
pub use connector::{AnyError, ConnectError, Connector, Key};
pub use drain::DrainReport;
pub use error::{Exhausted, GetError};
pub use handle::{Leak, PoolHandle};
pub use layer::PoolLayer;
pub use lease::Pooled;
pub use policy::{AtResponse, Keep, KeepUnlessError, KeyOf, Lease, OneKey, Release};
pub use pool::ConnectionPool;
pub use service::Pool;
pub use stats::{ClosedStats, PoolStats};

pub use hook_monitor::{BoxError, OnReject, Reason, RejectWithError, Rejected, RespondWith};

/// How many connections there are per key where nobody says otherwise.
pub const DEFAULT_MAX_PER_KEY: usize = 10;
#[cfg(feature = "http")]
pub use hook_monitor::unavailable;

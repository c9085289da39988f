#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod checkout;
mod config;
mod error;
pub mod future;
mod handle;
mod layer;
mod lease;
mod line;
mod policy;
mod pool;
mod service;
mod shared;
mod shelf;
mod shelves;
mod sync;

pub use error::GetError;
pub use handle::{ClosedStats, PoolHandle, PoolStats};
pub use layer::PoolLayer;
pub use lease::Pooled;
pub use policy::{Keep, KeepUnlessError, KeyOf, OneKey};
pub use pool::ConnectionPool;
pub use service::Pool;

pub use hook_monitor::{BoxError, OnReject, Reason, RejectWithError, Rejected, RespondWith};

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod carry;
mod config;
mod core;
mod errand;
mod errors;
mod flight;
pub mod future;
mod handle;
mod hashed;
#[cfg(feature = "http")]
pub mod http;
mod key;
mod knobs;
mod layer;
mod load;
mod policy;
mod result_cache;
mod service;
mod stats;
mod store;
mod sync;
mod tags;

pub use builder::ResultCacheBuilder;
pub use carry::{Background, Carry, Restart, Resume};
pub use errors::{Errors, ErrorsReleased, ErrorsShared, ErrorsSharedBy};
pub use handle::CacheHandle;
pub use key::{FindKey, KeyInRequest};
pub use layer::CacheLayer;
pub use policy::{StoreAll, StoreIf, StoreIfKey, StoreIfNoted, StoreIfRequest};
pub use result_cache::ResultCache;
pub use service::Cache;
pub use stats::{CacheStats, Refused};

#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod flight;
pub mod future;
mod handle;
mod layer;
mod load;
mod policy;
mod result_cache;
mod service;
mod stats;
mod store;
mod sync;

pub use handle::CacheHandle;
pub use layer::CacheLayer;
pub use policy::{StoreAll, StoreIf};
pub use result_cache::{ResultCache, ResultCacheBuilder};
pub use service::Cache;
pub use stats::CacheStats;

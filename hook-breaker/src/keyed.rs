//! A circuit for each key.

mod handle;
mod layer;
mod registry;
mod service;

pub use handle::KeyedCircuits;
pub use layer::KeyedBreakerLayer;
pub(crate) use registry::Registry;
pub use service::KeyedBreaker;

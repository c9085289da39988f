//! The layers of a [`Stack`](crate::Stack) and what goes with them, so that one dependency is enough. Each is a crate
//! of its own, whose page says all about it.

pub use hook_breaker::{
    CircuitBreaker, CircuitBreakerLayer, DroppedCall, OpenFor, Snapshot, State, TripPolicy, Window,
};
pub use hook_cache::{CacheHandle, CacheLayer, CacheStats, ResultCache};
pub use hook_monitor::{
    BoxError, Classify, Gather, HistogramSnapshot, Monitor, MonitorHandle, MonitorLayer, MonitorSnapshot,
    OnReject, Outcome, Reason, Rejected, Source, Status, anomaly,
};
pub use hook_pool::{ConnectionPool, PoolHandle, PoolLayer, PoolStats};
pub use hook_retry::{
    Attempt, Backoff, Budget, Exponential, Fixed, RetryHandle, RetryLayer, RetryPolicy, Verdict,
};

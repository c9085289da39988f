//! Faults of the peers that these layers were built not to have: each is the same test for both, and fails for the peer.
//!
//! They are reasons to choose, so they have to be true. Should a peer mend one, its test here fails; then whatever says
//! otherwise has to be changed.

mod backend;
mod breaker;
mod cache;
mod pool;
mod retry;

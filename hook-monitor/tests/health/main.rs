//! The health engine, in virtual time.

mod lifetime;
mod runs;
mod staleness;
mod statuses;
mod support;

//! Whether a process is healthy: checks in the background, and endpoints that read a snapshot.
//!
//! # Why in the background
//!
//! An endpoint that asks the database when it is asked itself is a lever: whoever can reach it can
//! load the database, and a database that hangs makes it hang. Here the checks run on their own
//! interval, and the endpoints only tell what is known; a result that is too old is not believed.
//!
//! See [`Health`] to begin with.

#[cfg(feature = "axum")]
mod axum;
mod check;
mod endpoints;
mod engine;
mod entry;
mod judge;
mod lag;
mod probe;
mod publish;
mod render;
mod report;
mod request;
mod runner;

#[cfg(feature = "axum")]
pub use self::axum::router;
pub use check::{Check, IntoVerdict, Verdict};
pub use endpoints::{Body, Endpoints};
pub use engine::{Health, InvalidCheck, MAX_CHECKS};
pub use lag::RuntimeLag;
pub use probe::LiveServer;
pub use publish::{Change, Changes};
pub use report::{About, CheckReport, FailureReason, Format, Report};

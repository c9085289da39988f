//! The HTTP cache over axum's own responses.
#![cfg(all(feature = "http", not(loom)))]

mod bodies;
mod flight;
mod peers;
mod revalidation;
mod rules;
mod support;

//! The endpoints of the health engine.

mod reports;
mod routes;
mod server;
mod support;

//! The process that keeps a project's manager from one event to the next, and how it is talked to.
//!
//! One line of JSON each way, over a Unix socket that only its owner can reach:
//!
//! 1. the daemon greets: program, protocol, process;
//! 2. the client sends its order, and for an event the input and its environment behind it;
//! 3. the daemon accepts, or refuses and says why;
//! 4. for an event, the client says `go`. Until then no hook has been started, so that a client that hears
//!    nothing can still run the hooks itself; from then on they may have been, and are never run again;
//! 5. the daemon replies.
//!
//! A client that goes away ends its event.

pub(crate) mod client;
mod hooks;
mod http;
pub(crate) mod look;
mod patient;
pub(crate) mod place;
mod ring;
pub(crate) mod server;
mod session;
pub(crate) mod wire;

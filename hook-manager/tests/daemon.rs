//! The daemon and its clients, through the built command.

#[path = "daemon/support.rs"]
mod daemon_support;
mod support;

#[path = "daemon/async_hooks.rs"]
mod async_hooks;
#[path = "daemon/ends.rs"]
mod ends;
#[path = "daemon/events.rs"]
mod events;
#[path = "daemon/http.rs"]
mod http;
#[path = "daemon/leftovers.rs"]
mod leftovers;
#[path = "daemon/looked_at.rs"]
mod looked_at;
#[path = "daemon/looks.rs"]
mod looks;
#[path = "daemon/lost.rs"]
mod lost;
#[path = "daemon/protocol.rs"]
mod protocol;
#[path = "daemon/settings.rs"]
mod settings;
#[path = "daemon/trust.rs"]
mod trust;

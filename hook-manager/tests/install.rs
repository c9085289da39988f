//! `hook-manager install` and `uninstall`, through the built command.

#[path = "install/support.rs"]
mod install_support;
mod support;

#[path = "install/coming_back.rs"]
mod coming_back;
#[path = "install/moving.rs"]
mod moving;
#[path = "install/staying.rs"]
mod staying;
#[path = "install/together.rs"]
mod together;

#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!("hook-manager runs hooks in process groups of their own, which needs a Unix system");

mod builder;
mod command;
mod config;
mod declared;
mod error;
pub mod event;
pub mod hook;
pub mod host;
mod http;
mod in_process;
mod json;
mod manager;
pub mod matcher;
mod merge;
mod output;
mod plan;
mod policy;
pub mod process;
mod request;
mod result;
pub mod rule;
mod slots;
pub mod source;
mod stack;
mod worker;

pub use self::{
    builder::HookManagerBuilder,
    command::depth,
    config::{BuildError, Config},
    declared::Hook,
    error::HookError,
    event::HookEvent,
    hook::{CacheKey, CacheRule, Handler, HookSpec, Http, OnFailure, Origin, Worker},
    manager::HookManager,
    merge::Merged,
    output::{Decision, HookOutput},
    request::{HookRequest, InputError},
    result::{Ended, EventReport, HookResult},
};

/// The repository's front page, whose examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;

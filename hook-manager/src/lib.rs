#![doc = include_str!("../README.md")]

#[cfg(not(unix))]
compile_error!("hook-manager runs hooks in process groups of their own, which needs a Unix system");

mod anomalies;
mod background;
mod builder;
pub mod check;
mod command;
mod config;
mod declared;
mod dependencies;
mod environment;
mod error;
mod estimate;
pub mod event;
mod execute;
pub mod guide;
pub mod hook;
pub mod host;
mod http;
mod in_process;
pub mod install;
mod json;
pub mod layers;
mod leaf;
mod lock;
mod manage;
mod manager;
pub mod matcher;
mod merge;
mod most;
mod output;
mod ownership;
mod plan;
mod policy;
pub mod process;
mod request;
mod result;
pub mod rule;
mod runaway;
mod shutdown;
mod slots;
pub mod source;
mod stack;
mod state;
mod succession;
pub mod trust;
mod worker;

pub use self::{
    anomalies::{Anomalies, Anomaly, HookAnomaly, HookShift, Outlier},
    builder::HookManagerBuilder,
    command::depth,
    config::{BuildError, Config, Place, Preset},
    declared::Hook,
    error::HookError,
    event::HookEvent,
    execute::{Execution, Part},
    hook::{
        CacheKey, CacheRule, Handler, HookSpec, Http, IfDependencyFails, OnFailure, OnOpen, Origin, Priority,
        Schedule, Worker,
    },
    manage::{
        Advice, BreakerStatus, Check, EventFigures, Health, HookFigures, Invalidate, Metrics, Optimization,
        Totals,
    },
    manager::HookManager,
    merge::Merged,
    output::{Decision, HookOutput},
    ownership::FileCheck,
    request::{HookRequest, InputError},
    result::{Ended, EventReport, HookResult},
    shutdown::ShutdownReport,
    stack::Stack,
    state::default_state_dir,
};

/// The repository's front page, whose examples are tests too.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct FrontPage;

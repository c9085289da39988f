//! The manager with in-process hooks, in virtual time.

mod anomalies;
mod answers;
mod building;
mod execution;
mod failing;
mod hostile;
mod isolation;
mod keys;
mod manage;
mod merging;
mod runaway;
mod schedule;
mod shutdown;
mod support;
mod ties;
mod time;

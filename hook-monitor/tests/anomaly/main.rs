//! The watch over the calls of real monitors, in virtual time.

mod judging;
mod support;
mod targets;
mod telling;

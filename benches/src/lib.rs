#![doc = include_str!("../README.md")]

pub mod claims;
mod mode;
mod pair;
mod random;
pub mod readme;
mod services;

pub use mode::Mode;
pub use pair::{Paired, Spread, alone, side_by_side};
pub use random::{Random, Zipf};
pub use services::{Bare, Down, IsDown, call, calls, drive};

//! Seeded simulations: what the detector does to streams whose nature is known.

mod faults;
mod incidents;
mod quiet;
mod sim;

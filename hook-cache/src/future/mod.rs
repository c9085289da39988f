//! The futures of this crate.

mod call;
mod get_or_load;
mod refresh;
mod response;
mod sweeper;

pub use call::{Calling, Loading, Noted};
pub(crate) use call::{ForRequests, OneCall};
pub use get_or_load::GetOrLoad;
pub use refresh::Refresh;
pub use response::ResponseFuture;
pub use sweeper::Sweeper;

//! Internal → public in everything that comes back from the backend.
mod grammar;
mod map;
mod origins;
mod spelling;
mod stream;
#[cfg(test)]
mod tests;

pub use map::Map;
pub use origins::{Mode, Origins, OriginsError};
pub use stream::Stream;

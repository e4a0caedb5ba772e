//! `proxy.toml`, read once into values that need no further checking.

pub mod values;

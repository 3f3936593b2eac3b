//! storage
pub mod crash;

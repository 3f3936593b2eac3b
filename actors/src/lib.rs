//! actors
pub mod ports;

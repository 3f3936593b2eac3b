//! protocol

pub mod network;

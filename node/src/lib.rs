//! The node: the program `muster`, and everything in it that touches the machine it runs on.
//!
//! The mesh (libp2p), the system's clock and randomness, the data folder, the settings and the command line.
//! What is decided is decided further down, in actors, storage and protocol.

pub mod cli;
pub mod config;
pub mod data_folder;
pub mod demo;
mod embedding;
mod extraction;
mod http;
pub mod mesh;
mod programs;
mod running;
pub mod system;
pub mod up;

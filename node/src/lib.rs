//! The node: the mesh, the data folder, the settings and the command line.

pub mod cli;
pub mod config;
pub mod data_folder;
pub mod demo;
pub mod up;

//! The protocol of links, played through in virtual time by machines over the crate's own rules.

mod converge;
mod node;
mod world;

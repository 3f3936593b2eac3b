//! The node's touch with the world: the libp2p mesh, the system's clock and its randomness.
pub mod mesh;
pub mod system;

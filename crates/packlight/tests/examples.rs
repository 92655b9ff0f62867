//! Runs the examples, each of which checks what it shows.

#![allow(clippy::unwrap_used)]

#[path = "../examples/own_codec.rs"]
mod own_codec;
#[path = "../examples/own_network.rs"]
mod own_network;
#[path = "../examples/own_op.rs"]
mod own_op;

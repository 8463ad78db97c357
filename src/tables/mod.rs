//! What is known: stacks, blocks, loaded objects, and what was lost. Written by hooks, read by snapshots.

pub mod arena;
pub mod block;
pub mod blocks;
pub mod chain;
pub mod counters;
pub mod frame;
pub mod freed_since;
pub mod hash;
pub mod highest;
pub mod objects;
pub mod peak;
pub mod sites;
pub mod stacks;
pub mod weight;

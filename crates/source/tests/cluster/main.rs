//! The source against an API server in the test's own process, which misbehaves on command.

mod access;
mod ear;
mod events;
mod failing;
mod listing;
mod objects;
mod random;
mod silence;
mod watching;

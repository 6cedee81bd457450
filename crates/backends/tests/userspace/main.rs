//! The userspace mode against strict fakes: what is there depends on what the cluster is, not on how
//! it became so; packets go where the routes say; every change costs what it touches.

#[path = "../any/mod.rs"]
#[allow(dead_code, reason = "other modes' tests use the rest")]
mod any;
#[path = "../../../core/tests/build/mod.rs"]
mod build;
mod costs;
mod histories;
mod meaning;
mod node;
mod oracle;
mod order;
mod others;
mod packets;
mod policies;
mod ports;
mod refused;
#[allow(dead_code, reason = "core's tests need more of it")]
#[path = "../../../core/tests/random/universe.rs"]
mod universe;
mod walk;
mod wishes;

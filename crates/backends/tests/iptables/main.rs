//! The iptables mode against the strict fake: what is in the tables depends on what the cluster
//! is, not on how it became so; every change costs what it touches; what others have stays.

#[path = "../any/mod.rs"]
#[allow(dead_code, reason = "other modes' tests use the rest")]
mod any;
#[path = "../../../core/tests/build/mod.rs"]
mod build;
mod costs;
mod counts;
mod facts;
mod histories;
mod large;
mod node;
mod others;
mod refused;
#[allow(dead_code, reason = "core's tests need more of it")]
#[path = "../../../core/tests/random/universe.rs"]
mod universe;

//! The ipvs mode against strict fakes: what is in the kernel depends on what the cluster is, not on
//! how it became so; every change costs what it touches; connections are let end.

#[path = "../any/mod.rs"]
#[allow(dead_code, reason = "other modes' tests use the rest")]
mod any;
#[path = "../../../core/tests/build/mod.rs"]
mod build;
mod companion;
mod costs;
mod endpoints;
mod histories;
mod leaving;
mod node;
mod oracle;
mod order;
mod others;
mod refused;
mod schedulers;
mod servers;
#[allow(dead_code, reason = "core's tests need more of it")]
#[path = "../../../core/tests/random/universe.rs"]
mod universe;

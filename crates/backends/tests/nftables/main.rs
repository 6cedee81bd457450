//! The nftables mode against the strict fake: what is in the kernel depends on what the cluster
//! is, not on how it became so, and every change costs what it should.

#[path = "../any/mod.rs"]
#[allow(dead_code, reason = "other modes' tests use the rest")]
mod any;
#[path = "../../../core/tests/build/mod.rs"]
mod build;
mod costs;
mod histories;
mod kernel;
mod order;
mod refused;
mod traffic;
#[allow(dead_code, reason = "core's tests need more of it")]
#[path = "../../../core/tests/random/universe.rs"]
mod universe;

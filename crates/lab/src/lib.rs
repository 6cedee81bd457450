//! A network of namespaces to see Services work in.
//!
//! A [`Lab`] is one node with pods on it and the rest of the world around it, where every pod
//! answers with its name. Start a proxy on the node, then ask:
//!
//! ```no_run
//! use fairlead_core::address::Protocol;
//! use fairlead_lab::{Client, Lab};
//!
//! let lab = Lab::new()?;
//! // ... start a proxy in lab.node() ...
//! let series = lab.ask(Client::Pod, Protocol::Tcp, "10.96.0.1:80".parse().unwrap(), 40)?;
//! println!("{:?} {}", series.by_endpoint, series.masqueraded);
//! # Ok::<(), fairlead_lab::LabError>(())
//! ```
//!
//! [`questions()`] turns objects into everything worth asking about them, and [`conformance`]
//! compares the answers with what was recorded of kube-proxy.
//!
//! A [`Machine`] runs any of it on another kernel.
//!
//! All of it lives in namespaces of its own and goes with its value. It needs root, or a private
//! root: see [`privilege::obtain`].

mod client;
mod error;
mod expected;
mod lab;
mod machine;
mod network;
mod patience;
mod pod;
mod probe;

#[cfg(feature = "api-server")]
pub mod api_server;
pub mod conformance;
pub mod iptables;
pub mod ipvs;
pub mod outcome;
pub mod privilege;
pub mod questions;

pub use client::Client;
pub use error::LabError;
pub use lab::Lab;
pub use machine::{Machine, MachineError};
pub use network::{NODE_V4, NODE_V6, Network, Place, is_local_pod};
pub use outcome::{Failure, Outcome, Outcomes, Source};
pub use patience::wait_for_a_slow_machine;
pub use pod::{PORTS, Pods};
pub use probe::{Answer, Series};
pub use questions::{Question, questions};

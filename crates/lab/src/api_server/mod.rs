//! An API server for tests, in the process of the test.
//!
//! Towards a client that lists and watches it behaves as kube-apiserver 1.36 does: pages, versions,
//! selectors, bookmarks, streaming lists, errors with their reasons and messages. And it misbehaves
//! on command: every [`Fault`] can be ordered for some requests ([`On`]), some times or until
//! healed, and [`ApiServer::chaos`] lets them happen by chance.
//!
//! ```no_run
//! use fairlead_lab::api_server::{ApiServer, Fault, On, Resource};
//! use serde_json::json;
//!
//! let server = ApiServer::start()?;
//! server.apply(&json!({
//!     "kind": "Service",
//!     "metadata": {"name": "web", "namespace": "shop"},
//!     "spec": {"clusterIP": "10.96.0.10", "ports": [{"port": 80}]},
//! }))?;
//! server.fail_once(On::list(Resource::Services), Fault::Reset);
//! println!("{} {}", server.url(), server.kubeconfig().display());
//! # Ok::<(), fairlead_lab::api_server::ApiServerError>(())
//! ```
//!
//! Objects are stored as they are given: only their metadata are filled in, no other field gets a
//! default, so that a test can have objects that lack something. What clients write is checked no
//! more than that, but for Events.

mod answer;
mod asked;
mod builder;
mod chaos;
mod content;
mod error;
mod faults;
mod faulty;
mod fill;
mod handler;
mod kubeconfig;
mod lines;
mod link;
mod list;
mod log;
mod managed;
mod object;
mod options;
mod orders;
mod patch;
mod reply;
mod resource;
mod selector;
mod serve;
mod server;
mod shared;
mod snapshot;
mod spoil;
mod status;
mod store;
mod tls;
mod validate;
mod watch;
mod writes;

pub use asked::{On, Verb};
pub use builder::Builder;
pub use error::ApiServerError;
pub use faults::Fault;
pub use fill::{NAMESPACE as FILLED_NAMESPACE, SLICE, cluster_ip, endpoint_ip, service_name};
pub use kubeconfig::Credentials;
pub use log::{OpenWatch, Request};
pub use options::StreamingLists;
pub use resource::Resource;
pub use server::ApiServer;

/// Who a client with the token is.
pub const TOKEN_USER: &str = "system:serviceaccount:kube-system:kube-proxy";

/// Who a client with the certificate is.
pub const CERTIFIED_USER: &str = "system:kube-proxy";

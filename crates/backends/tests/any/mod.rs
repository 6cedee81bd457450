//! A node in any mode: a model, an engine on fakes, and a clock.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairlead_backends::engine::{Engine, Kernel, Mode, SyncError};
use fairlead_core::api::Change;
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use fairlead_core::settings::{DetectLocal, NodePortAddresses, Settings};
use fairlead_kernel::fault::{Call, Fault};

use crate::build::HERE;

/// What decides on the faults of a handle.
pub(crate) type Faults = Box<dyn FnMut(Call) -> Option<Fault>>;

/// A handle that never fails.
pub(crate) fn never() -> Faults {
    Box::new(|_| None)
}

/// A node: a model, an engine, what is below it, and a clock.
pub(crate) struct Node<M: Mode, K> {
    pub(crate) model: Model,
    pub(crate) engine: Engine<M, K>,
    pub(crate) host: Vec<IpAddr>,
    pub(crate) now: Instant,
}

impl<M: Mode, K: Kernel<M>> Node<M, K> {
    /// A node with these addresses that knows of nothing yet.
    pub(crate) fn on(engine: Engine<M, K>, settings: Settings, host: &[&str]) -> Self {
        Node {
            model: Model::new(settings),
            engine,
            host: host.iter().map(|ip| ip.parse().unwrap()).collect(),
            now: Instant::now(),
        }
    }

    /// After these changes and syncs.
    pub(crate) fn settled_after(mut self, changes: impl IntoIterator<Item = Change>) -> Self {
        self.apply(changes);
        self.settle();
        self
    }

    pub(crate) fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.model.apply(change);
        }
    }

    /// Syncs once.
    pub(crate) fn sync(&mut self) -> Result<Report, SyncError> {
        let synced = self.engine.sync(&mut self.model, &self.host, self.now);
        synced.map(|synced| synced.report)
    }

    /// Syncs after these changes.
    pub(crate) fn change(&mut self, changes: impl IntoIterator<Item = Change>) -> Report {
        self.apply(changes);
        self.sync().unwrap()
    }

    /// Syncs until nothing is left to do, however often something fails.
    pub(crate) fn settle(&mut self) {
        for _ in 0..3000 {
            if self.sync().is_ok() && self.engine.wants_sync_at().is_none() {
                return;
            }
            self.wait(2);
        }
        panic!("does not settle: {:?}", self.sync());
    }

    /// Lets time go by.
    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

/// The node of all tests, with a way to tell its pods, and node ports on all its addresses.
pub(crate) fn settings() -> Settings {
    Settings {
        node_name: HERE.to_owned(),
        detect_local: DetectLocal::NodeCidr,
        node_port_addresses: NodePortAddresses {
            all: true,
            ..NodePortAddresses::default()
        },
        ..Settings::default()
    }
}

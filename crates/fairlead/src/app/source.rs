//! Where the objects come from: files, or a cluster.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use fairlead_core::api::Change;
use fairlead_source::cluster::{Access, Cluster, OnAnswer, Wanted, Weight};
use fairlead_source::manifests::Manifests;

use super::events::Events;
use super::{Options, SourceOptions};
use crate::health::Health;
use crate::http::HardFailure;
use crate::metrics::Metrics;

/// How long a process that ends waits for its last event to be sent.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What says which objects there are.
#[derive(Debug)]
pub(super) enum Source {
    /// Files, or a folder of them.
    Manifests(Box<Manifests>),
    /// An API server.
    Cluster(Box<Cluster>),
}

impl Source {
    /// Opens what the options name. That an API server cannot be reached is no error here.
    pub(super) fn open(
        options: &Options,
        metrics: &Arc<Metrics>,
        health: &Health,
    ) -> anyhow::Result<Source> {
        match &options.source {
            SourceOptions::Manifests(path) => {
                Ok(Source::Manifests(Box::new(Manifests::open(path)?)))
            }
            SourceOptions::Api { kubeconfig, master } => {
                let access = Access {
                    kubeconfig: kubeconfig.clone(),
                    master: master.clone(),
                    ..Access::default()
                };
                let wanted = Wanted {
                    node_name: options.settings.node_name.clone(),
                };
                let cluster = Cluster::open(&access, wanted, on_answer(metrics))?;
                let board = cluster.board();
                metrics.watches({
                    let board = board.clone();
                    move || board.all()
                })?;
                let failures = move || board.all().into_iter().filter_map(|watch| watch.failure);
                health.ask_source(move || failures().collect());
                info!(
                    "following {} as {}",
                    cluster.server(),
                    options.settings.node_name
                );
                Ok(Source::Cluster(Box::new(cluster)))
            }
        }
    }

    /// Whether others may still tell of the Node after everything was read once.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Source::Cluster(_))
    }

    /// Where events go. Of files there is nobody to tell.
    pub(super) fn events(&self) -> Events {
        Events::to(self.cluster().map(Cluster::recorder))
    }

    /// Says what is different, and logs what an operator should know.
    pub(super) fn changes(&mut self, now: Instant, say: &mut dyn FnMut(Change)) {
        match self {
            Source::Manifests(manifests) => {
                let unread = manifests.changes(now, say);
                unread.iter().for_each(|problem| warn!("{problem}"));
            }
            Source::Cluster(cluster) => {
                for news in cluster.changes(say) {
                    match news.weight {
                        Weight::Info => info!("{news}"),
                        Weight::Warning => warn!("{news}"),
                    }
                }
            }
        }
    }

    /// Says what is wrong with files. Watches come and go without the loop, and are asked instead.
    pub(super) fn tell(&self, health: &Health) {
        if let Source::Manifests(manifests) = self {
            health.source(manifests.problems().map(ToString::to_string));
        }
    }

    /// When to look for changes even if nothing can be read.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Source::Manifests(manifests) => Some(manifests.due()),
            Source::Cluster(_) => None,
        }
    }

    /// Takes a taint off our Node. Files have none to take it off.
    pub(super) fn remove_taint(&self, key: &str) {
        if let Some(cluster) = self.cluster() {
            cluster.remove_taint(key);
        }
    }

    /// Records why the process ends, and gives that the time to be sent.
    pub(super) fn last_words(&self, failure: &HardFailure) {
        self.events().cannot_listen(failure);
        if self.is_cluster() {
            thread::sleep(LAST_WORDS);
        }
    }

    /// The cluster, if it is one.
    fn cluster(&self) -> Option<&Cluster> {
        match self {
            Source::Manifests(_) => None,
            Source::Cluster(cluster) => Some(cluster),
        }
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Source::Manifests(manifests) => manifests.as_fd(),
            Source::Cluster(cluster) => cluster.as_fd(),
        }
    }
}

fn on_answer(metrics: &Arc<Metrics>) -> OnAnswer {
    let metrics = Arc::clone(metrics);
    Arc::new(move |answered| {
        let host = &answered.host;
        metrics.rest_client_answered(answered.method, host, &answered.code, answered.took);
    })
}

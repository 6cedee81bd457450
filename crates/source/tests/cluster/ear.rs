//! One who listens to a cluster, and keeps what it is told.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind, ObjectName};
use fairlead_lab::api_server::{ApiServer, Resource};
use fairlead_source::cluster::{Access, Answered, Cluster, News, Patience, Pauses, Wanted, Weight};
use fairlead_source::wire::Object;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;

/// The node that all tests are on.
pub(crate) const NODE: &str = "node-1";

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Pauses that a test can wait for. Servers that are silent are left alone, and so are those on a
/// machine with much else to do.
pub(crate) fn quick() -> Patience {
    Patience {
        connect: Duration::from_secs(30),
        answer: Duration::from_secs(30),
        silence: Duration::from_mins(2),
        check: Duration::from_secs(30),
        bookmarks: Duration::from_mins(2),
        list: Duration::from_secs(30),
        plugin: Duration::from_secs(30),
        pauses: Pauses {
            first: Duration::from_millis(5),
            longest: Duration::from_millis(80),
        },
        told: Duration::from_mins(5),
    }
}

/// One who listens.
pub(crate) struct Ear {
    pub(crate) cluster: Cluster,
    /// Everything that was told, in its order.
    pub(crate) told: Vec<Change>,
    pub(crate) news: Vec<News>,
    pub(crate) answered: Arc<Mutex<Vec<Answered>>>,
    /// What all that was told comes down to.
    has: BTreeMap<(Kind, ObjectName), Change>,
}

impl Ear {
    /// Listens by the server's own kubeconfig.
    pub(crate) fn to(server: &ApiServer) -> Ear {
        Ear::with(server.kubeconfig(), quick())
    }

    pub(crate) fn with(kubeconfig: &Path, patience: Patience) -> Ear {
        Ear::by(&Access {
            kubeconfig: Some(kubeconfig.to_owned()),
            master: None,
            patience,
        })
    }

    pub(crate) fn by(access: &Access) -> Ear {
        let answered = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&answered);
        let wanted = Wanted {
            node_name: NODE.to_owned(),
        };
        let on_answer = move |answer: &Answered| log.lock().unwrap().push(answer.clone());
        Ear {
            cluster: Cluster::open(access, wanted, Arc::new(on_answer)).unwrap(),
            told: Vec::new(),
            news: Vec::new(),
            answered,
            has: BTreeMap::new(),
        }
    }

    /// Listens to what is there, without waiting.
    pub(crate) fn listen(&mut self) {
        let (told, has) = (&mut self.told, &mut self.has);
        let news = self.cluster.changes(&mut |change| {
            match change.object() {
                Some(object) if matches!(change, Change::Deleted(..)) => drop(has.remove(&object)),
                Some(object) => drop(has.insert(object, change.clone())),
                None => {}
            }
            told.push(change);
        });
        self.news.extend(news);
    }

    /// Listens until something is so. What the descriptor does not announce is not heard.
    pub(crate) fn until(&mut self, what: &str, holds: impl Fn(&Ear) -> bool) {
        let started = Instant::now();
        while !holds(self) {
            assert!(started.elapsed() < PATIENCE, "not {what}: {self:#?}");
            let mut fds = [PollFd::new(self.cluster.as_fd(), PollFlags::POLLIN)];
            let ready = poll(&mut fds, PollTimeout::from(20_u8)).unwrap();
            if ready > 0 {
                self.listen();
            }
        }
    }

    /// Listens for so long.
    pub(crate) fn listen_for(&mut self, time: Duration) {
        let started = Instant::now();
        while started.elapsed() < time {
            self.listen();
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Listens until every kind is told completely.
    pub(crate) fn until_synced(&mut self) {
        self.until("synced", |ear| {
            Kind::ALL.iter().all(|kind| ear.is_synced(*kind))
        });
    }

    /// Listens until what was told is what the server has.
    pub(crate) fn until_equal(&mut self, server: &ApiServer) {
        self.until("told what the server has", |ear| ear.has == objects(server));
    }

    pub(crate) fn until_news(&mut self, part: &str) -> News {
        self.until(&format!("told {part:?}"), |ear| {
            ear.news_with(part).is_some()
        });
        self.news_with(part).unwrap()
    }

    pub(crate) fn news_with(&self, part: &str) -> Option<News> {
        self.news
            .iter()
            .find(|news| news.text.contains(part))
            .cloned()
    }

    pub(crate) fn warnings(&self) -> Vec<&str> {
        let warnings = self
            .news
            .iter()
            .filter(|news| news.weight == Weight::Warning);
        warnings.map(|news| &*news.text).collect()
    }

    pub(crate) fn is_synced(&self, kind: Kind) -> bool {
        self.told.contains(&Change::Synced(kind))
    }

    /// When the watch of a kind was last heard of.
    pub(crate) fn heard(&self, kind: Kind) -> Option<Instant> {
        let watches = self.cluster.board().all();
        watches.iter().find(|watch| watch.kind == kind)?.heard
    }

    pub(crate) fn count(&self, change: &Change) -> usize {
        self.told.iter().filter(|told| *told == change).count()
    }

    /// The names of a kind, in order.
    pub(crate) fn names(&self, kind: Kind) -> Vec<String> {
        let of_kind = self.has.keys().filter(|(one, _)| *one == kind);
        of_kind.map(|(_, name)| name.to_string()).collect()
    }

    /// The Service as it was told last.
    pub(crate) fn service(&self, name: &str) -> Option<&fairlead_core::api::Service> {
        match self
            .has
            .get(&(Kind::Service, ObjectName::new("shop", name)))?
        {
            Change::Service(service) => Some(service),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = self.told.iter().rev().take(20).collect::<Vec<_>>();
        f.debug_struct("Ear")
            .field("watches", &self.cluster.board().all())
            .field("told last", &told)
            .field("news", &self.news)
            .finish_non_exhaustive()
    }
}

/// What the server has, as a source says it.
fn objects(server: &ApiServer) -> BTreeMap<(Kind, ObjectName), Change> {
    let kinds = [
        (Resource::Services, Kind::Service),
        (Resource::EndpointSlices, Kind::EndpointSlice),
        (Resource::Nodes, Kind::Node),
        (Resource::ServiceCidrs, Kind::ServiceCidr),
    ];
    let mut has = BTreeMap::new();
    for (resource, kind) in kinds {
        for value in server.objects(resource) {
            let object = Object::read(kind, value).unwrap();
            let identity = object.identity().unwrap();
            let change = object.into_change(identity.1.clone());
            has.insert(identity, change);
        }
    }
    has
}

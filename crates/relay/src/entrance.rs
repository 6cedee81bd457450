//! What a listener knows: whom it carries its clients to.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use fairlead_core::route::Pool;

use crate::handle::{ListenerAddress, Source};
use crate::places::Places;
use crate::ports::Ports;
use crate::settings::Settings;
use crate::upstreams::Serving;
use crate::workers::Workers;

/// What all listeners and connections share.
#[derive(Debug)]
pub(crate) struct Common {
    settings: RwLock<Arc<Settings>>,
    pub(crate) workers: Workers,
    pub(crate) places: Arc<Places>,
    pub(crate) ports: Arc<Ports>,
}

impl Common {
    pub(crate) fn new(settings: Settings, workers: Workers) -> Common {
        Common {
            workers,
            places: Arc::new(Places::new(settings.max_connections)),
            ports: Arc::new(Ports::new()),
            settings: RwLock::new(Arc::new(settings)),
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        let settings = self.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, settings: Settings) {
        self.places.set(settings.max_connections);
        let mut now = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *now = Arc::new(settings);
    }
}

/// A listener, as the task sees it that listens.
#[derive(Debug)]
pub(crate) struct Entrance {
    /// Where it is.
    pub(crate) address: SocketAddr,
    /// The number of its worker.
    pub(crate) worker: usize,
    pub(crate) common: Arc<Common>,
    way: RwLock<Arc<Way>>,
}

/// Whom a listener's clients are carried to.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) serving: Arc<Serving>,
    pub(crate) pool: Pool,
    pub(crate) source: Source,
}

impl Way {
    /// Whether it leads to the same as another one.
    pub(crate) fn leads_as(&self, other: &Way) -> bool {
        Arc::ptr_eq(&self.serving, &other.serving)
            && (self.pool, self.source) == (other.pool, other.source)
    }
}

impl Entrance {
    pub(crate) fn new(
        address: ListenerAddress,
        way: Way,
        worker: usize,
        common: &Arc<Common>,
    ) -> Entrance {
        Entrance {
            address: address.socket(),
            worker,
            common: Arc::clone(common),
            way: RwLock::new(Arc::new(way)),
        }
    }

    /// Whom clients are carried to that come now.
    pub(crate) fn way(&self) -> Arc<Way> {
        Arc::clone(&self.way.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Clients are carried to others from now on.
    pub(crate) fn lead(&self, way: Way) {
        *self.way.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(way);
    }
}

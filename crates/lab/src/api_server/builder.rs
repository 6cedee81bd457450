//! How a server is to be.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use fairlead_kernel::netns::Netns;

use super::options::StreamingLists;
use super::server::ApiServer;
use super::shared::Settings;
use super::{ApiServerError, link};

/// A server to be. Without a word it speaks plain HTTP on loopback, at a port of its own, and asks
/// nobody who they are.
#[derive(Debug)]
pub struct Builder<'a> {
    settings: Settings,
    netns: Option<&'a Netns>,
}

/// The real server has one a minute, which no test can wait for.
const BOOKMARKS: Duration = Duration::from_secs(1);

/// Events that are remembered.
const HISTORY: usize = 10_000;

impl<'a> Builder<'a> {
    pub(super) fn new() -> Builder<'a> {
        Builder {
            settings: Settings {
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                tls: false,
                authenticate: false,
                page_limit: usize::MAX,
                streaming_lists: StreamingLists::On,
                bookmarks_every: BOOKMARKS,
                gone_as_http: false,
                managed_fields: false,
                history: HISTORY,
            },
            netns: None,
        }
    }

    /// Where to listen. Port 0: one that is free.
    #[must_use]
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.settings.address = address;
        self
    }

    /// Listens in this network namespace rather than in the current one.
    #[must_use]
    pub fn netns(mut self, netns: &'a Netns) -> Self {
        self.netns = Some(netns);
        self
    }

    /// Speaks TLS, with certificates of its own authority. Clients may show one, too.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.settings.tls = true;
        self
    }

    /// Wants clients to show its token, or its certificate.
    #[must_use]
    pub fn authenticate(mut self) -> Self {
        self.settings.authenticate = true;
        self
    }

    /// Makes no page longer than this, whatever a client asks for. A list that is not asked for in
    /// pages stays whole.
    #[must_use]
    pub fn page_limit(mut self, items: usize) -> Self {
        self.settings.page_limit = items.max(1);
        self
    }

    /// Whether a watch may begin with all objects.
    #[must_use]
    pub fn streaming_lists(mut self, streaming: StreamingLists) -> Self {
        self.settings.streaming_lists = streaming;
        self
    }

    /// How often those who want bookmarks get one; every second without a word.
    #[must_use]
    pub fn bookmarks_every(mut self, time: Duration) -> Self {
        // A timer of no time is none.
        self.settings.bookmarks_every = time.max(Duration::from_millis(1));
        self
    }

    /// Refuses a watch from a version that is forgotten with HTTP status 410. Without a word it
    /// opens the watch and says so in it, as the real server does with its watch cache.
    #[must_use]
    pub fn gone_as_http(mut self) -> Self {
        self.settings.gone_as_http = true;
        self
    }

    /// Gives objects the fields that say who manages what, so that they are as large as real ones.
    #[must_use]
    pub fn managed_fields(mut self) -> Self {
        self.settings.managed_fields = true;
        self
    }

    /// How many events are remembered; 10,000 without a word.
    #[must_use]
    pub fn history(mut self, events: usize) -> Self {
        self.settings.history = events;
        self
    }

    /// Starts it.
    pub fn start(self) -> Result<ApiServer, ApiServerError> {
        let address = self.settings.address;
        let listen = || link::listen(address);
        let listening = match self.netns {
            Some(netns) => netns.run(listen)?,
            None => listen(),
        };
        let listener = listening.map_err(|error| ApiServerError::Listen { address, error })?;
        ApiServer::with(self.settings, listener)
    }
}

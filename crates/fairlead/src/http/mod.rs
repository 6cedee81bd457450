//! The servers: health, metrics, and a health check node port for each Service that wants one.
//! They show what others publish, and hold up nobody.

mod accept;
mod answer;
mod hard_fail;
mod health;
mod listen;
mod metrics;
mod services;
mod slis;
mod zpages;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::health::Health;
use crate::health::services::Update;

pub(crate) use hard_fail::{Alarm, Alarms, HardFailure, Server};
pub(crate) use health::{OnProbe, Probe};
use listen::{Connections, PATIENCE};
pub(crate) use metrics::{Configz, Pages};
use services::ServiceServers;
pub(crate) use services::{OnServiceFailure, ServiceHealthFailure};

/// How long after a port could not be had it is tried again, as in kube-proxy.
const RETRY: Duration = Duration::from_secs(5);

/// Connections to the health server, and to the metrics server. Each has a few clients that ask
/// every few seconds.
const CONNECTIONS: usize = 128;

/// What is served where.
pub(crate) struct Servers {
    /// Where the health server listens, if there is one.
    pub(crate) healthz: Option<SocketAddr>,
    /// Where the metrics server listens, if there is one.
    pub(crate) metrics: Option<SocketAddr>,
    /// Raised when one of the two cannot listen (`bindAddressHardFail`); without it they try
    /// again.
    pub(crate) hard_fail: Option<Alarm>,
    /// What the health servers show.
    pub(crate) health: Health,
    /// Told of each answer of /healthz and /livez.
    pub(crate) on_probe: OnProbe,
    /// What the metrics server shows.
    pub(crate) pages: Pages,
    /// Told of each health check node port that cannot be had.
    pub(crate) on_service_failure: OnServiceFailure,
    /// Which health check node ports there are to be.
    pub(crate) services: UnboundedReceiver<Update>,
}

impl Servers {
    /// Serves until dropped. Needs a runtime with I/O and time.
    pub(crate) async fn serve(self) {
        let healthz = health::router(&self.health, &self.on_probe);
        let metrics = match metrics::router(&self.pages, &self.health) {
            Ok(router) => Some(router),
            Err(error) => {
                warn!("there is no metrics server: {error}");
                None
            }
        };
        let alarm = self.hard_fail.as_ref();
        let services = ServiceServers::new(self.health, self.on_service_failure);
        tokio::join!(
            keep(
                Server::Health,
                self.healthz.map(|address| (address, healthz)),
                alarm
            ),
            keep(Server::Metrics, self.metrics.zip(metrics), alarm),
            services.follow(self.services),
        );
    }
}

/// Listens, or says that it cannot and tries again.
async fn keep(server: Server, what: Option<(SocketAddr, Router)>, alarm: Option<&Alarm>) {
    let Some((address, router)) = what else {
        return;
    };
    let listener = bind(server, address, alarm).await;
    match listener.local_addr() {
        Ok(address) => info!("{server} listens on {address}"),
        Err(_) => info!("{server} listens on {address}"),
    }
    Connections::at_most(CONNECTIONS, PATIENCE)
        .serve(listener, router)
        .await;
}

async fn bind(server: Server, address: SocketAddr, alarm: Option<&Alarm>) -> TcpListener {
    loop {
        let error = match listen::anywhere(address) {
            Ok(listener) => return listener,
            Err(error) => error,
        };
        if let Some(alarm) = alarm {
            alarm.raise(HardFailure {
                server,
                address,
                error: error.to_string(),
            });
            return std::future::pending().await;
        }
        warn!("{server} on {address}: {error}; trying again in {RETRY:?}");
        sleep(RETRY).await;
    }
}

/// The pages that there are when everything is served, with their servers.
#[cfg(test)]
pub(crate) fn paths() -> Vec<(&'static str, &'static str)> {
    let health = Health::new(Duration::ZERO);
    let on_probe: OnProbe = std::sync::Arc::new(|_, _| ());
    let probed = health::pages(&health, &on_probe).map(|(path, _)| ("health", path));
    let everything = Pages {
        profiling: true,
        ..metrics::tests::pages()
    };
    let pages = metrics::all(&everything, &health).expect("pages");
    let shown = pages.into_iter().map(|(path, _)| ("metrics", path));
    let any = [("service", "*")];
    probed.into_iter().chain(shown).chain(any).collect()
}

#[cfg(test)]
mod client;
#[cfg(test)]
mod tests;

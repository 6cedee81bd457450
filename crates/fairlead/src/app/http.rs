//! The health and the metrics server, and the signals, on one thread.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use tracing::{info, warn};

use super::health::Health;
use super::signals;

/// How long after a port could not be had it is tried again, as in kube-proxy.
const RETRY: Duration = Duration::from_secs(5);

/// What is served where.
pub(super) struct Servers {
    pub(super) healthz: Option<SocketAddr>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) health: Arc<Health>,
    pub(super) registry: Registry,
}

impl Servers {
    /// Serves until the process ends. `ready` is dropped when signals are taken.
    pub(super) fn serve(self, ready: Sender<()>) {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(error) => return warn!("no health and metrics server: {error}"),
        };
        let health = self.health;
        let healthz = Router::new().route("/healthz", get(async move || answer_health(&health)));
        let registry = self.registry;
        let metrics = Router::new()
            .route("/metrics", get(async move || answer_metrics(&registry)))
            .route("/proxyMode", get(async || "nftables"))
            .route("/healthz", get(async || "ok"));
        runtime.block_on(async {
            tokio::join!(
                signals::exit_when_told(ready),
                listen("health", self.healthz, healthz),
                listen("metrics", self.metrics, metrics)
            );
        });
    }
}

async fn listen(what: &str, address: Option<SocketAddr>, router: Router) {
    let Some(address) = address else { return };
    loop {
        let error = match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => {
                info!("{what} server listens on {address}");
                axum::serve(listener, router.clone()).await.err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = error {
            warn!("{what} server on {address}: {error}; trying again in {RETRY:?}");
        }
        tokio::time::sleep(RETRY).await;
    }
}

fn answer_health(health: &Health) -> impl IntoResponse + use<> {
    let (healthy, body) = health.answer(Instant::now());
    let status = if healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, body.to_string())
}

fn answer_metrics(registry: &Registry) -> impl IntoResponse + use<> {
    match TextEncoder::new().encode_to_string(&registry.gather()) {
        Ok(text) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}

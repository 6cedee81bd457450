//! The health check node ports: a server for each Service that wants one, in each family.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use fairlead_core::api::ObjectName;

use super::answer::{JSON, answer, quoted};
use super::listen::{Connections, PATIENCE, in_family};
use crate::health::services::{Book, Opening, ServiceFamily, Steps, Update};
use crate::health::{Health, Moment};

/// How long after a port could not be had it is tried again if no sync comes before. Half of what
/// load balancers commonly leave between two questions.
const RETRY: Duration = Duration::from_secs(5);

/// Connections of all these servers together. A load balancer's probe lasts milliseconds.
const CONNECTIONS: usize = 256;

const WEIGHT: HeaderName = HeaderName::from_static("x-load-balancing-endpoint-weight");

/// A port that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceHealthFailure {
    /// Whose it is.
    pub(crate) service: ObjectName,
    /// The port.
    pub(crate) port: u16,
    /// Why it could not be had.
    pub(crate) error: String,
}

impl fmt::Display for ServiceHealthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ServiceHealthFailure {
            service,
            port,
            error,
        } = self;
        write!(
            f,
            "failed to start healthcheck {} on port {port}: {error}",
            quoted(&service.to_string())
        )
    }
}

/// Is told of a port that could not be had, once for each reason.
pub(crate) type OnServiceFailure = Box<dyn Fn(ServiceHealthFailure) + Send>;

/// Opens and closes the servers as updates come.
pub(super) struct ServiceServers {
    book: Book,
    open: HashMap<ServiceFamily, Server>,
    health: Health,
    connections: Arc<Connections>,
    on_failure: OnServiceFailure,
}

/// An open server: its tasks, one for each address, and what they say.
struct Server {
    tasks: Vec<JoinHandle<()>>,
    endpoints: Arc<AtomicUsize>,
}

impl ServiceServers {
    /// None yet.
    pub(super) fn new(health: Health, on_failure: OnServiceFailure) -> ServiceServers {
        ServiceServers {
            book: Book::default(),
            open: HashMap::new(),
            health,
            connections: Connections::at_most(CONNECTIONS, PATIENCE),
            on_failure,
        }
    }

    /// Follows the updates until nobody sends any more. What is open then stays so.
    pub(super) async fn follow(mut self, mut updates: UnboundedReceiver<Update>) {
        loop {
            let update = tokio::select! {
                update = updates.recv() => update,
                () = sleep(RETRY), if !self.book.to_open().is_empty() => {
                    self.open(self.book.to_open());
                    continue;
                }
            };
            match update {
                Some(update) => self.update(update).await,
                None => return std::future::pending().await,
            }
        }
    }

    async fn update(&mut self, update: Update) {
        let Steps { close, count, open } = self.book.update(update);
        for whose in &close {
            self.close(whose).await;
        }
        for (whose, endpoints) in count {
            if let Some(server) = self.open.get(&whose) {
                server.endpoints.store(endpoints, Ordering::Relaxed);
            }
        }
        self.open(open);
    }

    /// Returns when the ports are free.
    async fn close(&mut self, whose: &ServiceFamily) {
        let Some(server) = self.open.remove(whose) else {
            return;
        };
        // For connections that stay.
        server.endpoints.store(0, Ordering::Relaxed);
        for task in server.tasks {
            task.abort();
            // That it was ended is no news.
            let _ = task.await;
        }
    }

    fn open(&mut self, openings: Vec<Opening>) {
        for opening in openings {
            let ServiceFamily { service, family } = &opening.whose;
            let port = opening.wanted.port;
            match self.start(&opening) {
                Ok(server) => {
                    self.open.insert(opening.whose.clone(), server);
                    if self.book.opened(&opening.whose) {
                        info!("health check node port {port} of {service} is open now ({family})");
                    }
                }
                Err(error) => self.report(&opening, error),
            }
        }
    }

    fn report(&mut self, opening: &Opening, error: String) {
        if !self.book.failed(&opening.whose, &error) {
            return;
        }
        let ServiceFamily { service, family } = &opening.whose;
        let port = opening.wanted.port;
        warn!(
            "load balancers cannot ask for {service}: its health check node port {port} cannot be opened ({family}): \
             {error}; trying again in {RETRY:?}"
        );
        (self.on_failure)(ServiceHealthFailure {
            service: service.clone(),
            port,
            error,
        });
    }

    /// Opens all addresses or none, as kube-proxy does: a load balancer is not to get another
    /// answer by another address.
    fn start(&self, opening: &Opening) -> Result<Server, String> {
        let endpoints = Arc::new(AtomicUsize::new(opening.wanted.endpoints));
        let router = router(&opening.whose.service, &endpoints, &self.health);
        let listen = |ip: &IpAddr| {
            let address = SocketAddr::new(*ip, opening.wanted.port);
            in_family(address).map_err(|error: io::Error| format!("listen on {address}: {error}"))
        };
        let listeners: Result<Vec<_>, String> = opening.addresses.iter().map(listen).collect();
        let serve = |listener| {
            let (connections, router) = (Arc::clone(&self.connections), router.clone());
            tokio::spawn(async move { connections.serve(listener, router).await })
        };
        Ok(Server {
            tasks: listeners?.into_iter().map(serve).collect(),
            endpoints,
        })
    }
}

/// Answers whatever is asked.
fn router(service: &ObjectName, endpoints: &Arc<AtomicUsize>, health: &Health) -> Router {
    let (service, endpoints, health) = (service.clone(), Arc::clone(endpoints), health.clone());
    Router::new().fallback(async move || {
        let local = endpoints.load(Ordering::Relaxed);
        respond(&service, local, health.is_fresh(Moment::now().at))
    })
}

fn respond(service: &ObjectName, local: usize, fresh: bool) -> Response {
    let status = match local > 0 && fresh {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = answer(status, JSON, body(service, local, fresh));
    response
        .headers_mut()
        .insert(WEIGHT, HeaderValue::from(local));
    response
}

/// kube-proxy's, to the byte.
fn body(service: &ObjectName, local: usize, fresh: bool) -> String {
    format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {},\n\t\t\"name\": {}\n\t}},\n\
         \t\"localEndpoints\": {local},\n\t\"serviceProxyHealthy\": {fresh}\n}}",
        quoted(&service.namespace),
        quoted(&service.name),
    )
}

#[cfg(test)]
mod tests;

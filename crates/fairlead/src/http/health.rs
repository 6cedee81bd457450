//! The health server: /healthz, /livez and /readyz.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{MethodRouter, any};

use super::answer::{JSON, answer, not_found};
use crate::health::{Answer, Health, Moment};

/// What was asked, of what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// /healthz.
    Healthz,
    /// /livez.
    Livez,
}

/// Is told of every answer, with its status.
pub(crate) type OnProbe = Arc<dyn Fn(Probe, u16) + Send + Sync>;

/// The pages of the health server.
pub(super) fn router(health: &Health, on_probe: &OnProbe) -> Router {
    let pages = pages(health, on_probe).into_iter();
    let router = pages.fold(Router::new(), |router, (path, page)| {
        router.route(path, page)
    });
    router.fallback(not_found)
}

pub(super) fn pages(health: &Health, on_probe: &OnProbe) -> [(&'static str, MethodRouter); 3] {
    let counted = |probe: Probe, ask: fn(&Health, Moment) -> Answer| {
        let (health, on_probe) = (health.clone(), Arc::clone(on_probe));
        any(async move || {
            let response = respond(ask(&health, Moment::now()));
            on_probe(probe, response.status().as_u16());
            response
        })
    };
    let ready = health.clone();
    [
        ("/healthz", counted(Probe::Healthz, Health::healthz)),
        ("/livez", counted(Probe::Livez, Health::livez)),
        (
            "/readyz",
            any(async move || respond(ready.readyz(Moment::now()))),
        ),
    ]
}

fn respond(Answer { ok, body }: Answer) -> Response {
    let status = match ok {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    answer(status, JSON, body)
}

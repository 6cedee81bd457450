//! The metrics server: /metrics, and the pages that tell what this process is and does.

use std::collections::BTreeMap;
use std::fmt;
use std::num::IntErrorKind;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};

use super::answer::{JSON, TEXT, answer, not_found, quoted};
use super::slis::Slis;
use super::zpages::{self, Asked};
use crate::health::{Health, Moment};
use crate::log;

/// What kube-proxy calls its configuration at /configz.
const CONFIG: &str = "kubeproxy.config.k8s.io";

/// What is in the configuration's file and takes effect with the next start. Ours.
const RESTART_NEEDED: &str = "fairlead.restartNeeded";

/// The most that /debug/flags/v reads, in bytes: a number.
const NUMBER: usize = 64;

const PPROF: &str = "404: pprof is a part of Go programs, and this is none. What takes the time of this process can be \
                     seen with perf: perf record -g -p PID\n";

/// The configuration as /configz shows it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Configz {
    /// The KubeProxyConfiguration in force.
    pub(crate) effective: Value,
    /// Fields that were changed on disk and need a restart.
    pub(crate) restart_needed: Option<Value>,
}

/// What the pages show. Nothing is shown that was not put here.
#[derive(Clone)]
pub(crate) struct Pages {
    /// The mode, for /proxyMode.
    pub(crate) mode: &'static str,
    /// The text of /metrics, or why there is none.
    pub(crate) metrics: Arc<dyn Fn() -> Result<String, String> + Send + Sync>,
    /// What /configz shows.
    pub(crate) configz: Arc<dyn Fn() -> Configz + Send + Sync>,
    /// The flags with their values, for /flagz.
    pub(crate) flags: Arc<BTreeMap<String, String>>,
    /// Whether the log's verbosity can be set (`enableProfiling`).
    pub(crate) profiling: bool,
    /// When the process began.
    pub(crate) started: Moment,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("mode", &self.mode)
            .field("profiling", &self.profiling)
            .finish_non_exhaustive()
    }
}

/// The pages of the metrics server.
pub(super) fn router(pages: &Pages, health: &Health) -> Result<Router, prometheus::Error> {
    let slis = Slis::new()?;
    let Pages {
        mode,
        metrics,
        configz,
        profiling,
        ..
    } = pages.clone();
    let (pinged, reset) = (slis.clone(), slis);
    let mut router = Router::new()
        .route("/metrics", any(async move || prometheus_text(metrics())))
        .route(
            "/metrics/slis",
            any(async move |method: Method| service_levels(&reset, &method)),
        )
        .route(
            "/healthz",
            any(async move |request: Request| ping(&pinged, &request)),
        )
        .route(
            "/healthz/ping",
            any(async || answer(StatusCode::OK, TEXT, "ok")),
        )
        .route(
            "/proxyMode",
            any(async move || answer(StatusCode::OK, TEXT, mode)),
        )
        .route("/configz", any(async move || show_config(configz())));
    if profiling {
        let set = any(set_verbosity).layer(DefaultBodyLimit::max(NUMBER));
        router = router.route("/debug/flags/v", set);
    }
    for path in ["/debug/pprof", "/debug/pprof/", "/debug/pprof/{*page}"] {
        router = router.route(
            path,
            any(async || answer(StatusCode::NOT_FOUND, TEXT, PPROF)),
        );
    }
    Ok(z_pages(router, pages, health).fallback(not_found))
}

fn z_pages(router: Router, pages: &Pages, health: &Health) -> Router {
    let shown = Arc::clone(&pages.flags);
    let (started, profiling, health) = (pages.started, pages.profiling, health.clone());
    let flags = async move |request: Request| zpages::flagz(&shown, &asked(&request));
    let status = async move |request: Request| {
        let up = Moment::now().at.saturating_duration_since(started.at);
        let (paths, trouble) = (paths(profiling), health.trouble());
        zpages::statusz(started.date, up, &paths, trouble, &asked(&request))
    };
    router
        .route("/flagz", any(flags))
        .route("/statusz", any(status))
}

/// The pages that /statusz names, by the first word of their paths.
fn paths(profiling: bool) -> Vec<&'static str> {
    let mut paths = vec![
        "/configz",
        "/flagz",
        "/healthz",
        "/metrics",
        "/proxyMode",
        "/statusz",
    ];
    if profiling {
        paths.insert(1, "/debug");
    }
    paths
}

fn asked(request: &Request) -> Asked<'_> {
    Asked {
        uri: request.uri(),
        headers: request.headers(),
    }
}

fn prometheus_text(text: Result<String, impl fmt::Display>) -> Response {
    match text {
        Ok(text) => answer(
            StatusCode::OK,
            HeaderValue::from_static(prometheus::TEXT_FORMAT),
            text,
        ),
        Err(error) => answer(
            StatusCode::INTERNAL_SERVER_ERROR,
            TEXT,
            format!("no metrics: {error}\n"),
        ),
    }
}

fn service_levels(slis: &Slis, method: &Method) -> Response {
    if method == Method::DELETE {
        slis.reset();
        return answer(StatusCode::OK, TEXT, "metrics reset\n");
    }
    prometheus_text(slis.text())
}

/// That this process is there; whether it does its work is the health server's to say.
fn ping(slis: &Slis, request: &Request) -> Response {
    slis.pinged();
    let query = request.uri().query().unwrap_or_default();
    let verbose = query
        .split('&')
        .any(|part| part == "verbose" || part.starts_with("verbose="));
    let body = match verbose {
        true => "[+]ping ok\nhealthz check passed\n",
        false => "ok",
    };
    answer(StatusCode::OK, TEXT, body)
}

fn show_config(config: Configz) -> Response {
    let mut page = json!({CONFIG: config.effective});
    if let Some(fields) = config.restart_needed {
        page[RESTART_NEEDED] = fields;
    }
    answer(StatusCode::OK, JSON, page.to_string())
}

/// In klog's words, for scripts that look at them.
async fn set_verbosity(method: Method, body: String) -> Response {
    let text = HeaderValue::from_static("text/plain");
    if method != Method::PUT {
        let message = "unsupported http method\n";
        return answer(StatusCode::NOT_ACCEPTABLE, text, message);
    }
    match body.parse::<i32>() {
        Ok(verbosity) if log::set(verbosity) => answer(
            StatusCode::OK,
            text,
            format!("successfully set klog.logging.verbosity to {body}\n"),
        ),
        Ok(_) => refuse_verbosity(text, &body, "there is no log"),
        Err(error) => {
            let what = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            let why = format!("strconv.ParseInt: parsing {}: {what}", quoted(&body));
            refuse_verbosity(text, &body, &why)
        }
    }
}

fn refuse_verbosity(text: HeaderValue, body: &str, why: &str) -> Response {
    let message = format!("failed set klog.logging.verbosity {body}: {why}\n");
    answer(StatusCode::BAD_REQUEST, text, message)
}

#[cfg(test)]
mod tests;

//! The metrics server: /metrics, and the pages that tell what this process is and does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::IntErrorKind;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

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
    /// Whether there is /flagz.
    pub(crate) flagz: bool,
    /// Whether there is /statusz.
    pub(crate) statusz: bool,
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

/// A page, and who answers for it.
type Page = (&'static str, MethodRouter);

/// The pages of the metrics server.
pub(super) fn router(pages: &Pages, health: &Health) -> Result<Router, prometheus::Error> {
    let mut all = all(pages, health)?;
    if pages.profiling {
        all.extend(no_profiles());
    }
    let pages = all.into_iter();
    let router = pages.fold(Router::new(), |router, (path, page)| {
        router.route(path, page)
    });
    Ok(router.fallback(not_found))
}

/// All pages there are.
pub(super) fn all(pages: &Pages, health: &Health) -> Result<Vec<Page>, prometheus::Error> {
    let mut all = measured(pages)?;
    if pages.profiling {
        let set = any(set_verbosity).layer(DefaultBodyLimit::max(NUMBER));
        all.push(("/debug/flags/v", set));
    }
    let Pages { mode, configz, .. } = pages.clone();
    let mode = any(async move || answer(StatusCode::OK, TEXT, mode));
    all.push(("/proxyMode", mode));
    let configz = any(async move || show_config(configz()));
    all.push(("/configz", configz));
    if pages.flagz {
        all.push(("/flagz", flagz(pages)));
    }
    if pages.statusz {
        let paths = all.iter().map(|(path, _)| *path).chain(["/statusz"]);
        let statusz = statusz(pages, health, first_words(paths));
        all.push(("/statusz", statusz));
    }
    Ok(all)
}

/// What Prometheus reads, and whether this process is there.
fn measured(pages: &Pages) -> Result<Vec<Page>, prometheus::Error> {
    let (slis, metrics) = (Slis::new()?, Arc::clone(&pages.metrics));
    let (pinged, reset) = (slis.clone(), slis);
    let text = any(async move || all_metrics(metrics).await);
    let levels = any(async move |method: Method| service_levels(&reset, &method));
    let healthz = any(async move |request: Request| ping(&pinged, &request));
    let ping = any(async || answer(StatusCode::OK, TEXT, "ok"));
    Ok(vec![
        ("/metrics", text),
        ("/metrics/slis", levels),
        ("/healthz", healthz),
        ("/healthz/ping", ping),
    ])
}

/// Where profiles are not, what to use instead.
fn no_profiles() -> [Page; 3] {
    let paths = ["/debug/pprof", "/debug/pprof/", "/debug/pprof/{*page}"];
    paths.map(|path| {
        let answer = any(async || answer(StatusCode::NOT_FOUND, TEXT, PPROF));
        (path, answer)
    })
}

fn flagz(pages: &Pages) -> MethodRouter {
    let shown = Arc::clone(&pages.flags);
    any(async move |request: Request| zpages::flagz(&shown, &asked(&request)))
}

fn statusz(pages: &Pages, health: &Health, paths: Vec<String>) -> MethodRouter {
    let (started, health) = (pages.started, health.clone());
    any(async move |request: Request| {
        let up = Moment::now().at.saturating_duration_since(started.at);
        let trouble = health.trouble();
        zpages::statusz(started.date, up, &paths, trouble, &asked(&request))
    })
}

/// As /statusz names pages: by the first word of their paths.
fn first_words<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let word = |path: &str| path.split('/').nth(1).map(|word| format!("/{word}"));
    let words: BTreeSet<String> = paths.filter_map(word).collect();
    words.into_iter().collect()
}

fn asked(request: &Request) -> Asked<'_> {
    Asked {
        uri: request.uri(),
        headers: request.headers(),
    }
}

/// What they tell is read at this moment, and probes must not wait for it.
async fn all_metrics(read: Arc<dyn Fn() -> Result<String, String> + Send + Sync>) -> Response {
    let text = spawn_blocking(move || read()).await;
    prometheus_text(text.unwrap_or_else(|error| Err(error.to_string())))
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
pub(super) mod tests;

//! The connection to the API server: requests out, answers in, and all of it anew when the server
//! hangs or does not know us any more.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use kube::Config;
use kube::client::{Body, Client};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::access::{self, Access, ClusterError};
use super::causes;
use super::client::client_of;

/// An answered request, or one that was not, for `rest_client_requests_total` and
/// `rest_client_request_duration_seconds`.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The HTTP method.
    pub method: &'static str,
    /// Host and port of the server.
    pub host: String,
    /// What was asked about: `services`, `events`, `version`.
    pub resource: &'static str,
    /// The HTTP status, or `<error>` when there was no answer.
    pub code: String,
    /// Until the headers of the answer were there.
    pub took: Duration,
}

/// Hears of every [`Answered`].
pub type OnAnswer = Arc<dyn Fn(&Answered) + Send + Sync>;

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) resource: &'static str,
    pub(super) path: String,
    pub(super) body: Vec<u8>,
    pub(super) content_type: &'static str,
}

impl Call {
    pub(super) fn get(resource: &'static str, path: impl Into<String>) -> Call {
        Call {
            method: Method::GET,
            resource,
            path: path.into(),
            body: Vec::new(),
            content_type: "application/json",
        }
    }
}

/// Why there is no answer, in words.
#[derive(Debug)]
pub(super) struct Unreached(pub(super) String);

type Building = JoinHandle<Result<Client, ClusterError>>;

/// The connection.
pub(super) struct Link {
    access: Access,
    on_answer: OnAnswer,
    server: String,
    host: String,
    agent: String,
    /// `None` until it is asked for again.
    client: RefCell<Option<Client>>,
    /// The client that is being built, one at a time: a plugin should not be asked four times at
    /// once, nor once more while it has not answered. It cannot be ended from here.
    building: tokio::sync::Mutex<Option<Building>>,
    /// Counts up when answers that are under way are to be given up.
    dropped: watch::Sender<u64>,
}

impl Link {
    /// A connection by this configuration. Nothing is connected yet.
    pub(super) fn new(access: Access, config: &Config, on_answer: OnAnswer) -> Link {
        let url = &config.cluster_url;
        Link {
            access,
            on_answer,
            server: url.to_string().trim_end_matches('/').to_owned(),
            host: url.authority().map(ToString::to_string).unwrap_or_default(),
            agent: agent(),
            client: RefCell::new(None),
            building: tokio::sync::Mutex::default(),
            dropped: watch::Sender::new(0),
        }
    }

    /// The server's URL.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Sends a request and waits for the headers of the answer. Where that is that we are not
    /// known, the next request is sent with credentials that are read anew.
    pub(super) async fn send(
        &self,
        call: &Call,
        patience: Duration,
    ) -> Result<Response<Body>, Unreached> {
        let client = self.client().await?;
        let request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, &self.agent)
            .header(CONTENT_TYPE, call.content_type)
            .body(Body::from(call.body.clone()))
            .map_err(|error| Unreached(error.to_string()))?;
        let asked = Instant::now();
        let answer = timeout(patience, client.send(request)).await;
        let code = match &answer {
            Ok(Ok(answer)) => answer.status().as_str().to_owned(),
            _ => "<error>".to_owned(),
        };
        (self.on_answer)(&Answered {
            method: method_name(&call.method),
            host: self.host.clone(),
            resource: call.resource,
            code,
            took: asked.elapsed(),
        });
        match answer {
            Ok(Ok(answer)) => {
                if answer.status() == StatusCode::UNAUTHORIZED {
                    // Tokens and certificates are read again, and plugins run.
                    self.renew();
                }
                Ok(answer)
            }
            Ok(Err(error)) => Err(self.unreached(&causes::innermost(&error))),
            // Further requests are not to wait for the same connection.
            Err(_) => {
                self.renew();
                let server = &self.server;
                Err(Unreached(format!(
                    "{server} did not answer within {patience:?}"
                )))
            }
        }
    }

    /// Reads the configuration again and connects anew before the next request. Answers that are
    /// under way go on.
    pub(super) fn renew(&self) {
        self.client.borrow_mut().take();
    }

    /// The same, and answers that are under way are given up.
    pub(super) fn drop_all(&self) {
        self.renew();
        self.dropped.send_modify(|count| *count += 1);
    }

    /// Changes when answers that are under way are to be given up.
    pub(super) fn dropped(&self) -> watch::Receiver<u64> {
        self.dropped.subscribe()
    }

    async fn client(&self) -> Result<Client, Unreached> {
        let current = || self.client.borrow().clone();
        if let Some(client) = current() {
            return Ok(client);
        }
        let mut building = self.building.lock().await;
        if let Some(client) = current() {
            return Ok(client);
        }
        let built = building.get_or_insert_with(|| build(self.access.clone()));
        let patience = self.access.patience.plugin;
        let Ok(built) = timeout(patience, built).await else {
            return Err(Unreached(format!(
                "the exec plugin of the kubeconfig has not answered within {patience:?}"
            )));
        };
        *building = None;
        let built = built.map_err(|error| Unreached(error.to_string()))?;
        let client = built.map_err(|error| Unreached(error.to_string()))?;
        self.client.borrow_mut().replace(client.clone());
        Ok(client)
    }

    fn unreached(&self, why: &str) -> Unreached {
        if is_of_tls(why) {
            // Authorities and certificates are replaced as time goes by.
            self.renew();
        }
        let hint = if why.contains("UnknownIssuer") {
            "; its certificate is not of the authority that the kubeconfig (or service account) names: check certificate-authority"
        } else if why.contains("invalid peer certificate") {
            "; check the server's certificate, certificate-authority and tls-server-name"
        } else {
            ""
        };
        Unreached(format!("{} cannot be reached: {why}{hint}", self.server))
    }
}

/// Reads files, and runs a plugin that may take its time.
fn build(access: Access) -> Building {
    tokio::task::spawn_blocking(move || {
        let config = access::config(&access)?;
        client_of(config, &access)
    })
}

/// Who we say we are, in the form that client-go has.
fn agent() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("fairlead/{version} ({})", platform())
}

/// Operating system and architecture as Go calls them: `linux/amd64`.
pub fn platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        other => other,
    };
    format!("{}/{architecture}", std::env::consts::OS)
}

/// Whether one side did not accept the other's certificate.
fn is_of_tls(why: &str) -> bool {
    why.contains("certificate") || why.contains("fatal alert")
}

/// When the server wants to be asked again.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        _ => "GET",
    }
}

/// A path below the server's, percent-encoded where a name may need it.
pub(super) fn segment(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

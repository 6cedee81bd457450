//! The connection to the API server: requests out, answers in, and all of it anew when the server
//! hangs or does not know us any more.

use std::cell::RefCell;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::uri::Scheme;
use http::{Method, Request, Response};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, Client, ClientBuilder, ConfigExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tower::{BoxError, ServiceExt};

use super::access::{self, Access, ClusterError, KEEPALIVE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES};
use super::patience::Patience;

/// Who we say we are, in the form that client-go has.
const AGENT: &str = concat!("fairlead/", env!("CARGO_PKG_VERSION"), " (linux/amd64)");

/// How long an exec plugin may take to say who we are.
const PLUGIN: Duration = Duration::from_mins(1);

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

/// The connection.
pub(super) struct Link {
    access: Access,
    on_answer: OnAnswer,
    server: String,
    host: String,
    /// `None` until it is asked for again.
    client: RefCell<Option<Client>>,
    /// One at a time builds a client: a plugin should not be asked four times at once.
    building: tokio::sync::Mutex<()>,
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
            client: RefCell::new(None),
            building: tokio::sync::Mutex::new(()),
            dropped: watch::Sender::new(0),
        }
    }

    /// The server's URL.
    pub(super) fn server(&self) -> &str {
        &self.server
    }

    /// Sends a request and waits for the headers of the answer.
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
            .header(USER_AGENT, AGENT)
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
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.unreached(&error)),
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
        let _turn = self.building.lock().await;
        if let Some(client) = current() {
            return Ok(client);
        }
        let access = self.access.clone();
        // Files are read, and a plugin may be run that takes its time.
        let built = tokio::task::spawn_blocking(move || {
            let config = access::config(&access)?;
            client_of(config, &access)
        });
        let client = match timeout(PLUGIN, built).await {
            Ok(Ok(built)) => built.map_err(|error| Unreached(error.to_string()))?,
            Ok(Err(error)) => return Err(Unreached(error.to_string())),
            Err(_) => {
                return Err(Unreached(format!(
                    "the exec plugin of the kubeconfig has not answered within {PLUGIN:?}"
                )));
            }
        };
        self.client.borrow_mut().replace(client.clone());
        Ok(client)
    }

    fn unreached(&self, error: &kube::Error) -> Unreached {
        let why = innermost(error);
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

/// Builds a client, which runs an exec plugin if there is one.
pub(super) fn client_of(config: Config, access: &Access) -> Result<Client, ClusterError> {
    let server = config.cluster_url.to_string();
    let unusable = |error: kube::Error| match &access.kubeconfig {
        Some(path) => ClusterError::Kubeconfig {
            path: path.clone(),
            why: chain(&error),
        },
        None => ClusterError::Unusable {
            server: server.clone(),
            why: chain(&error),
        },
    };
    // What kube makes of a proxy is what others of its clients have: a proxy has keepalives of
    // its own.
    if config.proxy_url.is_some() {
        let builder = ClientBuilder::try_from(config).map_err(unusable)?;
        return Ok(builder.build());
    }
    let tcp = tcp(&access.patience);
    if config.cluster_url.scheme() == Some(&Scheme::HTTP) {
        return stack(&config, tcp).map_err(unusable);
    }
    let tls = config.rustls_https_connector_with_connector(tcp);
    tls.and_then(|tls| stack(&config, tls)).map_err(unusable)
}

fn tcp(patience: &Patience) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(patience.connect));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    // Keepalives rest while something sent waits to be acknowledged.
    tcp.set_tcp_user_timeout(Some(KEEPALIVE + KEEPALIVE_INTERVAL * KEEPALIVE_RETRIES));
    tcp
}

fn stack<C>(config: &Config, connector: C) -> Result<Client, kube::Error>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let http = legacy::Client::builder(TokioExecutor::new())
        .build::<_, Body>(connector)
        .map_err(BoxError::from);
    let builder = ClientBuilder::new(http, config.default_namespace.clone())
        .with_layer(&config.extra_headers_layer()?);
    let base = config.base_uri_layer();
    Ok(match config.auth_layer()? {
        Some(auth) => builder.with_layer(&auth).with_layer(&base).build(),
        None => builder.with_layer(&base).build(),
    })
}

fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        _ => "GET",
    }
}

/// The cause at the end of the chain: those before it say that a request failed.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// All causes, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}

/// Whether a plugin has to be run to know who we are.
pub(super) fn needs_plugin(config: &Config) -> bool {
    config.auth_info.exec.is_some() || config.auth_info.auth_provider.is_some()
}

/// A path below the server's, percent-encoded where a name may need it.
pub(super) fn segment(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

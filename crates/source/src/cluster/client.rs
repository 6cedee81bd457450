//! A client of `kube`'s by a configuration: TCP that notices the death of the other side, TLS and
//! credentials as configured.

use std::time::Duration;

use http::uri::Scheme;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::TokioExecutor;
use kube::Config;
use kube::client::{Body, Client, ClientBuilder, ConfigExt};
use tower::{BoxError, ServiceExt};

use super::access::{Access, ClusterError};
use super::causes;
use super::patience::Patience;

/// How soon a dead connection is noticed by the kernel: probes start after this,
const KEEPALIVE: Duration = Duration::from_secs(15);
/// come in this interval,
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// and so many have to go unanswered: 30 s in all.
const KEEPALIVE_RETRIES: u32 = 3;

/// Builds a client, which runs an exec plugin if there is one.
pub(super) fn client_of(config: Config, access: &Access) -> Result<Client, ClusterError> {
    let server = config.cluster_url.to_string();
    let unusable = |error: kube::Error| match &access.kubeconfig {
        Some(path) => ClusterError::Kubeconfig {
            path: path.clone(),
            why: causes::all(&error),
        },
        None => ClusterError::Unusable {
            server: server.clone(),
            why: causes::all(&error),
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

/// Whether a plugin has to be run to know who we are.
pub(super) fn needs_plugin(config: &Config) -> bool {
    config.auth_info.exec.is_some() || config.auth_info.auth_provider.is_some()
}

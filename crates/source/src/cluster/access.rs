//! Which API server, and as whom: command line, kubeconfig and what a pod is given.

use std::path::{Path, PathBuf};

use http::Uri;
use kube::Config;
use kube::config::{InClusterError, Kubeconfig, KubeconfigError};
use thiserror::Error;

use super::patience::Patience;

/// How to reach the API server. With neither a kubeconfig nor a master, as a pod does: by the
/// service account that it was given.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// A kubeconfig file. It is read again whenever the server refuses who we are.
    pub kubeconfig: Option<PathBuf>,
    /// The server's URL, instead of the kubeconfig's. `http://` is assumed when it has no scheme.
    pub master: Option<String>,
    /// How long to wait for what.
    pub patience: Patience,
}

/// Why there is no talking to a cluster.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// The kubeconfig does not exist or cannot be read.
    #[error("the kubeconfig {path} cannot be read: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The kubeconfig is no use.
    #[error("the kubeconfig {path} does not lead to a cluster: {why}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong, naming further files if one of those is.
        why: String,
    },
    /// The master is not a URL.
    #[error("the master {0} is not the URL of a server: write it like https://192.0.2.1:6443")]
    Master(String),
    /// Not a pod, and nothing else said.
    #[error(
        "no cluster is given and this is not a pod of one: give --kubeconfig or --master, or run as a pod with a service account ({0})"
    )]
    NotInCluster(String),
    /// The configuration is understood and cannot be used.
    #[error("the API server at {server} cannot be talked to: {why}")]
    Unusable {
        /// The server's URL.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// There is no thread or runtime to talk from.
    #[error("cannot start talking to the API server: {0}")]
    NotStarted(#[from] std::io::Error),
}

/// Reads the configuration as it is now.
pub(super) fn config(access: &Access) -> Result<Config, ClusterError> {
    let master = access.master.as_deref().filter(|master| !master.is_empty());
    let master = master.map(master_url).transpose()?;
    let mut config = match (&access.kubeconfig, master) {
        (Some(path), master) => of_kubeconfig(path, master.as_ref())?,
        (None, Some(master)) => Config::new(master),
        (None, None) => {
            Config::incluster().map_err(|error| ClusterError::NotInCluster(in_cluster(&error)))?
        }
    };
    config.connect_timeout = Some(access.patience.connect);
    // Attempts are repeated by what asks, which obeys Retry-After.
    config.default_retry = false;
    trim_token(&mut config);
    Ok(config)
}

fn of_kubeconfig(path: &Path, master: Option<&Uri>) -> Result<Config, ClusterError> {
    let broken = |error: KubeconfigError| kubeconfig_error(path, &error);
    let mut kubeconfig = Kubeconfig::read_from(path).map_err(broken)?;
    let stranger = missing_user(&kubeconfig);
    if let Some(master) = master {
        for named in &mut kubeconfig.clusters {
            if let Some(cluster) = &mut named.cluster {
                cluster.server = Some(master.to_string());
                // It belonged to the other server.
                cluster.tls_server_name = None;
            }
        }
    }
    let config = Config::try_from(kubeconfig).map_err(broken)?;
    match stranger {
        None => Ok(config),
        Some(why) => Err(ClusterError::Kubeconfig {
            path: path.to_owned(),
            why,
        }),
    }
}

/// kube takes a user that is not there for nobody, and would ask without credentials.
fn missing_user(kubeconfig: &Kubeconfig) -> Option<String> {
    let current = kubeconfig.current_context.as_ref()?;
    let named = kubeconfig
        .contexts
        .iter()
        .find(|one| one.name == *current)?;
    let user = named.context.as_ref()?.user.as_ref()?;
    let is_there = kubeconfig.auth_infos.iter().any(|one| one.name == *user);
    (!is_there && !user.is_empty())
        .then(|| format!("the context {current} names the user {user}, and there is no such user"))
}

fn kubeconfig_error(path: &Path, error: &KubeconfigError) -> ClusterError {
    let path = path.to_owned();
    match error {
        KubeconfigError::ReadConfig(source, _) => ClusterError::Unreadable {
            path,
            why: source.to_string(),
        },
        KubeconfigError::CurrentContextNotSet => ClusterError::Kubeconfig {
            path,
            why: "current-context is not set".to_owned(),
        },
        KubeconfigError::MissingClusterUrl => ClusterError::Kubeconfig {
            path,
            why: "the cluster of the current context has no server".to_owned(),
        },
        // Its own words show the lines around, which may hold a token or a key.
        KubeconfigError::Parse(error) => ClusterError::Kubeconfig {
            path,
            why: format!("it is not read as YAML: {}", error.without_snippet()),
        },
        _ => ClusterError::Kubeconfig {
            path,
            why: error.to_string(),
        },
    }
}

fn in_cluster(error: &InClusterError) -> String {
    match error {
        InClusterError::ReadEnvironmentVariable(_) => {
            "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set".to_owned()
        }
        _ => error.to_string(),
    }
}

/// client-go takes a master without scheme for plain HTTP.
fn master_url(master: &str) -> Result<Uri, ClusterError> {
    let text = match master.contains("://") {
        true => master.to_owned(),
        false => format!("http://{master}"),
    };
    let url = text.parse::<Uri>().ok();
    url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
        .ok_or_else(|| ClusterError::Master(master.to_owned()))
}

/// kube takes a token file byte by byte, and many end in a line end, which no header may have.
/// Such a token is taken as it is now; it is read again when the server refuses it.
fn trim_token(config: &mut Config) {
    let Some(path) = &config.auth_info.token_file else {
        return;
    };
    let Ok(token) = std::fs::read_to_string(path) else {
        return;
    };
    if token.trim() != token && config.auth_info.token.is_none() {
        config.auth_info.token = Some(token.trim().to_owned().into());
    }
}

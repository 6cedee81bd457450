//! The server as a test has it in hand.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;

use super::builder::Builder;
use super::kubeconfig::{Credentials, Files};
use super::shared::{Settings, Shared};
use super::store::uid;
use super::tls::Certificates;
use super::{ApiServerError, serve};

/// An API server, on a thread of its own. Gone when dropped.
pub struct ApiServer {
    pub(super) shared: Arc<Shared>,
    pub(super) address: SocketAddr,
    files: Files,
    kubeconfig: PathBuf,
    /// The socket of the thread's, to stop and start listening.
    pub(super) listener: TcpListener,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ApiServer {
    /// Starts one with nothing special about it.
    pub fn start() -> Result<ApiServer, ApiServerError> {
        ApiServer::builder().start()
    }

    /// To say how it is to be.
    pub fn builder<'a>() -> Builder<'a> {
        Builder::new()
    }

    pub(super) fn with(
        settings: Settings,
        listener: TcpListener,
    ) -> Result<ApiServer, ApiServerError> {
        let failed = |error| ApiServerError::Listen {
            address: settings.address,
            error,
        };
        let address = listener.local_addr().map_err(failed)?;
        let certificates = match settings.tls {
            true => Some(Certificates::new(address.ip())?),
            false => None,
        };
        let token = token(1);
        let scheme = if settings.tls { "https" } else { "http" };
        let files = Files::new(
            format!("{scheme}://{address}"),
            &token,
            certificates.as_ref(),
        )?;
        let credentials = match settings.authenticate {
            true => Credentials::Token,
            false => Credentials::None,
        };
        let user = files.user(credentials, &token);
        let kubeconfig = files.kubeconfig("kubeconfig", "ca.crt", &user)?;
        let other = listener.try_clone().map_err(failed)?;
        let shared = Arc::new(Shared::new(settings, token));
        let tls = certificates.map(|certificates| certificates.acceptor);
        let (stop, stopped) = oneshot::channel();
        let thread = run(other, tls, shared.clone(), stopped)?;
        Ok(ApiServer {
            shared,
            address,
            files,
            kubeconfig,
            listener,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same, as clients have it.
    pub fn url(&self) -> String {
        let scheme = if self.shared.settings.tls {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// A file by which a client finds it; with the token if one is wanted. There as long as the
    /// server.
    pub fn kubeconfig(&self) -> &std::path::Path {
        &self.kubeconfig
    }

    /// The same with other credentials.
    pub fn kubeconfig_with(&self, credentials: Credentials) -> Result<PathBuf, ApiServerError> {
        let user = self.files.user(credentials, &self.token());
        let name = format!("kubeconfig-{credentials:?}");
        self.files.kubeconfig(&name, "ca.crt", &user)
    }

    /// The same with an authority that does not vouch for the server.
    pub fn kubeconfig_with_wrong_authority(&self) -> Result<PathBuf, ApiServerError> {
        let user = self.files.user(Credentials::Token, &self.token());
        self.files
            .kubeconfig("kubeconfig-wrong", "other-ca.crt", &user)
    }

    /// The certificate of its authority, as PEM. There is a file with TLS only.
    pub fn authority(&self) -> PathBuf {
        self.files.path("ca.crt")
    }

    /// The file with the token, as pods have it.
    pub fn token_file(&self) -> PathBuf {
        self.files.path("token")
    }

    /// The token that is accepted.
    pub fn token(&self) -> String {
        self.shared.state().token.clone()
    }

    /// Accepts another token from now on. The token file and the program of the kubeconfigs still
    /// give the one of before: see [`ApiServer::publish_token`].
    pub fn expire_token(&self) {
        self.shared.change(|state| {
            let number: u64 = state
                .token
                .rsplit('-')
                .next()
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            state.token = token(number + 1);
        });
    }

    /// Gives clients the token that is accepted: in the token file, and by the program.
    pub fn publish_token(&self) -> Result<(), ApiServerError> {
        self.files.write_token(&self.token())
    }

    /// Both: another token from now on, and clients get it when they look again.
    pub fn rotate_token(&self) -> Result<(), ApiServerError> {
        self.expire_token();
        self.publish_token()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // What panicked there has been said.
            let _ = thread.join();
        }
    }
}

/// Starts the thread.
fn run(
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
    shared: Arc<Shared>,
    stopped: oneshot::Receiver<()>,
) -> Result<JoinHandle<()>, ApiServerError> {
    let runtime: Runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ApiServerError::Thread)?;
    let serve = move || {
        runtime.block_on(async move {
            tokio::select! {
                never = serve::accept(listener, tls, shared) => match never {},
                _ = stopped => {}
            }
        });
    };
    thread::Builder::new()
        .name("api-server".to_owned())
        .spawn(serve)
        .map_err(ApiServerError::Thread)
}

/// The token of this number.
fn token(number: u64) -> String {
    format!("lab-{}-{number}", uid(number))
}

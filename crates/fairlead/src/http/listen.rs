//! Taking ports, and connections on them.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::warn;

/// Connections that wait to be taken; what Linux allows by default (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// What is granted to a client. A probe takes milliseconds.
pub(super) const PATIENCE: Patience = Patience {
    request: Duration::from_secs(10),
    lifetime: Duration::from_mins(1),
    farewell: Duration::from_secs(10),
};

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the header of a request, and until it makes the next.
    pub(super) request: Duration,
    /// For all its requests on one connection. Who asks often opens one more.
    pub(super) lifetime: Duration,
    /// For an answer that is on its way by then.
    pub(super) farewell: Duration,
}

/// The longest header of a request in bytes, twice what a proxy commonly allows.
const HEADER_SIZE: usize = 16 * 1024;

/// How long to wait when a connection cannot be taken: most often there is no descriptor left,
/// and there will be one when another connection has ended.
const RESPITE: Duration = Duration::from_millis(100);

/// Listens as Go does: on 0.0.0.0 and on :: in both families.
pub(super) fn anywhere(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return bind(address, true);
    }
    let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
    match bind(both, false) {
        // Without IPv6 there is no such socket, or no such address.
        Err(error) if address.is_ipv4() && lacks_ipv6(&error) => bind(address, true),
        result => result,
    }
}

/// Listens in the address's family alone.
pub(super) fn in_family(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address, true)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT)
}

fn bind(address: SocketAddr, one_family: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(one_family)?;
    }
    // Connections of a process before this one may linger.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The connections of one or more servers: never more than so many. With one more, the oldest
/// has to give way, so that connections that idle keep nobody out.
#[derive(Debug)]
pub(super) struct Connections {
    most: usize,
    patience: Patience,
    open: Mutex<VecDeque<AbortHandle>>,
}

impl Connections {
    /// No connection yet, and never more than `most`.
    pub(super) fn at_most(most: usize, patience: Patience) -> Arc<Connections> {
        Arc::new(Connections {
            most,
            patience,
            open: Mutex::default(),
        })
    }

    /// Takes connections until dropped.
    pub(super) async fn serve(&self, listener: TcpListener, router: Router) {
        let mut told = false;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    told = false;
                    self.take(stream, router.clone());
                }
                Err(error) => {
                    if !told {
                        warn!("connections are not taken: {error}; trying again");
                    }
                    told = true;
                    sleep(RESPITE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, router: Router) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= self.most {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() >= self.most
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(converse(stream, router, self.patience)).abort_handle());
    }
}

/// Answers on one connection until its end or until it has lasted too long.
async fn converse(stream: TcpStream, router: Router, patience: Patience) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.request)
        .max_buf_size(HEADER_SIZE)
        // As Go writes them.
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // How it ends is the client's affair.
    if timeout(patience.lifetime, connection.as_mut())
        .await
        .is_err()
    {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(patience.farewell, connection).await;
    }
}

//! A client for tests, and a router that listens on the loopback device.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::Router;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::listen::{self, Connections, Patience, anywhere};

/// How long an answer may take, on a machine that has more to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does something on a runtime of its own, on a thread of its own, until dropped.
pub(super) struct Running(Option<oneshot::Sender<()>>, Option<thread::JoinHandle<()>>);

impl Running {
    /// Starts it.
    pub(super) fn start<F: Future<Output = ()>>(
        serve: impl FnOnce() -> F + Send + 'static,
    ) -> Running {
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = serve() => {}
                    _ = stopped => {}
                }
            });
        });
        Running(Some(stop), Some(thread))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.take());
        // A panic over there has been printed.
        let _ = self.1.take().map(thread::JoinHandle::join);
    }
}

/// A router at an address of its own.
pub(super) struct Loopback {
    /// Where it listens.
    pub(super) address: SocketAddr,
    _running: Running,
}

impl Loopback {
    /// Serves at most so many connections.
    pub(super) fn serve(router: Router, connections: usize) -> Loopback {
        Loopback::serve_with(router, connections, listen::PATIENCE)
    }

    /// Serves with other times.
    pub(super) fn serve_with(router: Router, connections: usize, patience: Patience) -> Loopback {
        let (tell, told) = std::sync::mpsc::channel();
        let running = Running::start(move || async move {
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let listener = anywhere(any).expect("a port");
            tell.send(listener.local_addr().expect("an address"))
                .expect("a listener");
            let connections: Arc<Connections> = Connections::at_most(connections, patience);
            connections.serve(listener, router).await;
        });
        Loopback {
            address: told.recv().expect("an address"),
            _running: running,
        }
    }

    /// What a request is answered.
    pub(super) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Heard {
        ask(self.address, method, path, headers, body)
    }

    /// What a page is answered.
    pub(super) fn get(&self, path: &str) -> Heard {
        self.ask("GET", path, &[], "")
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) status: u16,
    /// The lines between the first and the empty one.
    pub(super) headers: Vec<String>,
    pub(super) body: String,
}

impl Heard {
    /// Whether there is this line.
    pub(super) fn has(&self, header: &str) -> bool {
        self.headers.iter().any(|line| line == header)
    }
}

/// Asks a server once.
pub(super) fn ask(to: SocketAddr, method: &str, path: &str, headers: &[&str], body: &str) -> Heard {
    let connection = TcpStream::connect(to);
    let answer = connection.and_then(|stream| request(stream, method, path, headers, body));
    answer.expect("an answer")
}

/// Asks on a connection, and ends it.
pub(super) fn request(
    mut stream: TcpStream,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> io::Result<Heard> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n");
    for header in headers {
        head.extend([header, "\r\n"]);
    }
    write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    Ok(Heard {
        status: status
            .and_then(|status| status.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?,
        headers: lines.map(str::to_owned).collect(),
        body: body.to_owned(),
    })
}

//! Accepts connections and hands requests over.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::handler::{Client, handle};
use super::link::Link;
use super::shared::{Condition, Shared};

/// After a failure to accept (no descriptor left, for example) it is tried again so much later.
const RETRY: Duration = Duration::from_millis(10);

/// Accepts for ever.
pub(super) async fn accept(
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) -> Infallible {
    let mut condition = shared.condition.subscribe();
    loop {
        let _ = condition.wait_for(|now| *now != Condition::Down).await;
        // A socket that stopped listening is at its end for whom has watched it: registered anew,
        // it is not.
        if let Ok(listener) = listener.try_clone().and_then(TcpListener::from_std) {
            accept_until_changed(&listener, tls.as_ref(), &shared, &mut condition).await;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Accepts until the server's condition changes, or there is a failure.
async fn accept_until_changed(
    listener: &TcpListener,
    tls: Option<&TlsAcceptor>,
    shared: &Arc<Shared>,
    condition: &mut watch::Receiver<Condition>,
) {
    loop {
        tokio::select! {
            biased;
            _ = condition.changed() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(serve(shared.clone(), tls.cloned(), stream));
                }
                Err(_) => return,
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, tls: Option<TlsAcceptor>, stream: TcpStream) {
    let link = Link::new(stream);
    let reset = link.reset.clone();
    let mut resets = shared.resets.subscribe();
    if *shared.condition.borrow() == Condition::Down {
        // Accepted just before.
        return reset.order();
    }
    let ordered = async {
        let _ = resets.changed().await;
        reset.order();
    };
    tokio::select! {
        _ = talk(shared.clone(), tls, link) => {}
        () = ordered => {}
    }
}

async fn talk(shared: Arc<Shared>, tls: Option<TlsAcceptor>, link: Link) -> io::Result<()> {
    shared.awake().await;
    let mut client = Client {
        reset: link.reset.clone(),
        certified: false,
        pace: None,
    };
    let Some(tls) = tls else {
        return requests(shared, client, link).await;
    };
    let stream = tls.accept(link).await?;
    client.certified = stream.get_ref().1.peer_certificates().is_some();
    requests(shared, client, stream).await
}

async fn requests(
    shared: Arc<Shared>,
    client: Client,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    let service = service_fn(|request| handle(shared.clone(), client.clone(), request));
    http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

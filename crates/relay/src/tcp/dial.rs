//! Calls one endpoint after the other until one answers.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use fairlead_core::route::Target;
use fairlead_kernel::error::CallError;
use fairlead_kernel::transparent::tcp::{self, Call};

use super::connection::{Connection, Open};
use super::socket::{Accepted, Socket};
use crate::counts::Refused;
use crate::entrance::Way;
use crate::places::Place;
use crate::settings::Settings;
use crate::workers::Load;

/// A connection that was accepted.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) stream: Accepted,
    pub(super) address: SocketAddr,
    pub(super) way: Arc<Way>,
    pub(super) settings: Arc<Settings>,
    pub(super) place: Place,
    pub(super) load: Load,
}

/// Why an endpoint was not reached.
#[derive(Debug)]
enum Failure {
    /// It did not answer, or refused.
    Endpoint(io::Error),
    /// It may be well, but this host has no port left to call it from.
    Ports,
    /// This host cannot call anybody.
    Host(CallError),
}

/// The connection to the endpoint that answers first. Without one the caller is reset.
pub(super) async fn dial(caller: Caller) -> Option<Connection> {
    let Caller {
        stream,
        address,
        way,
        settings,
        place,
        load,
    } = caller;
    // Registered at once, so that what it sends meanwhile is known of when the endpoint answers.
    let mut client = Socket::new(stream.take()?).ok()?;
    let counters = &way.serving.counters;
    let speaks = client.has_received();
    let ladder = ladder(address, speaks, &way, &settings);
    match unless_broken(&mut client, ladder).await? {
        Ok((endpoint, target)) => {
            counters.connections.add(1);
            let open = Open::new(target, place, load);
            Some(Connection::new(client, endpoint, open))
        }
        Err(why) => {
            counters.refused(why);
            None
        }
    }
}

/// Waits for something unless a client breaks its connection; then nobody needs it any more. One
/// that only says no more (its FIN) waits for the answer.
async fn unless_broken<T>(client: &mut Socket, done: impl Future<Output = T>) -> Option<T> {
    let mut done = pin!(done);
    poll_fn(|cx| match done.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => client.poll_broken(cx).map(|_| None),
    })
    .await
}

/// As many attempts as there are timeouts, each with an endpoint that has not been tried if there
/// is one. If the client has spoken already, each hears it with the first packet that it may.
async fn ladder(
    client: SocketAddr,
    speaks: bool,
    way: &Way,
    settings: &Settings,
) -> Result<(Socket, Target), Refused> {
    let serving = &way.serving;
    let mut tried = Vec::new();
    for timeout in &settings.dial_timeouts {
        let picked = serving.pick(way.pool, client.ip(), &tried);
        let picked = picked.ok_or(Refused::NoEndpoint)?;
        if !tried.is_empty() {
            serving.counters.dial_retries.add(1);
        }
        let target = picked.target;
        let call = Call {
            mark: settings.own_mark,
            source: picked.shows_client(way.source).then_some(client),
            keepalive: settings.keepalive,
            speaks_at_once: speaks,
        };
        match attempt(&call, target, *timeout).await {
            Ok(endpoint) => {
                serving.connected(target, client.ip());
                return Ok((endpoint, target));
            }
            Err(Failure::Endpoint(error)) => {
                tracing::debug!(%target, %error, "does not answer");
                serving.failed(target, client.ip());
            }
            Err(Failure::Ports) => tracing::debug!(%target, "no port left to call from"),
            Err(Failure::Host(error)) => {
                tracing::debug!(%target, %error, "cannot call");
                break;
            }
        }
        tried.push(target);
    }
    Err(Refused::NoAnswer)
}

async fn attempt(call: &Call, target: Target, timeout: Duration) -> Result<Socket, Failure> {
    let to = SocketAddr::new(target.address, target.port);
    let stream = connect(to, call).map_err(Failure::of)?;
    let endpoint = Socket::new(stream)
        .map_err(|error| Failure::Host(CallError::from_io("epoll_ctl", to.to_string(), &error)))?;
    match answer(&endpoint, timeout).await {
        Ok(()) => Ok(endpoint),
        Err(error) => Err(Failure::Endpoint(error)),
    }
}

/// Waits until an endpoint has answered. One on this node has when the runtime looks for the first
/// time, which saves a timer, and with it a wake-up of the runtime by itself.
async fn answer(endpoint: &Socket, timeout: Duration) -> io::Result<()> {
    tokio::task::yield_now().await;
    let mut connected = pin!(endpoint.connected());
    match poll_fn(|cx| Poll::Ready(connected.as_mut().poll(cx))).await {
        Poll::Ready(done) => done,
        Poll::Pending => tokio::time::timeout(timeout, connected).await?,
    }
}

/// Where the client's address cannot be had, this node's is better than nothing.
fn connect(to: SocketAddr, call: &Call) -> Result<TcpStream, CallError> {
    match tcp::connect(to, call) {
        Err(error)
            if call.source.is_some() && (error.call == "bind" || is_out_of_ports(&error)) =>
        {
            tracing::debug!(%error, "the endpoint sees this node");
            tcp::connect(
                to,
                &Call {
                    source: None,
                    ..*call
                },
            )
        }
        done => done,
    }
}

impl Failure {
    fn of(error: CallError) -> Failure {
        if is_out_of_ports(&error) {
            return Failure::Ports;
        }
        match (error.call, error.errno) {
            ("connect", libc::ENOBUFS | libc::ENOMEM) => Failure::Host(error),
            ("connect", errno) => Failure::Endpoint(io::Error::from_raw_os_error(errno)),
            _ => Failure::Host(error),
        }
    }
}

fn is_out_of_ports(error: &CallError) -> bool {
    error.call == "connect" && error.errno == libc::EADDRNOTAVAIL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_not_blamed_for_what_this_host_has_not() {
        let failure = |call, errno| {
            Failure::of(CallError {
                call,
                object: String::new(),
                errno,
            })
        };
        for (call, errno) in [
            ("socket", libc::EMFILE),
            ("connect", libc::ENOBUFS),
            ("connect", libc::ENOMEM),
        ] {
            assert!(matches!(failure(call, errno), Failure::Host(_)));
        }
        assert!(matches!(
            failure("connect", libc::EADDRNOTAVAIL),
            Failure::Ports
        ));
        assert!(matches!(
            failure("connect", libc::EHOSTUNREACH),
            Failure::Endpoint(_)
        ));
    }
}

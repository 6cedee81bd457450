//! The task of a listener: it accepts and hands on.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use fairlead_kernel::error::CallError;
use fairlead_kernel::transparent::tcp;
use tokio::io::Interest;

use super::connection::Task;
use super::dial::Caller;
use crate::entrance::Entrance;

/// How long nothing is accepted after the system had nothing left for it (descriptors, memory). Who
/// calls meanwhile waits in the kernel's queue.
const PAUSE: Duration = Duration::from_millis(50);

/// A listener for connections. It listens no more when this goes.
#[derive(Debug)]
pub(crate) struct Listening(Arc<Listener>);

/// A socket that listens, in the guise of a stream. The runtime's own listeners register what they
/// accept with the thread that accepts it, not with the one that is to carry it.
type Listener = tokio::net::TcpStream;

/// Listens at an entrance.
pub(crate) fn listen(entrance: &Arc<Entrance>) -> Result<Listening, CallError> {
    let address = entrance.address;
    let listener = tcp::listen(address, &entrance.common.settings().keepalive)?;
    let runtime = &entrance.common.workers.numbered(entrance.worker).runtime;
    let _registering = runtime.enter();
    let listener = Listener::from_std(TcpStream::from(listener))
        .map_err(|error| CallError::from_io("epoll_ctl", address.to_string(), &error))?;
    let listener = Arc::new(listener);
    runtime.spawn(accept(Arc::clone(&listener), Arc::clone(entrance)));
    Ok(Listening(listener))
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Its task has the descriptor too, and closes it when it hears of this.
        if let Err(error) = tcp::stop_listening(&self.0) {
            tracing::warn!(%error, "cannot stop listening");
        }
    }
}

async fn accept(listener: Arc<Listener>, entrance: Arc<Entrance>) {
    let mut is_told = false;
    while listener.readable().await.is_ok() {
        match listener.try_io(Interest::READABLE, || tcp::accept(&listener)) {
            Ok((stream, client)) => {
                is_told = false;
                welcome(stream, client, &entrance);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                if !is_told {
                    tracing::warn!(listener = %entrance.address, %error, "cannot accept");
                }
                is_told = true;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether an error is the misfortune of one connection (accept(2)), and no reason to wait.
fn is_of_one(error: &io::Error) -> bool {
    let own = [libc::ECONNABORTED, libc::EINTR, libc::EPROTO, libc::EPERM];
    error
        .raw_os_error()
        .is_some_and(|errno| own.contains(&errno))
}

/// Hands a connection to a worker, if it may be carried.
fn welcome(stream: TcpStream, client: SocketAddr, entrance: &Entrance) {
    let common = &entrance.common;
    // Rules leave the address alone that it was made to. Whoever called the listener itself has
    // passed none of them.
    let is_direct = stream.local_addr().is_ok_and(|to| to == entrance.address);
    if is_direct && !common.settings().takes_direct {
        return;
    }
    let way = entrance.way();
    let place = match common.places.take(&way.serving) {
        Ok(place) => place,
        Err(why) => {
            way.serving.counters.refused(why);
            // That it cannot be told so is no worse.
            let _ = tcp::reset_when_closed(&stream);
            return;
        }
    };
    let worker = common.workers.least_loaded(entrance.worker);
    let caller = Caller {
        stream,
        address: client,
        way,
        settings: common.settings(),
        place,
        load: worker.load(),
    };
    worker.runtime.spawn(Task::new(caller));
}

//! The task of a connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use fairlead_core::route::Target;

use super::dial::{self, Caller};
use super::half::{Half, Waits};
use super::socket::Socket;
use crate::places::Place;
use crate::workers::Load;

/// Finds an endpoint for a connection and carries it until both sides have said all.
///
/// Not an `async fn`, which would keep room for what it dials with, and room for two connections.
pub(super) enum Task {
    Dials(Pin<Box<dyn Future<Output = Option<Connection>> + Send>>),
    Carries(Connection),
}

impl Task {
    pub(super) fn new(caller: Caller) -> Task {
        Task::Dials(Box::pin(dial::dial(caller)))
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut *self {
                Task::Carries(connection) => return Pin::new(connection).poll(cx),
                Task::Dials(dial) => match ready!(dial.as_mut().poll(cx)) {
                    Some(connection) => *self = Task::Carries(connection),
                    None => return Poll::Ready(()),
                },
            }
        }
    }
}

/// A connection to an endpoint. Both sides are reset if it goes before it is over.
#[derive(Debug)]
pub(super) struct Connection {
    client: Socket,
    endpoint: Socket,
    up: Half,
    down: Half,
    of: Open,
}

/// What a connection takes as long as it is open.
#[derive(Debug)]
pub(super) struct Open {
    target: Target,
    place: Place,
    _load: Load,
}

impl Open {
    /// The endpoint has answered.
    pub(super) fn new(target: Target, place: Place, load: Load) -> Open {
        Open {
            target,
            place,
            _load: load,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.place.serving.ended(self.target);
    }
}

impl Connection {
    pub(super) fn new(client: Socket, endpoint: Socket, of: Open) -> Connection {
        Connection {
            client,
            endpoint,
            up: Half::default(),
            down: Half::default(),
            of,
        }
    }

    fn poll_carry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Connection {
            client,
            endpoint,
            up,
            down,
            of,
        } = self;
        let counters = &of.place.serving.counters;
        // The last direction to end is told by closing.
        if !up.is_over()
            && up
                .poll(cx, client, endpoint, &counters.bytes_from_clients)?
                .is_ready()
            && !down.is_over()
        {
            endpoint.finish()?;
        }
        if !down.is_over()
            && down
                .poll(cx, endpoint, client, &counters.bytes_to_clients)?
                .is_ready()
            && !up.is_over()
        {
            client.finish()?;
        }
        if up.is_over() && down.is_over() {
            return Poll::Ready(Ok(()));
        }
        self.poll_broken(cx)
    }

    /// After it has broken: a side that was reset may have said why before, and nobody has read that
    /// if the other is still speaking.
    fn carry_rest(&mut self) {
        let (client, endpoint) = (&mut self.client, &mut self.endpoint);
        let counters = &self.of.place.serving.counters;
        self.up
            .carry_rest(client, endpoint, &counters.bytes_from_clients);
        self.down
            .carry_rest(endpoint, client, &counters.bytes_to_clients);
    }

    /// A side that nobody reads from or waits for room at may break unheard: the other is slow, or
    /// has half closed. It is listened to for that alone.
    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (up, down) = (self.up.waits(), self.down.waits());
        let is_heard = |from: Waits, to: Waits| from == Waits::Bytes || to == Waits::Room;
        if !is_heard(up, down)
            && let Poll::Ready(error) = self.client.poll_broken(cx)
        {
            return Poll::Ready(Err(error));
        }
        if !is_heard(down, up)
            && let Poll::Ready(error) = self.endpoint.poll_broken(cx)
        {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.poll_carry(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.client.done();
                self.endpoint.done();
            }
            // Whoever has not broken it hears of it by a reset when the sockets go.
            Poll::Ready(Err(error)) => {
                tracing::debug!(endpoint = %self.of.target, %error, "broken");
                self.carry_rest();
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Task>() <= 200, "{}", size_of::<Task>());
    }
}

//! Many requests with few system calls.

use super::{Builder, Socket};
use crate::error::CallError;

/// So many requests go in one datagram. If the kernel refuses them all, what it says fits into the
/// room that a socket has at least: about a KiB is counted for an error, and 208 KiB is the
/// kernel's own `net.core.rmem_default`.
const REQUESTS: usize = 128;

/// What the header of a request is to have.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// `nlmsg_seq`, by which a refusal finds its request.
    pub sequence: u32,
    /// `NLM_F_*`, beside those of the request itself.
    pub flags: i32,
}

/// What came of many requests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipelined {
    /// The size of the requests in bytes.
    pub bytes: usize,
    /// What was refused, in order.
    pub refused: Vec<Refused>,
}

/// A request that the kernel refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// The request's index.
    pub index: usize,
    /// The error number (errno(3)).
    pub errno: i32,
}

impl Socket {
    /// Sends a request for each of `items`, in their order, many in a datagram, and waits until all
    /// were carried out or refused. A request that is refused does not keep those after it from
    /// being carried out (`netlink_rcv_skb` in net/netlink/af_netlink.c).
    ///
    /// `write` writes one message, with the sequence number and the flags that it is given.
    ///
    /// # Errors
    /// Nothing is known of what was carried out.
    pub fn pipeline<T>(
        &mut self,
        items: &[T],
        mut write: impl FnMut(&mut Builder, Head, &T),
    ) -> Result<Pipelined, CallError> {
        let mut pipelined = Pipelined::default();
        for (chunk, start) in items.chunks(REQUESTS).zip((0..).step_by(REQUESTS)) {
            let first = self.peek_sequence();
            let mut builder = Builder::default();
            for (item, left) in chunk.iter().zip((0..chunk.len()).rev()) {
                // Only the last is acknowledged; of the others just errors are told.
                let ack = if left == 0 { libc::NLM_F_ACK } else { 0 };
                let sequence = self.next_sequence();
                let flags = libc::NLM_F_REQUEST | ack;
                write(&mut builder, Head { sequence, flags }, item);
            }
            self.send(builder.as_slice())?;
            pipelined.bytes += builder.len();
            self.refusals(first, chunk.len(), |index, errno| {
                let index = start + index;
                pipelined.refused.push(Refused { index, errno });
            })?;
        }
        Ok(pipelined)
    }

    /// Reads what is said of `count` requests, up to the last one's acknowledgement or error.
    fn refusals(
        &mut self,
        first: u32,
        count: usize,
        mut refused: impl FnMut(usize, i32),
    ) -> Result<(), CallError> {
        loop {
            for message in self.receive()? {
                let index = message.sequence.wrapping_sub(first) as usize;
                let Some(ack) = message.ack().filter(|_| index < count) else {
                    continue;
                };
                if ack.errno != 0 {
                    refused(index, ack.errno);
                }
                if index + 1 == count {
                    return Ok(());
                }
            }
        }
    }
}

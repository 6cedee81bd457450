//! The kernel's table of connections.

use super::wire::{
    CT_DELETE, CT_GET, CT_GET_STATS, parse_count, parse_flow, write_dump, write_filter, write_flow,
    write_stats,
};
use super::{Conntrack, ConntrackError, Deleted, Flow, Query};
use crate::error::CallError;
use crate::netlink::{self, Builder, Message, Request, Socket};

/// How many deletions are sent at once. Each may be answered by an error, and a socket's usual
/// receive buffer (`net.core.rmem_default`, 208 KiB) has room for about 160 small messages.
const DELETIONS: usize = 128;

/// The table of the network namespace that the thread was in that opened this.
#[derive(Debug)]
pub struct ConntrackSocket {
    socket: Socket,
    /// The kernel has not refused to filter yet (it can since Linux 5.8).
    filters: bool,
}

impl ConntrackSocket {
    /// Opens a socket in the network namespace of the calling thread. Needs `CAP_NET_ADMIN`.
    pub fn open() -> Result<Self, ConntrackError> {
        let socket =
            Socket::open(netlink::Protocol::Netfilter).map_err(|error| match error.errno {
                libc::EPROTONOSUPPORT => ConntrackError::Unavailable(error),
                _ => ConntrackError::Call(error),
            })?;
        Ok(Self {
            socket,
            filters: true,
        })
    }

    /// Asks for some flows, and maybe gets others too: most kernels before 5.8 ignore a filter
    /// and tell all.
    fn dump<T: Default>(
        &mut self,
        query: &Query,
        collect: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T, CallError> {
        let request = Request {
            kind: CT_GET,
            flags: 0,
            call: "IPCTNL_MSG_CT_GET",
            object: "flows",
        };
        let filters = self.filters;
        let body = |body: &mut Builder| {
            write_dump(body, query.family);
            if filters {
                write_filter(body, query);
            }
        };
        self.socket.dump(&request, body, collect)
    }

    /// Sends deletions and reads the answers: one for each that failed, and one for the last.
    fn delete_some(&mut self, flows: &[Flow], deleted: &mut Deleted) -> Result<(), CallError> {
        let mut batch = Builder::default();
        let (mut first, mut last) = (None, 0);
        for (index, flow) in flows.iter().enumerate() {
            last = self.socket.next_sequence();
            first.get_or_insert(last);
            let ack = if index + 1 == flows.len() {
                libc::NLM_F_ACK
            } else {
                0
            };
            let flags = libc::NLM_F_REQUEST | ack;
            batch.message(CT_DELETE, flags, last, |body| write_flow(body, flow));
        }
        let Some(first) = first else { return Ok(()) };
        self.socket.send(batch.as_slice())?;
        let mut failures = 0;
        loop {
            for ack in self.socket.receive()?.filter_map(|message| message.ack()) {
                let index = ack.sequence.wrapping_sub(first) as usize;
                let Some(flow) = flows.get(index) else {
                    continue;
                };
                match ack.errno {
                    0 => {}
                    libc::ENOENT => deleted.gone += 1,
                    // Then the kernel has looked at none of them, and answers no other.
                    libc::EPERM => return Err(not_permitted()),
                    errno => deleted.refused.push((*flow, errno)),
                }
                failures += usize::from(ack.errno != 0);
                if ack.sequence == last {
                    deleted.deleted += flows.len() - failures;
                    return Ok(());
                }
            }
        }
    }
}

impl Conntrack for ConntrackSocket {
    fn count(&mut self) -> Result<usize, ConntrackError> {
        let request = Request {
            kind: CT_GET_STATS,
            flags: 0,
            call: "IPCTNL_MSG_CT_GET_STATS",
            object: "flows",
        };
        let read = |count: &mut usize, message: &Message<'_>| {
            *count = parse_count(message).unwrap_or(*count);
        };
        self.socket
            .query(&request, write_stats, read)
            .map_err(unavailable)
    }

    fn flows(
        &mut self,
        query: &Query,
        wanted: &dyn Fn(&Flow) -> bool,
    ) -> Result<Vec<Flow>, ConntrackError> {
        let read = |flows: &mut Vec<Flow>, message: &Message<'_>| {
            let flow = parse_flow(message, query.protocol);
            flows.extend(flow.filter(|flow| query.asks_for(flow) && wanted(flow)));
        };
        let mut flows = self.dump(query, read);
        if self.filters && flows.as_ref().is_err_and(not_understood) {
            self.filters = false;
            flows = self.dump(query, read);
        }
        flows.map_err(unavailable)
    }

    fn delete(&mut self, flows: &[Flow]) -> Result<Deleted, ConntrackError> {
        let mut deleted = Deleted::default();
        for some in flows.chunks(DELETIONS) {
            self.delete_some(some, &mut deleted)?;
        }
        Ok(deleted)
    }
}

fn unavailable(error: CallError) -> ConntrackError {
    // `nfnetlink_rcv_msg` says so for a subsystem that nothing registered.
    if not_understood(&error) {
        ConntrackError::Unavailable(error)
    } else {
        ConntrackError::Call(error)
    }
}

fn not_understood(error: &CallError) -> bool {
    matches!(error.errno, libc::EINVAL | libc::EOPNOTSUPP)
}

fn not_permitted() -> CallError {
    CallError {
        call: "IPCTNL_MSG_CT_DELETE",
        object: "flows".into(),
        errno: libc::EPERM,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::conntrack::{Family, Protocol};
    use crate::netns::Netns;

    #[test]
    fn the_kernel_filters_and_without_that_the_flows_are_the_same() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let in_netns = || {
            let (four, six) = ("192.0.2.1", "2001:db8::1");
            for (protocol, from, to, port, state) in [
                ("udp", four, "192.0.2.2", 53, ""),
                ("udp", four, "192.0.2.2", 54, ""),
                ("udp", four, "192.0.2.3", 53, ""),
                ("tcp", four, "192.0.2.2", 53, "--state LISTEN"),
                ("udp", six, "2001:db8::2", 53, ""),
                ("udp", six, "2001:db8::3", 53, ""),
                ("udp", six, "2001:db8::2", 54, ""),
                ("udp", six, "2001:db8::2", 55, ""),
            ] {
                let flow = format!("-s {from} -d {to} --sport 9 --dport {port} -t 60");
                let args = format!("-I -p {protocol} {flow} {state}");
                let status = Command::new("conntrack")
                    .args(args.split_whitespace())
                    .status();
                assert!(status.unwrap().success());
            }
            let mut conntrack = ConntrackSocket::open().unwrap();
            assert_eq!(conntrack.count().unwrap(), 8);
            let queries = |family, to: &str| {
                let udp = Query::all(family, Protocol::Udp);
                let (address, port) = (Some(to.parse().unwrap()), Some(53));
                let both = Query {
                    address,
                    port,
                    ..udp
                };
                [udp, Query { address, ..udp }, Query { port, ..udp }, both]
            };
            // What is asked for, and what the kernel tells: of IPv6 it cannot tell addresses apart.
            let rows = [
                (Family::V4, "192.0.2.2", [3, 2, 2, 1], [3, 2, 2, 1]),
                (Family::V6, "2001:db8::2", [4, 3, 2, 1], [4, 4, 2, 2]),
                (Family::V6, "2001:db8::9", [4, 0, 2, 0], [4, 4, 2, 2]),
            ];
            let queries = rows.into_iter().flat_map(|(family, to, wanted, told)| {
                queries(family, to).into_iter().zip(wanted).zip(told)
            });
            for ((query, wanted), expected) in queries {
                for filters in [true, false] {
                    conntrack.filters = filters;
                    let count = |told: &mut usize, _: &Message<'_>| *told += 1;
                    let told = conntrack.dump(&query, count).unwrap();
                    // Each family has four.
                    assert_eq!(told, if filters { expected } else { 4 }, "{query:?}");
                    let flows = conntrack.flows(&query, &|_| true).unwrap();
                    assert_eq!(flows.len(), wanted, "{query:?}");
                }
            }
        };
        Netns::anonymous().unwrap().run(in_netns).unwrap();
    }
}

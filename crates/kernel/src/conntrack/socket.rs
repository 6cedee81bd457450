//! The kernel's table of connections.

use super::wire::{CT_DELETE, CT_GET, parse_flow, write_dump, write_filter, write_flow};
use super::{Conntrack, ConntrackError, Deleted, Family, Flow, Protocol};
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

    /// Asks for the flows of one protocol, and maybe gets those of others too: most kernels
    /// before 5.8 ignore a filter and tell all.
    fn dump<T: Default>(
        &mut self,
        family: Family,
        protocol: Protocol,
        collect: impl FnMut(&mut T, &Message<'_>),
    ) -> Result<T, CallError> {
        let request = Request {
            kind: CT_GET,
            flags: 0,
            call: "IPCTNL_MSG_CT_GET",
            object: "all flows",
        };
        let filters = self.filters;
        let body = |body: &mut Builder| {
            write_dump(body, family);
            if filters {
                write_filter(body, protocol);
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
    fn flows(
        &mut self,
        family: Family,
        protocol: Protocol,
        wanted: &dyn Fn(&Flow) -> bool,
    ) -> Result<Vec<Flow>, ConntrackError> {
        let read = |flows: &mut Vec<Flow>, message: &Message<'_>| {
            flows.extend(parse_flow(message, protocol).filter(|flow| wanted(flow)));
        };
        let mut flows = self.dump(family, protocol, read);
        if self.filters && flows.as_ref().is_err_and(not_understood) {
            self.filters = false;
            flows = self.dump(family, protocol, read);
        }
        flows.map_err(|error| {
            // `nfnetlink_rcv_msg` says so for a subsystem that nothing registered.
            if not_understood(&error) {
                ConntrackError::Unavailable(error)
            } else {
                ConntrackError::Call(error)
            }
        })
    }

    fn delete(&mut self, flows: &[Flow]) -> Result<Deleted, ConntrackError> {
        let mut deleted = Deleted::default();
        for some in flows.chunks(DELETIONS) {
            self.delete_some(some, &mut deleted)?;
        }
        Ok(deleted)
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
    use crate::netns::Netns;

    #[test]
    fn the_kernel_filters_and_without_that_the_flows_are_the_same() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let in_netns = || {
            for (protocol, state) in [("udp", ""), ("tcp", "--state LISTEN")] {
                let flow = "-s 192.0.2.1 -d 192.0.2.2 --sport 9 --dport 53 -t 60";
                let args = format!("-I -p {protocol} {flow} {state}");
                let status = Command::new("conntrack")
                    .args(args.split_whitespace())
                    .status();
                assert!(status.unwrap().success());
            }
            let mut conntrack = ConntrackSocket::open().unwrap();
            [true, false].map(|filters| {
                conntrack.filters = filters;
                let count = |told: &mut usize, _: &Message<'_>| *told += 1;
                let told = conntrack.dump(Family::V4, Protocol::Udp, count).unwrap();
                (
                    told,
                    conntrack
                        .flows(Family::V4, Protocol::Udp, &|_| true)
                        .unwrap(),
                )
            })
        };
        let [filtered, unfiltered] = Netns::anonymous().unwrap().run(in_netns).unwrap();
        assert_eq!((filtered.0, unfiltered.0), (1, 2));
        assert_eq!(filtered.1.len(), 1);
        assert_eq!(filtered.1, unfiltered.1);
    }
}

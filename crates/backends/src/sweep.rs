//! Deletes tracked connections that have outlived what they were made for.

use std::time::{Duration, Instant};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::conntrack::{Flow, NodePortReach, Search, Suspects};
use fairlead_core::model::Destination;
use fairlead_core::route::Target;
use fairlead_kernel::conntrack::{self, Conntrack, ConntrackError, Query};

/// What came of looking through the connections of a family.
#[derive(Debug)]
pub struct Swept {
    /// How many were deleted.
    pub deleted: usize,
    /// Those that are stale and still there, with the error number (errno(3)).
    pub refused: Vec<(conntrack::Flow, i32)>,
    /// How long it took.
    pub took: Duration,
}

/// Deletes the stale connections of a family. What it costs depends on the number of connections,
/// not on that of Services.
///
/// # Errors
/// The table of connections cannot be read or written. Some may be deleted by then; to do it
/// again does no harm.
pub fn sweep(
    conntrack: &mut impl Conntrack,
    family: Family,
    suspects: &Suspects,
    node_ports: &NodePortReach,
) -> Result<Swept, ConntrackError> {
    let started = Instant::now();
    let (mut deleted, mut refused) = (0, Vec::new());
    let connections = conntrack.count()?;
    for search in suspects.searches(family, connections) {
        let query = query(family, search);
        let stale = conntrack.flows(&query, &|flow| {
            suspects.is_stale(&as_decided_on(flow), node_ports)
        })?;
        let outcome = conntrack.delete(&stale)?;
        deleted += outcome.deleted;
        refused.extend(outcome.refused);
    }
    let took = started.elapsed();
    Ok(Swept {
        deleted,
        refused,
        took,
    })
}

fn query(of: Family, search: Search) -> Query {
    let of = kernel_family(of);
    match search {
        Search::All(protocol) => Query::all(of, kernel_protocol(protocol)),
        Search::Destination(Destination::Address(address, protocol, port)) => Query {
            address: Some(address),
            port: Some(port),
            ..Query::all(of, kernel_protocol(protocol))
        },
        Search::Destination(Destination::NodePort(_, protocol, port)) => Query {
            port: Some(port),
            ..Query::all(of, kernel_protocol(protocol))
        },
    }
}

fn as_decided_on(flow: &conntrack::Flow) -> Flow {
    Flow {
        protocol: match flow.protocol {
            conntrack::Protocol::Tcp => Protocol::Tcp,
            conntrack::Protocol::Udp => Protocol::Udp,
            conntrack::Protocol::Sctp => Protocol::Sctp,
        },
        asked: Target {
            address: flow.original.dst,
            port: flow.original.dport,
        },
        answers: Target {
            address: flow.reply.src,
            port: flow.reply.sport,
        },
    }
}

fn kernel_family(family: Family) -> conntrack::Family {
    match family {
        Family::V4 => conntrack::Family::V4,
        Family::V6 => conntrack::Family::V6,
    }
}

fn kernel_protocol(protocol: Protocol) -> conntrack::Protocol {
    match protocol {
        Protocol::Tcp => conntrack::Protocol::Tcp,
        Protocol::Udp => conntrack::Protocol::Udp,
        Protocol::Sctp => conntrack::Protocol::Sctp,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use fairlead_kernel::conntrack::{FakeConntrack, Tuple};

    use super::*;

    const SERVICES: u8 = 50;
    const CLIENTS: u16 = 4;

    fn service(index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, 0, index)
    }

    fn pod(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, 0, last)
    }

    fn flow(
        protocol: conntrack::Protocol,
        client: u16,
        to: Ipv4Addr,
        pod: Ipv4Addr,
    ) -> conntrack::Flow {
        let tuple = |src: Ipv4Addr, dst: Ipv4Addr, sport, dport| Tuple {
            src: src.into(),
            dst: dst.into(),
            sport,
            dport,
        };
        // The kernel lets no two flows be answered alike.
        let from = Ipv4Addr::new(10, 244, 9, to.octets()[3]);
        conntrack::Flow {
            protocol,
            original: tuple(from, to, 1024 + client, 53),
            reply: tuple(pod, from, 5353, 1024 + client),
            dnat: true,
            zone: 0,
            id: None,
        }
    }

    /// Every client asked every Service by every protocol; half were answered by each pod.
    fn table() -> FakeConntrack {
        let mut table = FakeConntrack::default();
        for protocol in [
            conntrack::Protocol::Tcp,
            conntrack::Protocol::Udp,
            conntrack::Protocol::Sctp,
        ] {
            for client in 0..CLIENTS {
                for index in 0..SERVICES {
                    let pod = pod(1 + (client % 2) as u8);
                    table.insert(flow(protocol, client, service(index), pod));
                }
            }
        }
        table
    }

    /// These Services, which one pod serves.
    fn served_by_one(services: impl Iterator<Item = u8>, protocols: &[Protocol]) -> Suspects {
        let mut suspects = Suspects::default();
        let address = IpAddr::from(pod(1));
        for index in services {
            let at =
                |protocol: &Protocol| Destination::Address(service(index).into(), *protocol, 53);
            let serving = vec![Target {
                address,
                port: 5353,
            }];
            suspects.insert(protocols.iter().map(at), serving);
        }
        suspects
    }

    fn swept(table: &mut FakeConntrack, suspects: &Suspects) -> Swept {
        sweep(table, Family::V4, suspects, &NodePortReach::default()).unwrap()
    }

    #[test]
    fn many_services_cost_one_look_for_each_protocol() {
        let mut table = table();
        let all = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let suspects = served_by_one(0..SERVICES, &all);
        let stale = usize::from(CLIENTS / 2) * usize::from(SERVICES);
        let (before, swept) = (table.all().len(), swept(&mut table, &suspects));
        assert_eq!((swept.deleted, table.dumps()), (2 * stale, 2));
        assert_eq!(table.all().len(), before - swept.deleted);
        let other = conntrack::Protocol::Tcp;
        let is_right = |flow: &conntrack::Flow| flow.protocol == other || flow.reply.src == pod(1);
        assert!(table.all().iter().all(is_right));
    }

    #[test]
    fn one_service_is_looked_for_alone() {
        let mut table = table();
        let suspects = served_by_one(7..8, &[Protocol::Udp]);
        let swept = swept(&mut table, &suspects);
        assert_eq!(
            (swept.deleted, table.dumps()),
            (usize::from(CLIENTS / 2), 1)
        );
        let gone = flow(conntrack::Protocol::Udp, 1, service(7), pod(2));
        assert!(
            table
                .all()
                .iter()
                .all(|flow| flow.original != gone.original || flow.protocol != gone.protocol)
        );
    }

    #[test]
    fn each_family_is_swept_alone() {
        let mut table = table();
        let six = |last| IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        let asked = Destination::Address(six(10), Protocol::Udp, 53);
        let mut suspects = served_by_one(0..SERVICES, &[Protocol::Udp]);
        let serving = Target {
            address: six(1),
            port: 5353,
        };
        suspects.insert([asked], vec![serving]);
        for last in [1, 2] {
            let template = flow(conntrack::Protocol::Udp, last, service(0), pod(1));
            let flow = conntrack::Flow {
                original: Tuple {
                    src: six(99),
                    dst: six(10),
                    ..template.original
                },
                reply: Tuple {
                    src: six(last),
                    dst: six(99),
                    ..template.reply
                },
                ..template
            };
            assert!(table.insert(flow).is_some());
        }
        let before = table.all().len();
        let reach = NodePortReach::default();
        let swept = sweep(&mut table, Family::V6, &suspects, &reach).unwrap();
        assert_eq!((swept.deleted, table.all().len()), (1, before - 1));
        let left = table
            .all()
            .iter()
            .filter(|flow| flow.original.dst == six(10));
        assert_eq!(
            left.map(|flow| flow.reply.src).collect::<Vec<_>>(),
            [six(1)]
        );
    }

    #[test]
    fn a_family_without_suspects_is_not_looked_at() {
        let mut table = table();
        let suspects = served_by_one(0..SERVICES, &[Protocol::Udp]);
        let reach = NodePortReach::default();
        let swept = sweep(&mut table, Family::V6, &suspects, &reach).unwrap();
        assert_eq!((swept.deleted, table.dumps()), (0, 0));
    }
}

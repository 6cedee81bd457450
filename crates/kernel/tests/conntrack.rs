//! Flows of the real kernel, made by real packets in a namespace of their own.

mod privilege;

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fairlead_kernel::conntrack::{Conntrack, ConntrackSocket, Family, Flow, Protocol, Query};
use fairlead_kernel::link::{Route, Rtnetlink};
use fairlead_kernel::netns::Netns;

/// Flows are tracked, and what is sent to 203.0.113.1 and 2001:db8:1::1 goes to this host.
const RULES: &str = "
    table inet test {
        chain track { type filter hook output priority 0; ct state invalid counter; }
        chain translate {
            type nat hook output priority -100;
            ip daddr 203.0.113.1 udp dport 53 dnat ip to 192.0.2.1:5353
            ip6 daddr 2001:db8:1::1 udp dport 53 dnat ip6 to [2001:db8::1]:5353
        }
    }";

/// Does some work in a namespace whose loopback device has addresses and whose flows are tracked.
fn in_a_namespace(work: impl FnOnce() + Send) {
    if !privilege::is_root() {
        return;
    }
    Netns::anonymous()
        .unwrap()
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            rtnetlink.set_up("lo").unwrap();
            for address in ["192.0.2.1/32", "2001:db8::1/128"] {
                rtnetlink
                    .add_address("lo", address.parse().unwrap())
                    .unwrap();
            }
            for destination in ["203.0.113.0/24", "2001:db8:1::/64"] {
                let route = Route::to(destination.parse().unwrap()).dev("lo");
                rtnetlink.add_route(&route).unwrap();
            }
            run("nft", &["-f", "-"], RULES);
            work();
        })
        .unwrap();
}

fn run(program: &str, args: &[&str], input: &str) {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{program} {args:?}");
}

/// Sends a datagram to each destination from one socket.
fn send(from: &str, to: impl IntoIterator<Item = SocketAddr>) -> SocketAddr {
    let socket = UdpSocket::bind((from, 0)).unwrap();
    for to in to {
        socket.send_to(b"x", to).unwrap();
    }
    socket.local_addr().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn all(conntrack: &mut ConntrackSocket, family: Family, protocol: Protocol) -> Vec<Flow> {
    let mut flows = conntrack
        .flows(&Query::all(family, protocol), &|_| true)
        .unwrap();
    flows.sort_by_key(|flow| (flow.destination(), flow.zone));
    flows
}

#[test]
fn a_translated_flow_is_listed_with_both_its_tuples() {
    in_a_namespace(|| {
        let mut conntrack = ConntrackSocket::open().unwrap();
        for (family, from, to, really) in [
            (Family::V4, "192.0.2.1", "203.0.113.1:53", "192.0.2.1:5353"),
            (
                Family::V6,
                "2001:db8::1",
                "[2001:db8:1::1]:53",
                "[2001:db8::1]:5353",
            ),
        ] {
            let client = send(from, [address(to)]);
            let flows = all(&mut conntrack, family, Protocol::Udp);
            let [flow] = flows[..] else {
                panic!("one flow, not {flows:#?}")
            };
            assert_eq!(
                (flow.original.src, flow.original.sport),
                (client.ip(), client.port())
            );
            assert_eq!(flow.destination(), address(to));
            assert_eq!(flow.translated_destination(), Some(address(really)));
            assert_eq!(
                (flow.reply.dst, flow.reply.dport),
                (client.ip(), client.port())
            );
            assert!(flow.zone == 0 && flow.id.is_some() && flow.family() == family);
        }
    });
}

#[test]
fn a_flow_that_is_not_translated_says_so() {
    in_a_namespace(|| {
        send("192.0.2.1", [address("203.0.113.9:53")]);
        let flows = all(
            &mut ConntrackSocket::open().unwrap(),
            Family::V4,
            Protocol::Udp,
        );
        assert_eq!(flows.len(), 1);
        assert_eq!(flows[0].translated_destination(), None);
    });
}

#[test]
fn each_protocol_and_family_is_listed_alone() {
    in_a_namespace(|| {
        let mut conntrack = ConntrackSocket::open().unwrap();
        send("192.0.2.1", [address("203.0.113.9:53")]);
        let listener = TcpListener::bind("192.0.2.1:80").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let sctp = "-I -p sctp -s 192.0.2.1 -d 203.0.113.9 --sport 9 --dport 36412 \
                    --state ESTABLISHED --orig-vtag 1 --reply-vtag 2 -t 60";
        run(
            "conntrack",
            &sctp.split_whitespace().collect::<Vec<_>>(),
            "",
        );
        for (protocol, port) in [
            (Protocol::Udp, 53),
            (Protocol::Tcp, 80),
            (Protocol::Sctp, 36412),
        ] {
            let flows = all(&mut conntrack, Family::V4, protocol);
            let ports: Vec<_> = flows.iter().map(|flow| flow.original.dport).collect();
            assert_eq!(ports, [port], "{flows:#?}");
            assert_eq!(flows[0].protocol, protocol);
            assert!(all(&mut conntrack, Family::V6, protocol).is_empty());
            let deleted = conntrack.delete(&flows).unwrap();
            assert_eq!(deleted.deleted, 1, "{deleted:?}");
            assert!(all(&mut conntrack, Family::V4, protocol).is_empty());
        }
    });
}

#[test]
fn only_the_given_flows_are_deleted() {
    in_a_namespace(|| {
        let mut conntrack = ConntrackSocket::open().unwrap();
        send(
            "192.0.2.1",
            (1..=9).map(|last| SocketAddr::from(([203, 0, 113, last], 53))),
        );
        let flows = all(&mut conntrack, Family::V4, Protocol::Udp);
        assert_eq!(flows.len(), 9);
        // The last is in another zone, so it does not exist.
        let elsewhere = Flow {
            zone: 4,
            id: None,
            ..flows[6]
        };
        let deleted = conntrack
            .delete(&[flows[0], flows[4], flows[0], elsewhere])
            .unwrap();
        assert_eq!(
            (deleted.deleted, deleted.gone, deleted.refused.len()),
            (2, 2, 0)
        );
        let mut expected = flows.clone();
        expected.retain(|flow| *flow != flows[0] && *flow != flows[4]);
        assert_eq!(all(&mut conntrack, Family::V4, Protocol::Udp), expected);
        // None, then all.
        assert_eq!(conntrack.delete(&[]).unwrap().deleted, 0);
        assert_eq!(all(&mut conntrack, Family::V4, Protocol::Udp), expected);
        assert_eq!(conntrack.delete(&expected).unwrap().deleted, expected.len());
        assert_eq!(all(&mut conntrack, Family::V4, Protocol::Udp), []);
    });
}

#[test]
fn a_flow_with_another_id_is_another_one() {
    in_a_namespace(|| {
        let mut conntrack = ConntrackSocket::open().unwrap();
        send("192.0.2.1", [address("203.0.113.1:53")]);
        let flows = all(&mut conntrack, Family::V4, Protocol::Udp);
        let earlier = Flow {
            id: flows[0].id.map(|id| id ^ 1),
            ..flows[0]
        };
        assert_eq!(conntrack.delete(&[earlier]).unwrap().gone, 1);
        assert_eq!(all(&mut conntrack, Family::V4, Protocol::Udp), flows);
    });
}

#[test]
fn equal_flows_in_other_zones_are_kept_apart() {
    in_a_namespace(|| {
        for zone in ["0", "5"] {
            let udp = "-I -p udp -s 192.0.2.1 -d 203.0.113.9 --sport 9 --dport 53 -t 60 --zone";
            let mut args: Vec<_> = udp.split_whitespace().collect();
            args.push(zone);
            run("conntrack", &args, "");
        }
        let mut conntrack = ConntrackSocket::open().unwrap();
        let flows = all(&mut conntrack, Family::V4, Protocol::Udp);
        assert_eq!(
            flows.iter().map(|flow| flow.zone).collect::<Vec<_>>(),
            [0, 5]
        );
        assert_eq!(conntrack.delete(&flows[1..]).unwrap().deleted, 1);
        assert_eq!(all(&mut conntrack, Family::V4, Protocol::Udp), flows[..1]);
    });
}

#[test]
fn twenty_thousand_flows_are_listed_and_deleted_quickly() {
    in_a_namespace(|| {
        const FLOWS: usize = 20_000;
        let _server = UdpSocket::bind("0.0.0.0:53").unwrap();
        send(
            "127.0.0.1",
            (0..FLOWS as u32)
                .map(|number| SocketAddr::from((Ipv4Addr::from_bits(0x7f01_0000 + number), 53))),
        );
        let mut conntrack = ConntrackSocket::open().unwrap();
        let begin = Instant::now();
        let few =
            |flow: &Flow| matches!(flow.original.dst, IpAddr::V4(dst) if dst.octets()[3] == 7);
        let wanted = conntrack
            .flows(&Query::all(Family::V4, Protocol::Udp), &few)
            .unwrap();
        let listed = begin.elapsed();
        assert_eq!(wanted.len(), FLOWS.div_ceil(256));
        let flows = all(&mut conntrack, Family::V4, Protocol::Udp);
        assert_eq!(flows.len(), FLOWS);
        let begin = Instant::now();
        let deleted = conntrack.delete(&flows[1..]).unwrap();
        assert_eq!((deleted.deleted, deleted.gone), (FLOWS - 1, 0));
        assert_eq!(all(&mut conntrack, Family::V4, Protocol::Udp), flows[..1]);
        // All are gone but one: as many errors as there are deletions must not be too many.
        assert_eq!(conntrack.delete(&flows).unwrap().gone, FLOWS - 1);
        let deleted = begin.elapsed();
        println!("{FLOWS} flows: listed in {listed:?}, deleted twice in {deleted:?}");
        // Far more than it takes, for a machine that is busy with other tests.
        assert!(listed < Duration::from_secs(2) && deleted < Duration::from_secs(10));
    });
}

#[test]
fn without_the_right_nothing_is_listed_or_deleted() {
    in_a_namespace(|| {
        send("192.0.2.1", [address("203.0.113.9:53")]);
        let flows = all(
            &mut ConntrackSocket::open().unwrap(),
            Family::V4,
            Protocol::Udp,
        );
        privilege::give_up_capabilities();
        let mut conntrack = ConntrackSocket::open().unwrap();
        let refused = conntrack
            .flows(&Query::all(Family::V4, Protocol::Udp), &|_| true)
            .unwrap_err();
        assert!(
            refused.to_string().contains("IPCTNL_MSG_CT_GET"),
            "{refused}"
        );
        // More than are sent at once, and the kernel answers only the first.
        let refused = conntrack.delete(&flows.repeat(300)).unwrap_err();
        assert!(
            refused.to_string().contains("IPCTNL_MSG_CT_DELETE"),
            "{refused}"
        );
    });
}

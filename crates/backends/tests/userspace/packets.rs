//! Packets that are not the first of their connection, and those that are nobody's business here.

use std::net::{IpAddr, SocketAddr};

use fairlead_core::address::Protocol;
use fairlead_core::api::Change;

use crate::build::{service, slice};
use crate::node::{Fakes, HOST, Node};
use crate::oracle::host;
use crate::walk::{Connection, End, Packet};

const PORTAL: u32 = 0x1000;
const OWN: u32 = 0x4000;
const SERVICE: &str = "10.96.0.1:80";
const POD: &str = "10.1.0.200";
const ICMP: u8 = 1;

fn web() -> [Change; 2] {
    let web = service("web", "10.96.0.1")
        .port("tcp", Protocol::Tcp, 80)
        .port("udp", Protocol::Udp, 80);
    let slice =
        slice("web-a", "web")
            .port("tcp", Protocol::Tcp, 8080)
            .port("udp", Protocol::Udp, 8080);
    [web.into(), slice.endpoints(&["10.1.0.1 here"]).into()]
}

/// What becomes of packets that come in, or that this host sends, where [`web`] is served.
fn ends(packets: impl IntoIterator<Item = Packet>, arriving: bool) -> Vec<End> {
    let mut node = Node::settled(Fakes::default(), web());
    let host = host(&mut node);
    let end = |mut packet| match arriving {
        true => host.arrives(&mut packet),
        false => host.sends(&mut packet),
    };
    packets.into_iter().map(end).collect()
}

fn packet(protocol: Protocol, from: &str, to: &str, connection: Connection) -> Packet {
    let to: SocketAddr = to.parse().unwrap();
    let from: IpAddr = from.parse().unwrap();
    Packet {
        connection,
        ..Packet::first(protocol, from, to)
    }
}

fn established(mark: u32) -> Connection {
    Connection {
        mark,
        established: true,
        ..Connection::default()
    }
}

fn answer(mark: u32) -> Connection {
    Connection {
        reply: true,
        ..established(mark)
    }
}

#[test]
fn what_a_connection_brings_later_finds_its_socket_even_without_its_service() {
    let to_service = packet(Protocol::Tcp, POD, SERVICE, established(PORTAL));
    let to_none = packet(Protocol::Tcp, POD, "10.96.0.9:80", established(PORTAL));
    assert_eq!(ends([to_service, to_none], true), [End::Here, End::Here]);
    let to_service = packet(Protocol::Tcp, HOST[0], SERVICE, established(PORTAL));
    let to_none = packet(Protocol::Tcp, HOST[0], "10.96.0.9:80", established(PORTAL));
    assert_eq!(ends([to_service, to_none], false), [End::Here, End::Here]);
}

/// Routing tells them apart by it.
#[test]
fn what_this_node_sends_to_a_service_has_both_marks() {
    let mut node = Node::settled(Fakes::default(), web());
    let host = host(&mut node);
    for connection in [Connection::default(), established(PORTAL)] {
        let mut sent = packet(Protocol::Tcp, HOST[0], SERVICE, connection);
        let mut came = packet(Protocol::Tcp, POD, SERVICE, connection);
        host.sends(&mut sent);
        host.arrives(&mut came);
        assert_eq!((sent.mark, came.mark), (PORTAL | OWN, PORTAL));
    }
}

#[test]
fn each_datagram_is_brought_to_its_listener() {
    let datagram = packet(Protocol::Udp, POD, SERVICE, established(PORTAL));
    let own = packet(Protocol::Udp, HOST[0], SERVICE, established(PORTAL));
    let ends = [ends([datagram], true), ends([own], false)].concat();
    assert!(matches!(ends[..], [End::Listener(one), End::Listener(other)] if one == other));
}

/// Its client would go on sending to nobody, or to whom this host passes on what it does not know.
#[test]
fn a_datagram_that_no_listener_is_for_any_more_is_refused() {
    let of = |from, to, mark| packet(Protocol::Udp, from, to, established(mark));
    let mut node = Node::settled(Fakes::default(), web());
    let empty = slice("web-a", "web").port("udp", Protocol::Udp, 8080);
    node.change([empty.into()]);
    let host = host(&mut node);
    // Whose Service has no endpoint any more, no such port, and no Service at all.
    for (to, end) in [
        (SERVICE, End::Refused),
        ("10.96.0.1:81", End::Refused),
        ("10.96.0.9:80", End::Onward),
    ] {
        assert_eq!(host.arrives(&mut of(POD, to, PORTAL)), end, "{to}");
        assert_eq!(host.sends(&mut of(HOST[0], to, PORTAL)), end, "{to}");
        // It was never ours.
        assert_eq!(host.arrives(&mut of(POD, to, 0)), End::Onward, "{to}");
    }
    // Connections go on.
    let mut tcp = packet(Protocol::Tcp, POD, SERVICE, established(PORTAL));
    assert_eq!(host.arrives(&mut tcp), End::Here);
}

/// Its endpoint has it, whoever that is: this host, a load balancer before it was told of.
#[test]
fn a_connection_that_is_older_than_its_service_goes_on() {
    let theirs = packet(Protocol::Tcp, POD, SERVICE, established(0));
    assert_eq!(ends([theirs], true), [End::Onward]);
    let own = packet(Protocol::Tcp, HOST[0], SERVICE, established(0));
    assert_eq!(ends([own], false), [End::Onward]);
}

#[test]
fn what_another_mode_has_translated_goes_on() {
    let translated = Connection {
        translated: true,
        ..established(0)
    };
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let packet = |from| packet(protocol, from, SERVICE, translated);
        assert_eq!(ends([packet(POD)], true), [End::Onward]);
        assert_eq!(ends([packet(HOST[0])], false), [End::Onward]);
    }
}

/// A router on the way to a client tells that a packet was too large. The listener's socket has the
/// address of the Service, not of this host.
#[test]
fn what_is_told_of_a_connection_reaches_its_socket() {
    let of = |mark| Packet {
        protocol: ICMP,
        ..packet(
            Protocol::Tcp,
            "198.51.100.99",
            "10.96.0.9:0",
            Connection {
                mark,
                ..Connection::default()
            },
        )
    };
    assert_eq!(ends([of(PORTAL), of(0)], true), [End::Here, End::Onward]);
    // What is told of what a listener with its client's address has sent.
    let to_client = |mark| Packet {
        protocol: ICMP,
        ..packet(Protocol::Tcp, "10.1.0.1", "203.0.113.1:0", answer(mark))
    };
    assert_eq!(
        ends([to_client(PORTAL), to_client(0)], true),
        [End::Here, End::Onward]
    );
}

#[test]
fn answers_to_a_client_s_address_come_back_and_others_do_not() {
    let to_client = |mark| packet(Protocol::Tcp, "10.1.0.1", "203.0.113.1:40000", answer(mark));
    assert_eq!(
        ends([to_client(PORTAL), to_client(0)], true),
        [End::Here, End::Onward]
    );
    // A pod that answers from the port of a Service is no client of it.
    let to_service = packet(Protocol::Udp, "10.1.0.1", SERVICE, answer(0));
    assert_eq!(ends([to_service], true), [End::Onward]);
    // What a listener answers its client leaves.
    let to_client = packet(
        Protocol::Tcp,
        "10.96.0.1",
        "203.0.113.1:40000",
        answer(PORTAL),
    );
    assert_eq!(ends([to_client], false), [End::Onward]);
}

/// An endpoint with the address of a Service would be an endless loop.
#[test]
fn what_listeners_send_to_endpoints_is_never_theirs_again() {
    for (from, answers_are_ours) in [(HOST[0], false), ("203.0.113.1", true)] {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let mut node = Node::settled(Fakes::default(), web());
            let host = host(&mut node);
            let mut packet = packet(protocol, from, "10.1.0.1:8080", Connection::default());
            packet.mark = OWN;
            assert_eq!(host.sends(&mut packet), End::Onward);
            let has_mark = packet.connection.mark & PORTAL != 0;
            assert_eq!(has_mark, answers_are_ours, "{from}");
            packet.destination = "10.96.0.1:80".parse().unwrap();
            assert_ne!(packet.mark & OWN, 0);
            assert!(!matches!(host.sends(&mut packet), End::Listener(_)));
        }
    }
}

/// The kernel has forgotten who began, and the listener is the first to speak.
#[test]
fn where_a_listener_seems_to_have_begun_its_client_is_heard_all_the_same() {
    const CLIENT: &str = "203.0.113.1";
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for (client, is_here) in [(CLIENT, false), (HOST[0], true)] {
            let mut node = Node::settled(Fakes::default(), web());
            let host = host(&mut node);
            let to_client = format!("{client}:40000");
            let first = Connection::default();
            let mut answer = packet(protocol, "10.96.0.1", &to_client, first);
            answer.is_transparent = true;
            let arrives = [End::Onward, End::Here][usize::from(is_here)];
            assert_eq!(host.sends(&mut answer), arrives, "{to_client}");
            let mark = answer.connection.mark;
            assert_eq!(mark, PORTAL | OWN);

            let back = Connection {
                reply: true,
                ..established(mark)
            };
            let mut asked = packet(protocol, client, SERVICE, back);
            let end = match is_here {
                true => host.sends(&mut asked),
                false => host.arrives(&mut asked),
            };
            match protocol {
                Protocol::Tcp => assert_eq!(end, End::Here, "{to_client}"),
                _ => assert!(matches!(end, End::Listener(_)), "{to_client}: {end:?}"),
            }
            let mut next = packet(protocol, "10.96.0.1", &to_client, established(mark));
            assert_eq!(host.sends(&mut next), arrives, "{to_client}");
        }
    }
}

/// Another proxy on this node may have transparent sockets too.
#[test]
fn what_a_transparent_socket_sends_to_a_service_is_a_client_s() {
    let first = packet(Protocol::Tcp, HOST[0], SERVICE, Connection::default());
    let mut node = Node::settled(Fakes::default(), web());
    let host = host(&mut node);
    let mut first = Packet {
        is_transparent: true,
        ..first
    };
    assert!(matches!(host.sends(&mut first), End::Listener(_)));
    assert_eq!(first.connection.mark, PORTAL);
    let mut next = packet(Protocol::Tcp, HOST[0], SERVICE, established(PORTAL));
    assert_eq!(host.sends(&mut next), End::Here);
}

/// Each costs a look at the routes.
#[test]
fn what_usually_passes_is_not_asked_whose_addresses_it_has() {
    let to_pod = "10.1.0.1:8080";
    let first = Connection::default();
    for (from, to, connection, mark, questions) in [
        (POD, SERVICE, first, 0, 0),
        (POD, SERVICE, established(PORTAL), 0, 0),
        (POD, "10.1.1.1:80", established(0), 0, 0),
        (HOST[0], to_pod, first, OWN, 1),
        (HOST[0], to_pod, established(0), OWN, 0),
        ("203.0.113.1", to_pod, established(PORTAL), OWN, 0),
        (HOST[0], SERVICE, first, 0, 1),
        (HOST[0], SERVICE, established(PORTAL), 0, 0),
    ] {
        let mut node = Node::settled(Fakes::default(), web());
        let host = host(&mut node);
        let mut packet = packet(Protocol::Tcp, from, to, connection);
        packet.mark = mark;
        match from == POD {
            true => host.arrives(&mut packet),
            false => host.sends(&mut packet),
        };
        assert_eq!(
            host.questions.get(),
            questions,
            "{from} {to} {connection:?}"
        );
    }
}

//! Paths that are too narrow for a datagram.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

use fairlead_relay::settings::Settings;
use socket2::{Domain, Protocol, Socket, Type};

use crate::world::{client, endpoint, world};

crate::tests![a_narrow_path_is_no_fault_of_the_endpoint];

fn a_narrow_path_is_no_fault_of_the_endpoint() {
    world(Settings::default(), |world| {
        let endpoints = [1, 2].map(endpoint);
        let to = world.serve(0, &endpoints);
        let client = client("192.0.2.1:5000");
        let first = client.ask(b"who?", to);
        let there = endpoints[usize::from(first.name) - 1].address;
        report_narrow(first.client, there);
        // The relay may hear of it by itself. If it has not yet, it does when the next is to be sent.
        thread::sleep(Duration::from_millis(100));
        client.send(b"who?", to);
        assert_eq!(client.hear_or_ask_again(b"who?", to).name, first.name);
        let counts = world.counts(0);
        assert_eq!((counts.sums.dial_failures, counts.now.set_aside), (0, 0));
        assert_eq!(counts.sums.sessions, 1);
    });
}

/// Tells who has sent a datagram that a router had to drop it: "fragmentation needed" (RFC 1191).
fn report_narrow(sender: SocketAddr, to: SocketAddr) {
    const MTU: u16 = 1000;
    let mut report = vec![3, 4, 0, 0, 0, 0];
    report.extend(MTU.to_be_bytes());
    report.extend(dropped(sender, to));
    let sum = checksum(&report);
    report[2..4].copy_from_slice(&sum.to_be_bytes());
    let router = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    let sender = SocketAddr::new(sender.ip(), 0);
    router.send_to(&report, &sender.into()).unwrap();
}

/// The IPv4 and UDP headers of a datagram of 1400 bytes that may not be fragmented.
fn dropped(sender: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut headers = vec![0x45, 0];
    headers.extend(1420_u16.to_be_bytes());
    headers.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    for end in [sender, to] {
        let IpAddr::V4(ip) = end.ip() else {
            unreachable!()
        };
        headers.extend(ip.octets());
    }
    for field in [sender.port(), to.port(), 1400, 0] {
        headers.extend(field.to_be_bytes());
    }
    headers
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

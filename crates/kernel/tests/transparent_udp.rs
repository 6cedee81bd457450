//! Datagrams through TPROXY: where they were sent to, answers from there, and who hears what.

mod privilege;

use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fairlead_kernel::netns::Netns;
use fairlead_kernel::transparent::udp::{self, Call};
use fairlead_kernel::transparent::{Batch, Poll};

/// A service address of each family, where its listener is, a client, and one who is nowhere.
const CASES: [[&str; 4]; 2] = [
    [
        "10.96.0.10:53",
        "127.0.0.1:11053",
        "192.0.2.1:5000",
        "192.0.2.9:5009",
    ],
    [
        "[fd00:96::10]:53",
        "[::1]:11053",
        "[fd00:2::1]:5000",
        "[fd00:2::9]:5009",
    ],
];

/// What is sent to a service comes back in on the loopback device and is brought to its listener.
const RULES: &str = "
table inet portal {
    chain output {
        type route hook output priority mangle;
        ip daddr 10.96.0.10 meta mark set 1
        ip6 daddr fd00:96::10 meta mark set 1
    }
    chain prerouting {
        type filter hook prerouting priority mangle;
        meta mark 1 ip daddr 10.96.0.10 meta l4proto udp tproxy ip to 127.0.0.1:11053
        meta mark 1 ip6 daddr fd00:96::10 meta l4proto udp tproxy ip6 to [::1]:11053
    }
}";

fn run(program: &str, args: &str, input: &str) {
    let mut command = Command::new(program);
    let command = command.args(args.split(' ')).stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{program} {args}");
}

/// Works in a namespace whose host has two addresses a family, and rules as a proxy's.
fn in_a_network(work: impl FnOnce() + Send) {
    if !privilege::is_root() {
        return;
    }
    let all = || {
        for args in [
            "link set lo up",
            "address add 192.0.2.1/32 dev lo",
            "-6 address add fd00:2::1/128 dev lo nodad",
            "route add default dev lo src 192.0.2.1",
            "-6 route add default dev lo src fd00:2::1",
            "rule add fwmark 1 lookup 100",
            "-6 rule add fwmark 1 lookup 100",
            "route add local default dev lo table 100",
            "-6 route add local default dev lo table 100",
        ] {
            run("ip", args, "");
        }
        run("nft", "-f -", RULES);
        work();
    };
    Netns::anonymous().unwrap().run(all).unwrap();
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

fn client(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(at(address)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

/// Tries until something waits.
fn soon<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            done => return done,
        }
    }
}

/// Who sent what where, of the datagrams that wait.
fn receive(listener: &UdpSocket) -> io::Result<Vec<(SocketAddr, SocketAddr, Vec<u8>)>> {
    let mut batch = Batch::default();
    let received = batch.receive(listener)?;
    Ok(received
        .map(|datagram| (datagram.from, datagram.to, datagram.bytes.to_vec()))
        .collect())
}

#[test]
fn a_listener_hears_where_each_datagram_was_sent_to_and_answers_from_there() {
    in_a_network(|| {
        for [service, listener, from, _] in CASES {
            let listener = udp::listen(at(listener)).unwrap();
            let client = client(from);
            let long = vec![7; 60_000];
            for bytes in [&b"first"[..], b"", &long] {
                client.send_to(bytes, at(service)).unwrap();
            }
            let mut all = Vec::new();
            while all.len() < 3 {
                all.extend(soon(|| receive(&listener)).unwrap());
            }
            let said: Vec<&[u8]> = all.iter().map(|(.., bytes)| &bytes[..]).collect();
            assert!(said == [&b"first"[..], b"", &long]);
            for (who, to, _) in &all {
                assert_eq!([who.to_string(), to.to_string()], [from, service]);
            }

            let speaker = udp::speak_as(at(service)).unwrap();
            let other = udp::speak_as(at(service)).unwrap();
            let mut room = [0; 9];
            for speaker in [&speaker, &other] {
                speaker.send_to(b"answer", at(from)).unwrap();
                let (length, who) = client.recv_from(&mut room).unwrap();
                assert_eq!((&room[..length], who), (&b"answer"[..], at(service)));
            }
            client.send_to(b"after", at(service)).unwrap();
            let after = soon(|| receive(&listener)).unwrap();
            assert_eq!(
                after[0].2, b"after",
                "the speakers take nothing from the listener"
            );
        }
    });
}

#[test]
fn where_only_a_speaker_is_nobody_listens() {
    in_a_network(|| {
        for [.., from, _] in CASES {
            let speaker = udp::speak_as(at(from)).unwrap();
            let local = client(&SocketAddr::new(at(from).ip(), 0).to_string());
            local.connect(at(from)).unwrap();
            local.send(b"hello").unwrap();
            let refused = local.recv(&mut [0; 9]).map_err(|error| error.kind());
            assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
            let heard = speaker.recv_from(&mut [0; 9]);
            assert_eq!(
                heard.map_err(|error| error.kind()),
                Err(io::ErrorKind::WouldBlock)
            );
        }
    });
}

#[test]
fn an_endpoint_sees_the_client_and_a_port_in_use_is_replaced() {
    in_a_network(|| {
        for [.., here, nowhere] in CASES {
            let endpoint = client(here);
            let to = endpoint.local_addr().unwrap();
            let source = Some(at(nowhere));
            let call = Call { mark: 2, source };
            let (first, second) = (udp::connect(to, &call), udp::connect(to, &call));
            let sources = [first, second].map(|socket| {
                let socket = socket.unwrap();
                socket.send(b"hello").unwrap();
                endpoint.recv_from(&mut [0; 9]).unwrap().1
            });
            assert_eq!(sources[0], at(nowhere));
            assert_eq!(sources[1].ip(), at(nowhere).ip());
            assert_ne!(sources[1].port(), at(nowhere).port());
        }
    });
}

#[test]
fn an_endpoint_that_does_not_listen_refuses() {
    in_a_network(|| {
        for [.., here, _] in CASES {
            let call = Call {
                mark: 0,
                source: None,
            };
            let (socket, poll) = (udp::connect(at(here), &call).unwrap(), Poll::new().unwrap());
            poll.add(&socket, 7).unwrap();
            socket.send(b"hello").unwrap();
            let mut names = Vec::new();
            while names.is_empty() {
                poll.ready(&mut names).unwrap();
            }
            assert_eq!(names, [7]);
            let error = socket.recv(&mut [0; 9]).map_err(|error| error.kind());
            assert_eq!(error, Err(io::ErrorKind::ConnectionRefused));
            poll.ready(&mut names).unwrap();
            assert!(names.is_empty(), "an error is told once");
        }
    });
}

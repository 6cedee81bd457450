//! A network namespace with a relay in it, two services of each family, endpoints and clients. Rules
//! bring what clients send to a service's address to its listener.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::route::Target;
use fairlead_kernel::netns::Netns;
use fairlead_relay::SocketRelay;
use fairlead_relay::counts::UpstreamCounts;
use fairlead_relay::handle::{Listener, ListenerAddress, Op, Relay, Upstream, UpstreamName};
use fairlead_relay::settings::Settings;

use crate::harness::{LONG, nothing_starts, sh, upstreams};

/// Long enough for a datagram that comes, where one may be lost.
const SOON: Duration = Duration::from_secs(2);

/// The mark of the relay's own datagrams.
pub(crate) const OWN: u32 = 0x4000;

/// Two services, an address and a port each.
pub(crate) const SERVICES: [[&str; 2]; 2] = [
    ["10.96.0.10:53", "10.96.0.11:53"],
    ["[fd00:96::10]:53", "[fd00:96::11]:53"],
];

/// Clients have 192.0.2.0/24 and fd00:2::1, endpoints 127.0.1.0/24 and fd00:e::1 to 3, all of this
/// host. What goes out to a service comes back in, marked, and is brought to the service's listener.
/// What answers a socket with a client's address is for this host too.
const NETWORK: &str = "
    ip link set lo up
    ip route add local 192.0.2.0/24 dev lo
    for address in fd00:2::1 fd00:e::1 fd00:e::2 fd00:e::3; do
        ip -6 address add $address/128 dev lo nodad
    done
    ip route add 10.96.0.0/16 dev lo
    ip -6 route add fd00:96::/112 dev lo
    for family in -4 -6; do
        ip $family rule add fwmark 0x1000/0x1000 lookup 4096
        ip $family route add local default dev lo table 4096
    done
    nft -f - <<END
    table inet portal {
        chain output {
            type route hook output priority mangle;
            meta mark & 0x4000 != 0 fib saddr type != local ct mark set ct mark | 0x1000
            meta mark & 0x4000 != 0 return
            ip daddr 10.96.0.0/16 meta mark set meta mark | 0x1000
            ip6 daddr fd00:96::/112 meta mark set meta mark | 0x1000
        }
        chain divert {
            meta mark set meta mark | 0x1000 accept
        }
        chain prerouting {
            type filter hook prerouting priority mangle;
            ct direction reply ct mark & 0x1000 != 0 goto divert
            ip daddr 10.96.0.10 udp dport 53 tproxy ip to 127.0.0.1:11000 goto divert
            ip daddr 10.96.0.11 udp dport 53 tproxy ip to 127.0.0.1:11001 goto divert
            ip6 daddr fd00:96::10 udp dport 53 tproxy ip6 to [::1]:11000 goto divert
            ip6 daddr fd00:96::11 udp dport 53 tproxy ip6 to [::1]:11001 goto divert
        }
    }
END";

pub(crate) struct World {
    pub(crate) relay: SocketRelay,
}

/// Does something in a world of its own.
pub(crate) fn world(settings: Settings, test: impl FnOnce(&mut World) + Send) {
    world_with(":", settings, test);
}

/// The same, after something was done to its network.
pub(crate) fn world_with(network: &str, settings: Settings, test: impl FnOnce(&mut World) + Send) {
    let settings = Settings {
        own_mark: OWN,
        threads: 2,
        ..settings
    };
    let work = || {
        for script in [NETWORK, network] {
            sh(script);
        }
        let relay = SocketRelay::open(settings).unwrap();
        test(&mut World { relay });
    };
    Netns::anonymous().unwrap().run(work).unwrap();
}

/// The upstream of a service, by its number.
pub(crate) fn name(family: Family, service: u16) -> UpstreamName {
    upstreams::name(service, Protocol::Udp, family)
}

pub(crate) fn address(family: Family, service: u16) -> ListenerAddress {
    ListenerAddress {
        family,
        protocol: Protocol::Udp,
        port: 11000 + service,
    }
}

pub(crate) fn upstream<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> Upstream {
    let addresses = endpoints.into_iter().map(|endpoint| endpoint.address);
    upstreams::upstream(addresses)
}

pub(crate) fn listener(family: Family, service: u16) -> Listener {
    upstreams::listener(name(family, service))
}

impl World {
    pub(crate) fn apply(&mut self, ops: &[Op]) {
        assert_eq!(self.relay.apply(ops), []);
    }

    /// Has an IPv4 service have these endpoints, and says where it is.
    pub(crate) fn serve<'a>(
        &mut self,
        service: u16,
        endpoints: impl IntoIterator<Item = &'a Endpoint>,
    ) -> SocketAddr {
        self.serve_as(service, upstream(endpoints))
    }

    pub(crate) fn serve_as(&mut self, service: u16, upstream: Upstream) -> SocketAddr {
        self.apply(&[
            Op::SetUpstream(name(Family::V4, service), upstream),
            Op::Listen(address(Family::V4, service), listener(Family::V4, service)),
        ]);
        at(SERVICES[0][usize::from(service)])
    }

    pub(crate) fn counts(&self, service: u16) -> UpstreamCounts {
        self.relay.handle().counts().upstreams[&name(Family::V4, service)]
    }

    pub(crate) fn sessions(&self, service: u16) -> usize {
        self.counts(service).now.sessions
    }
}

pub(crate) fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// Answers with its name, whom it sees as its client, and what that said, until it goes.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// One of 127.0.1.0/24, whose last byte is its name.
pub(crate) fn endpoint(name: u8) -> Endpoint {
    endpoint_at(SocketAddr::from(([127, 0, 1, name], 5353)), name)
}

pub(crate) fn endpoint_at(address: SocketAddr, name: u8) -> Endpoint {
    let socket = UdpSocket::bind(address).unwrap();
    let look = Duration::from_millis(10);
    socket.set_read_timeout(Some(look)).unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let thread = thread::spawn(move || {
        let mut room = vec![0; 65_535];
        while !is_over.load(Relaxed) {
            if let Ok((length, client)) = socket.recv_from(&mut room) {
                let mut answer = format!("{name} {client} ").into_bytes();
                answer.extend(&room[..length]);
                // Whether the client is there is its own affair.
                let _ = socket.send_to(&answer, client);
            }
        }
    });
    Endpoint {
        address,
        over,
        thread: Some(thread),
    }
}

impl Endpoint {
    pub(crate) fn target(&self) -> Target {
        upstreams::target(self.address)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever sends there from now on is refused.
            let _alone = nothing_starts();
            thread.join().unwrap();
        }
    }
}

/// A client that hears whoever answers.
pub(crate) struct Client(pub(crate) UdpSocket);

/// What a client was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) from: SocketAddr,
    pub(crate) name: u8,
    /// Whom the endpoint saw.
    pub(crate) client: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// One with an address and port, or any port if it is 0.
pub(crate) fn client(address: &str) -> Client {
    let socket = UdpSocket::bind(at(address)).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    Client(socket)
}

impl Client {
    pub(crate) fn send(&self, bytes: &[u8], to: SocketAddr) {
        assert_eq!(self.0.send_to(bytes, to).unwrap(), bytes.len());
    }

    pub(crate) fn hear(&self) -> io::Result<Answer> {
        let mut room = vec![0; 65_535];
        let (length, from) = self.0.recv_from(&mut room)?;
        let mut words = room[..length].splitn(3, |byte| *byte == b' ');
        let mut word = || String::from_utf8_lossy(words.next().unwrap()).into_owned();
        let (name, client) = (word().parse().unwrap(), word().parse().unwrap());
        Ok(Answer {
            from,
            name,
            client,
            bytes: words.next().unwrap().to_vec(),
        })
    }

    /// Waits so long for an answer.
    pub(crate) fn hear_within(&self, time: Duration) -> io::Result<Answer> {
        self.0.set_read_timeout(Some(time)).unwrap();
        let heard = self.hear();
        self.0.set_read_timeout(Some(LONG)).unwrap();
        heard
    }

    /// Waits for the answer to what was said, and says it again if that was lost.
    pub(crate) fn hear_or_ask_again(&self, bytes: &[u8], to: SocketAddr) -> Answer {
        match self.hear_within(SOON) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.ask(bytes, to),
            answered => answered.unwrap(),
        }
    }

    /// Says something and waits for the answer.
    pub(crate) fn ask(&self, bytes: &[u8], to: SocketAddr) -> Answer {
        self.send(bytes, to);
        self.hear().unwrap()
    }

    /// Who answers.
    pub(crate) fn whom(&self, to: SocketAddr) -> u8 {
        self.ask(b"who?", to).name
    }
}

//! A network namespace with a relay in it, endpoints and clients. Nothing brings connections to
//! listeners there, so they are made straight to them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use fairlead_core::address::{Family, Protocol};
use fairlead_kernel::netns::Netns;
use fairlead_relay::SocketRelay;
use fairlead_relay::counts::{Present, Sums, UpstreamCounts};
use fairlead_relay::handle::{Listener, ListenerAddress, Op, Relay, Upstream, UpstreamName};
use fairlead_relay::settings::Settings;
use socket2::SockRef;

use crate::harness::{LONG, sh, upstreams};

pub(crate) struct World {
    pub(crate) relay: SocketRelay,
}

/// Settings of a relay that takes what is not brought by rules. Nobody who is there is taken to be
/// away because the machine is busy.
pub(crate) fn settings() -> Settings {
    Settings {
        dial_timeouts: [LONG; 4].into(),
        takes_direct: true,
        threads: 2,
        ..Settings::default()
    }
}

/// Does something in a world of its own.
pub(crate) fn world(settings: Settings, test: impl FnOnce(&mut World) + Send) {
    Netns::anonymous()
        .unwrap()
        .run(|| {
            sh("ip link set lo up");
            let relay = SocketRelay::open(settings).unwrap();
            test(&mut World { relay });
        })
        .unwrap();
}

pub(crate) fn name(port: u16) -> UpstreamName {
    upstreams::name(port, Protocol::Tcp, Family::V4)
}

pub(crate) fn address(port: u16) -> ListenerAddress {
    ListenerAddress {
        family: Family::V4,
        protocol: Protocol::Tcp,
        port,
    }
}

pub(crate) fn upstream(endpoints: &[SocketAddr]) -> Upstream {
    upstreams::upstream(endpoints.iter().copied())
}

pub(crate) fn listener(port: u16) -> Listener {
    upstreams::listener(name(port))
}

impl World {
    /// Has a listener for these endpoints, and says where.
    pub(crate) fn serve(&mut self, port: u16, endpoints: &[SocketAddr]) -> SocketAddr {
        let refusals = self.relay.apply(&[
            Op::SetUpstream(name(port), upstream(endpoints)),
            Op::Listen(address(port), listener(port)),
        ]);
        assert_eq!(refusals, []);
        address(port).socket()
    }

    pub(crate) fn counts(&self, port: u16) -> UpstreamCounts {
        self.relay.handle().counts().upstreams[&name(port)]
    }

    pub(crate) fn sums(&self, port: u16) -> Sums {
        self.counts(port).sums
    }

    pub(crate) fn now(&self, port: u16) -> Present {
        self.counts(port).now
    }
}

/// An address of the loopback device that nobody else has, whose last byte this is.
pub(crate) fn host(last: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 1, last)), port)
}

/// An endpoint that does this with each connection.
pub(crate) fn endpoint(
    address: SocketAddr,
    work: impl Fn(TcpStream) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let work = Arc::new(work);
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, work) = (stream.unwrap(), Arc::clone(&work));
            thread::spawn(move || work(stream));
        }
    });
    address
}

/// An endpoint that sends back what it gets.
pub(crate) fn echo(address: SocketAddr) -> SocketAddr {
    endpoint(address, |stream| {
        // Whether the client is there at the end is its own affair.
        let _ = io::copy(&mut &stream, &mut &stream);
    })
}

/// An endpoint that tells its name to whoever comes.
pub(crate) fn named(address: SocketAddr, name: u8) -> SocketAddr {
    endpoint(address, move |mut stream| {
        let _ = stream.write_all(&[name]);
    })
}

/// An endpoint whose connections the test has in its hands.
pub(crate) fn held(address: SocketAddr) -> (SocketAddr, Receiver<TcpStream>) {
    let (give, given) = channel();
    let address = endpoint(address, move |stream| {
        stream.set_read_timeout(Some(LONG)).unwrap();
        // The test may be over.
        let _ = give.send(stream);
    });
    (address, given)
}

pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&to, LONG).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Who answers there.
pub(crate) fn ask(to: SocketAddr) -> io::Result<u8> {
    let mut answer = [0];
    connect(to).read_exact(&mut answer)?;
    Ok(answer[0])
}

/// Closes a connection by a reset.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
}

/// Bytes that are told apart from one another.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// The connection was reset, and not merely closed.
pub(crate) fn assert_reset(stream: &mut TcpStream) {
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
}

/// All that is said until nobody says any more.
pub(crate) fn read_all(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    all
}

/// Writes until nobody takes any more, and says how much it was.
pub(crate) fn fill(mut stream: &TcpStream) -> usize {
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let (chunk, mut written) = (vec![7; 64 << 10], 0);
    loop {
        match stream.write(&chunk) {
            Ok(count) => written += count,
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                return written;
            }
        }
    }
}

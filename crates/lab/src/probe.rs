//! One connection attempt, and a series of them.
//!
//! Everything here happens in the network namespace of the calling thread.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::str;

use fairlead_core::address::{Family, Protocol};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Socket, Type};

use crate::client::Client;
use crate::outcome::{Failure, Outcome, Source};
use crate::patience::Patience;

/// After so many failures and no answer a series is over: the others would fail too.
const ENOUGH_FAILURES: usize = 4;

/// An endpoint's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Who answered, by its own account.
    pub endpoint: SocketAddr,
    /// Whose address it saw.
    pub source: Source,
}

/// What a series of connections met, counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Series {
    /// How often each endpoint answered.
    pub by_endpoint: BTreeMap<SocketAddr, usize>,
    /// How many of them saw the client's own address.
    pub kept: usize,
    /// How many of them saw another.
    pub masqueraded: usize,
    /// How often what went wrong.
    pub errors: BTreeMap<Failure, usize>,
}

impl Series {
    /// Connects up to `tries` times, from an address that this kind of client has.
    pub(crate) fn of(client: Client, protocol: Protocol, to: SocketAddr, tries: usize) -> Series {
        let source = client.source(Family::of(to.ip()));
        let mut series = Series::default();
        for _ in 0..tries {
            let patience = Patience::of(protocol, !series.by_endpoint.is_empty());
            series.count(attempt(protocol, source, to, patience));
            if series.is_hopeless() {
                break;
            }
        }
        series
    }

    fn count(&mut self, reply: Result<Answer, Failure>) {
        match reply {
            Ok(answer) => {
                *self.by_endpoint.entry(answer.endpoint).or_default() += 1;
                match answer.source {
                    Source::Kept => self.kept += 1,
                    Source::Masqueraded => self.masqueraded += 1,
                }
            }
            Err(failure) => *self.errors.entry(failure).or_default() += 1,
        }
    }

    fn is_hopeless(&self) -> bool {
        self.by_endpoint.is_empty() && self.errors.values().sum::<usize>() >= ENOUGH_FAILURES
    }

    /// What is worth recording of it.
    pub fn outcome(&self) -> Outcome {
        let endpoints = self
            .by_endpoint
            .keys()
            .map(|at| format!("{} {}", at.ip(), at.port()));
        let sources = [
            (Source::Kept, self.kept),
            (Source::Masqueraded, self.masqueraded),
        ];
        // The kernel limits the rate of its ICMP errors, so what is refused may also be seen to
        // time out: one refusal is the verdict.
        let errors = match self.errors.contains_key(&Failure::Refused) {
            true => BTreeSet::from([Failure::Refused]),
            false => self.errors.keys().cloned().collect(),
        };
        Outcome {
            endpoints: endpoints.collect(),
            source: sources
                .into_iter()
                .filter(|(_, n)| *n > 0)
                .map(|(source, _)| source)
                .collect(),
            errors,
        }
    }
}

/// Connects once and reads who answers.
fn attempt(
    protocol: Protocol,
    source: Option<IpAddr>,
    to: SocketAddr,
    patience: Patience,
) -> Result<Answer, Failure> {
    let met = exchange(protocol, source, to, patience);
    let (own, text) = met.map_err(|error| failure(&error))?;
    parse(&text, own).ok_or(Failure::Closed)
}

/// Returns the client's own address and what the other side said.
fn exchange(
    protocol: Protocol,
    source: Option<IpAddr>,
    to: SocketAddr,
    patience: Patience,
) -> io::Result<(Option<IpAddr>, Vec<u8>)> {
    let kind = if protocol == Protocol::Udp {
        Type::DGRAM
    } else {
        Type::STREAM
    };
    let number = i32::from(protocol.number()).into();
    let mut socket = Socket::new(Domain::for_address(to), kind, Some(number))?;
    let source = match (source, protocol) {
        (None, Protocol::Sctp) => Some(kernels_choice(to)?),
        _ => source,
    };
    if let Some(source) = source {
        if source.is_ipv6() {
            // Local pods have their addresses by a route alone.
            socket.set_freebind_v6(true)?;
        }
        if protocol == Protocol::Tcp {
            // Ports are drawn by chance at bind(2), and one after the other at connect(2). IPVS sends
            // a client that uses a port again for a while where it went before.
            setsockopt(&socket, IpBindAddressNoPort, &true)?;
        }
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    match socket.connect_timeout(&to.into(), patience.connection) {
        // Connected, answered, closed and forgotten by the pod before this was looked at.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        connected => connected?,
    }
    socket.set_read_timeout(Some(patience.answer))?;
    if protocol == Protocol::Udp {
        socket.send(b"who are you?")?;
    }
    let own = socket.local_addr()?.as_socket().map(|own| own.ip());
    let mut text = vec![0; 200];
    let length = socket.read(&mut text)?;
    text.truncate(length);
    Ok((own, text))
}

/// The source address that the kernel chooses. A socket of SCTP that is bound to none offers its
/// peer all that the host has, and does not say which one it uses.
fn kernels_choice(to: SocketAddr) -> io::Result<IpAddr> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
    socket.connect(&to.into())?;
    let own = socket.local_addr()?.as_socket();
    own.map(|own| own.ip())
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

/// Reads `address port peer`, what pods answer.
fn parse(text: &[u8], own: Option<IpAddr>) -> Option<Answer> {
    let mut words = str::from_utf8(text).ok()?.split(' ');
    let (address, port, peer) = (words.next()?, words.next()?, words.next()?);
    let peer: IpAddr = peer.parse().ok()?;
    Some(Answer {
        endpoint: SocketAddr::new(address.parse().ok()?, port.parse().ok()?),
        source: if Some(peer) == own {
            Source::Kept
        } else {
            Source::Masqueraded
        },
    })
}

fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        // The second is a receive timeout.
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failure::Timeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Failure::Unreachable,
        io::ErrorKind::PermissionDenied => Failure::Prohibited,
        io::ErrorKind::ConnectionReset => Failure::Reset,
        _ => Failure::Other(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(n: u8, source: Source) -> Answer {
        Answer {
            endpoint: SocketAddr::from(([10, 244, 1, n], 8080)),
            source,
        }
    }

    #[test]
    fn a_series_counts_and_its_outcome_does_not() {
        let mut series = Series::default();
        for reply in [
            Ok(answer(130, Source::Kept)),
            Ok(answer(131, Source::Masqueraded)),
            Ok(answer(130, Source::Kept)),
            Err(Failure::Timeout),
        ] {
            series.count(reply);
        }
        assert_eq!((series.kept, series.masqueraded), (2, 1));
        assert_eq!(series.by_endpoint.values().collect::<Vec<_>>(), [&2, &1]);
        let outcome = series.outcome();
        assert_eq!(
            outcome.to_string(),
            "10.244.1.130 8080, 10.244.1.131 8080; source kept, masqueraded; errors: timeout"
        );
    }

    #[test]
    fn four_failures_and_no_answer_are_the_end() {
        let mut series = Series::default();
        for _ in 0..3 {
            series.count(Err(Failure::Timeout));
        }
        assert!(!series.is_hopeless());
        series.count(Err(Failure::Refused));
        assert!(series.is_hopeless());
        assert_eq!(series.outcome().errors, BTreeSet::from([Failure::Refused]));
        series.count(Ok(answer(130, Source::Kept)));
        assert!(!series.is_hopeless());
    }

    #[test]
    fn an_answer_is_read_with_its_source() {
        let own = "fd00::1".parse().ok();
        let kept = parse(b"fd00::2 8080 fd00::1", own).unwrap();
        assert_eq!(
            (kept.endpoint.to_string().as_str(), kept.source),
            ("[fd00::2]:8080", Source::Kept)
        );
        assert_eq!(
            parse(b"fd00::2 8080 fd00::3", own).unwrap().source,
            Source::Masqueraded
        );
        for text in ["", "10.0.0.1 80", "HTTP/1.0 400 Bad"] {
            assert_eq!(parse(text.as_bytes(), own), None, "{text}");
        }
    }
}

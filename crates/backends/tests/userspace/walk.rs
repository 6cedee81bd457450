//! Packets on their way through the rules, as the kernel would lead them.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};

use fairlead_backends::nftables::table;
use fairlead_core::address::{Family, Protocol};
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::rule::{Expr, Rule, Statement};
use fairlead_kernel::nft::ruleset::{Bytes, Data, Verdict};
use fairlead_relay::handle::{ListenerAddress, Relayed};

/// A packet and its connection.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) protocol: u8,
    pub(crate) source: IpAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) mark: u32,
    /// Its socket is.
    pub(crate) is_transparent: bool,
    pub(crate) connection: Connection,
}

/// What is tracked of a connection.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Connection {
    pub(crate) mark: u32,
    /// It has been answered.
    pub(crate) established: bool,
    /// The packet is an answer.
    pub(crate) reply: bool,
    pub(crate) translated: bool,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Refused,
    Dropped,
    /// It is given to a listener.
    Listener(ListenerAddress),
    /// It is given to this host, and a socket that it has already may have it.
    Here,
    /// It goes on to where it is addressed.
    Onward,
}

impl Packet {
    /// The first packet of a connection.
    pub(crate) fn first(protocol: Protocol, source: IpAddr, destination: SocketAddr) -> Packet {
        Packet {
            protocol: protocol.number(),
            source,
            destination,
            mark: 0,
            is_transparent: false,
            connection: Connection::default(),
        }
    }
}

/// A host with rules.
pub(crate) struct Host<'a> {
    pub(crate) nft: &'a FakeNft,
    pub(crate) relayed: Relayed,
    pub(crate) addresses: Vec<IpAddr>,
    /// The mark with which every address is this host's.
    pub(crate) mark: u32,
    /// How often rules have asked whether an address is this host's.
    pub(crate) questions: Cell<usize>,
}

/// How a chain ends.
enum Step {
    Next,
    Return,
    Accept,
    Drop,
    Reject,
}

impl Host<'_> {
    /// A packet that comes in.
    pub(crate) fn arrives(&self, packet: &mut Packet) -> End {
        self.comes_in(packet, "eth0")
    }

    /// A packet that this host sends.
    pub(crate) fn sends(&self, packet: &mut Packet) -> End {
        for chain in ["filter-output-pre-dnat", "route-output", "filter-output"] {
            if let Some(end) = self.chain(packet, "", chain).0 {
                return end;
            }
        }
        match packet.mark & self.mark != 0 || self.is_local(packet.destination.ip()) {
            true => self.comes_in(packet, "lo"),
            false => End::Onward,
        }
    }

    fn comes_in(&self, packet: &mut Packet, interface: &str) -> End {
        let (end, listener) = self.chain(packet, interface, "filter-prerouting-pre-dnat");
        if let Some(end) = end {
            return end;
        }
        let is_here = packet.mark & self.mark != 0 || self.is_local(packet.destination.ip());
        let next = ["filter-forward", "filter-input"][usize::from(is_here)];
        if let (Some(end), _) = self.chain(packet, interface, next) {
            return end;
        }
        match (is_here, listener) {
            // Without the mark nothing keeps the packet here for the socket that it was given to.
            (false, _) => End::Onward,
            (true, Some(listener)) => End::Listener(listener),
            (true, None) => End::Here,
        }
    }

    /// What a base chain makes of a packet: its end, if that is one, and who was given to it.
    fn chain(
        &self,
        packet: &mut Packet,
        interface: &str,
        chain: &str,
    ) -> (Option<End>, Option<ListenerAddress>) {
        let mut walk = Walk {
            host: self,
            family: Family::of(packet.source),
            packet,
            interface,
            listener: None,
        };
        let end = match walk.chain(chain) {
            Step::Drop => Some(End::Dropped),
            Step::Reject => Some(End::Refused),
            _ => None,
        };
        (end, walk.listener)
    }

    fn is_local(&self, ip: IpAddr) -> bool {
        self.addresses.contains(&ip) || ip.is_loopback()
    }
}

/// A packet in a base chain.
struct Walk<'a> {
    host: &'a Host<'a>,
    family: Family,
    packet: &'a mut Packet,
    interface: &'a str,
    listener: Option<ListenerAddress>,
}

impl Walk<'_> {
    fn chain(&mut self, name: &str) -> Step {
        for rule in self.host.nft.rules(table(self.family), name) {
            match self.rule(rule) {
                Step::Next => {}
                step => return step,
            }
        }
        Step::Next
    }

    fn rule(&mut self, rule: &Rule) -> Step {
        for statement in &rule.statements {
            if !self.goes_on(statement) {
                return Step::Next;
            }
            let step = match statement {
                Statement::Jump(chain) => self.called(&Verdict::Jump(chain.clone())),
                Statement::Goto(chain) => self.called(&Verdict::Goto(chain.clone())),
                Statement::VerdictMap { key, map } => match self.find(key, map) {
                    Some(Data::Verdict(verdict)) => self.called(&verdict),
                    _ => Step::Next,
                },
                Statement::Accept => Step::Accept,
                Statement::Drop => Step::Drop,
                Statement::Reject | Statement::Reset => Step::Reject,
                Statement::Return => Step::Return,
                _ => Step::Next,
            };
            if !matches!(step, Step::Next) {
                return step;
            }
        }
        Step::Next
    }

    fn called(&mut self, verdict: &Verdict) -> Step {
        match verdict {
            Verdict::Drop => Step::Drop,
            Verdict::Jump(chain) => match self.chain(chain) {
                Step::Return => Step::Next,
                step => step,
            },
            Verdict::Goto(chain) => match self.chain(chain) {
                Step::Next => Step::Return,
                step => step,
            },
        }
    }

    /// What a statement does to the packet; whether the rule goes on.
    fn goes_on(&mut self, statement: &Statement) -> bool {
        let connection = &mut self.packet.connection;
        match statement {
            Statement::InSet { key, set, negate } => self.find(key, set).is_some() != *negate,
            Statement::InNet {
                address,
                net,
                negate,
            } => net.contains(&self.address(*address)) != *negate,
            Statement::InputInterface {
                name,
                prefix,
                negate,
            } => {
                let is = self.interface == name || (*prefix && self.interface.starts_with(name));
                is != *negate
            }
            Statement::IsLocal(address) => {
                self.host.questions.update(|questions| questions + 1);
                self.host.is_local(self.address(*address))
            }
            Statement::IsTransparent => self.packet.is_transparent,
            Statement::NewConnection => !connection.established && !connection.reply,
            Statement::Established => connection.established,
            Statement::IsOriginal => !connection.reply,
            Statement::IsReply => connection.reply,
            Statement::Translated => connection.translated,
            Statement::IsProtocol(number) => self.packet.protocol == *number,
            Statement::HasPorts => [6, 17, 132].contains(&self.packet.protocol),
            Statement::HasMark(bits) => self.packet.mark & bits != 0,
            Statement::HasConnectionMark(bits) => connection.mark & bits != 0,
            Statement::SetMark(bits) => {
                self.packet.mark |= bits;
                true
            }
            Statement::SetConnectionMark(bits) => {
                connection.mark |= bits;
                true
            }
            Statement::Tproxy { key, map } => self.give(key, map),
            Statement::HasSender
            | Statement::Count(_)
            | Statement::VerdictMap { .. }
            | Statement::Reject
            | Statement::Reset
            | Statement::Accept
            | Statement::Drop
            | Statement::Return
            | Statement::Jump(_)
            | Statement::Goto(_) => true,
            other => panic!("userspace mode has no {other:?}"),
        }
    }

    fn give(&mut self, key: &[Expr], map: &str) -> bool {
        let Some(Data::Value(port)) = self.find(key, map) else {
            return false;
        };
        let port = port.as_kernel();
        let protocol = match self.packet.protocol {
            6 => Protocol::Tcp,
            _ => Protocol::Udp,
        };
        let at = ListenerAddress {
            family: self.family,
            protocol,
            port: u16::from_be_bytes([port[0], port[1]]),
        };
        let listens = self.host.relayed.listeners.contains_key(&at);
        self.listener = listens.then_some(at);
        listens
    }

    /// What a set or map has for a key: empty data, if it is a set.
    fn find(&self, key: &[Expr], set: &str) -> Option<Data> {
        let key = key.iter().fold(Bytes::new(), |bytes, of| match of {
            Expr::SourceAddress | Expr::DestinationAddress => bytes.address(self.address(*of)),
            Expr::Protocol => bytes.protocol(self.packet.protocol),
            Expr::DestinationPort => bytes.port(self.packet.destination.port()),
            other => panic!("userspace mode has no {other:?}"),
        });
        let elements = self.host.nft.elements(table(self.family), set);
        let found = elements.into_iter().find(|element| {
            let last = element.key_end.as_deref().unwrap_or(&element.key);
            (element.key..=*last).contains(&key)
        })?;
        let nothing = || Data::Verdict(Verdict::Drop);
        Some(found.data.clone().unwrap_or_else(nothing))
    }

    fn address(&self, of: Expr) -> IpAddr {
        match of {
            Expr::SourceAddress => self.packet.source,
            _ => self.packet.destination.ip(),
        }
    }
}

//! Rules: each statement as the expressions that `nft` makes of it.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::super::rule::{Expr, NOBODY, Rule, Statement, loopback};
use super::super::ruleset::{Family, SetName};
use super::super::wire;
use super::expression::{Code, Register};
use super::{OpWriter, comment_of};

impl OpWriter<'_> {
    pub(super) fn add_rule(&mut self, chain: &str, rule: &Rule) {
        let has_ports = |statement: &&Statement| matches!(statement, Statement::HasPorts);
        let matches = rule.statements.iter().filter(has_ports);
        let sets: Vec<u32> = matches.map(|_| self.add_protocols_with_ports()).collect();
        let family = self.table.family;
        self.message(wire::NFT_MSG_NEWRULE, |body| {
            body.string(wire::NFTA_RULE_CHAIN, chain);
            body.nest(wire::NFTA_RULE_EXPRESSIONS, |list| {
                let mut code = Code {
                    list,
                    family,
                    sets: sets.into_iter(),
                };
                rule.statements
                    .iter()
                    .for_each(|statement| code.statement(statement));
            });
            comment_of(body, wire::NFTA_RULE_USERDATA, rule.comment);
        });
    }
}

impl Code<'_> {
    fn statement(&mut self, statement: &Statement) {
        const FIRST: Register = Register::FIRST;
        match statement {
            Statement::InSet { key, set, negate } => {
                self.load(key, FIRST);
                self.lookup(set, None, *negate);
            }
            Statement::InNet {
                address,
                net,
                negate,
            } => self.in_net(*address, *net, *negate),
            Statement::InputInterface {
                name,
                prefix,
                negate,
            } => {
                self.input_interface(name, *prefix, *negate);
            }
            Statement::IsLocal(address) => self.is_local(*address),
            Statement::HasSender => self.has_sender(),
            Statement::IsTransparent => self.is_transparent(),
            Statement::NewConnection => self.connection(wire::NFT_CT_STATE, wire::CT_STATE_NEW),
            Statement::Established => {
                self.connection(wire::NFT_CT_STATE, wire::CT_STATE_ESTABLISHED);
            }
            Statement::IsOriginal => self.is_direction(wire::IP_CT_DIR_ORIGINAL),
            Statement::IsReply => self.is_direction(wire::IP_CT_DIR_REPLY),
            Statement::Translated => self.connection(wire::NFT_CT_STATUS, wire::IPS_DST_NAT),
            Statement::Unconfirmed => {
                self.load_connection(wire::NFT_CT_STATUS, FIRST);
                self.bitwise(&wire::IPS_CONFIRMED.to_ne_bytes(), &[0; 4]);
                self.compare(&[0; 4], false);
            }
            Statement::IsProtocol(number) => {
                self.load(&[Expr::Protocol], FIRST);
                self.compare(&[*number], false);
            }
            Statement::Count(counter) => self.expression("objref", |objref| {
                objref.be32(wire::NFTA_OBJREF_IMM_TYPE, wire::NFT_OBJECT_COUNTER);
                objref.string(wire::NFTA_OBJREF_IMM_NAME, counter);
            }),
            Statement::HasPorts => {
                self.load(&[Expr::Protocol], FIRST);
                self.lookup_anonymous();
            }
            Statement::HasMark(bits) => {
                self.load_meta(wire::NFT_META_MARK, FIRST);
                self.any_bit(*bits);
            }
            Statement::SetMark(bits) => self.change_mark(!bits, *bits),
            Statement::FlipMark(bits) => self.change_mark(u32::MAX, *bits),
            Statement::HasConnectionMark(bits) => self.connection(wire::NFT_CT_MARK, *bits),
            Statement::SetConnectionMark(bits) => self.set_connection_mark(*bits),
            Statement::SetDestinationFromMap { key, map } => {
                self.load(key, FIRST);
                self.lookup(map, Some(FIRST.number()), false);
                self.write_destination();
            }
            Statement::RestoreDestination => {
                self.load(&[Expr::OriginalDestination], FIRST);
                self.write_destination();
            }
            Statement::Update {
                map,
                key,
                timeout,
                data,
            } => {
                self.dynset(wire::NFT_DYNSET_OP_UPDATE, map, key, data, Some(*timeout));
            }
            Statement::Forget { map, key, data } => {
                self.dynset(wire::NFT_DYNSET_OP_DELETE, map, key, data, None);
            }
            Statement::VerdictMap { key, map } => {
                self.load(key, FIRST);
                self.lookup(map, Some(wire::NFT_REG_VERDICT), false);
            }
            Statement::Dnat { key, map } => {
                self.load(key, FIRST);
                self.lookup(map, Some(FIRST.number()), false);
                self.dnat();
            }
            Statement::Tproxy { key, map } => self.tproxy(key, map),
            Statement::Masquerade => self.expression("masq", |masquerade| {
                let flags = wire::NF_NAT_RANGE_PROTO_RANDOM_FULLY;
                masquerade.be32(wire::NFTA_MASQ_FLAGS, flags);
            }),
            Statement::Reject => self.reject(),
            Statement::Reset => self.expression("reject", |reject| {
                reject.be32(wire::NFTA_REJECT_TYPE, wire::NFT_REJECT_TCP_RST);
            }),
            Statement::Accept => self.verdict(wire::NF_ACCEPT, None),
            Statement::Drop => self.verdict(wire::NF_DROP, None),
            Statement::Return => self.verdict(wire::NFT_RETURN, None),
            Statement::Jump(chain) => self.verdict(wire::NFT_JUMP, Some(chain)),
            Statement::Goto(chain) => self.verdict(wire::NFT_GOTO, Some(chain)),
        }
    }

    /// Keeps the bits of the packet's mark that are in `mask` and flips those in `flip`.
    fn change_mark(&mut self, mask: u32, flip: u32) {
        self.load_meta(wire::NFT_META_MARK, Register::FIRST);
        self.bitwise(&mask.to_ne_bytes(), &flip.to_ne_bytes());
        self.expression("meta", |meta| {
            meta.be32(wire::NFTA_META_KEY, wire::NFT_META_MARK);
            meta.be32(wire::NFTA_META_SREG, Register::FIRST.number());
        });
    }

    /// Sets the bits in the connection's mark.
    fn set_connection_mark(&mut self, bits: u32) {
        self.load_connection(wire::NFT_CT_MARK, Register::FIRST);
        self.bitwise(&(!bits).to_ne_bytes(), &bits.to_ne_bytes());
        self.expression("ct", |ct| {
            ct.be32(wire::NFTA_CT_KEY, wire::NFT_CT_MARK);
            ct.be32(wire::NFTA_CT_SREG, Register::FIRST.number());
        });
    }

    fn is_direction(&mut self, direction: u8) {
        self.load_connection(wire::NFT_CT_DIRECTION, Register::FIRST);
        self.compare(&[direction], false);
    }

    /// Goes on if the connection's state, status or mark has one of the bits.
    fn connection(&mut self, key: u32, bits: u32) {
        self.load_connection(key, Register::FIRST);
        self.any_bit(bits);
    }

    /// Goes on if the first register has one of the bits.
    fn any_bit(&mut self, bits: u32) {
        self.bitwise(&bits.to_ne_bytes(), &[0; 4]);
        self.compare(&[0; 4], true);
    }

    fn is_local(&mut self, address: Expr) {
        let flags = match address {
            Expr::SourceAddress => wire::NFTA_FIB_F_SADDR,
            _ => wire::NFTA_FIB_F_DADDR,
        };
        self.expression("fib", |fib| {
            fib.be32(wire::NFTA_FIB_DREG, Register::FIRST.number());
            fib.be32(wire::NFTA_FIB_RESULT, wire::NFT_FIB_RESULT_ADDRTYPE);
            fib.be32(wire::NFTA_FIB_FLAGS, flags);
        });
        self.compare(&wire::RTN_LOCAL.to_ne_bytes(), false);
    }

    /// A packet without a socket has no user at all, which ends the rule.
    fn has_sender(&mut self) {
        self.load_meta(wire::NFT_META_SKUID, Register::FIRST);
        self.compare(&NOBODY.to_ne_bytes(), true);
    }

    fn is_transparent(&mut self) {
        self.expression("socket", |socket| {
            socket.be32(wire::NFTA_SOCKET_KEY, wire::NFT_SOCKET_TRANSPARENT);
            socket.be32(wire::NFTA_SOCKET_DREG, Register::FIRST.number());
        });
        self.compare(&[1], false);
    }

    /// Compares as much of the address as the network has. Like `nft`, loads only that much when
    /// it is whole bytes.
    pub(crate) fn in_net(&mut self, address: Expr, net: IpNet, negate: bool) {
        let (network, mask) = (octets(net.network()), octets(net.netmask()));
        let prefix = net.prefix_len();
        let in_packet = matches!(address, Expr::SourceAddress | Expr::DestinationAddress);
        if in_packet && prefix > 0 && prefix.is_multiple_of(8) {
            let length = prefix / 8;
            self.load_address(address, u32::from(length), Register::FIRST);
            self.compare(&network[..usize::from(length)], negate);
        } else {
            self.load_field(address, Register::FIRST);
            self.bitwise(&mask, &vec![0; mask.len()]);
            self.compare(&network, negate);
        }
    }

    /// The kernel pads a name with NUL to `IFNAMSIZ` bytes (linux/if.h), which a whole name is
    /// compared with.
    fn input_interface(&mut self, name: &str, prefix: bool, negate: bool) {
        let mut padded = [0; libc::IFNAMSIZ];
        let length = name.len().min(padded.len());
        padded[..length].copy_from_slice(&name.as_bytes()[..length]);
        self.load_meta(wire::NFT_META_IIFNAME, Register::FIRST);
        self.compare(if prefix { &padded[..length] } else { &padded }, negate);
    }

    fn dynset(
        &mut self,
        op: u32,
        map: SetName,
        key: &[Expr],
        data: &[Expr],
        timeout: Option<Duration>,
    ) {
        let data_register = self.load(key, Register::FIRST);
        self.load(data, data_register);
        self.expression("dynset", |dynset| {
            dynset.string(wire::NFTA_DYNSET_SET_NAME, map);
            dynset.be32(wire::NFTA_DYNSET_OP, op);
            dynset.be32(wire::NFTA_DYNSET_SREG_KEY, Register::FIRST.number());
            dynset.be32(wire::NFTA_DYNSET_SREG_DATA, data_register.number());
            if let Some(timeout) = timeout {
                let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                dynset.be64(wire::NFTA_DYNSET_TIMEOUT, milliseconds);
            }
        });
    }

    /// Translates to the address in the first registers and the port in the one after it.
    fn dnat(&mut self) {
        let port = Register(self.address_length() / 4);
        let family = u32::from(wire::family_number(self.family));
        self.expression("nat", |nat| {
            nat.be32(wire::NFTA_NAT_TYPE, wire::NFT_NAT_DNAT);
            nat.be32(wire::NFTA_NAT_FAMILY, family);
            nat.be32(wire::NFTA_NAT_REG_ADDR_MIN, Register::FIRST.number());
            nat.be32(wire::NFTA_NAT_REG_PROTO_MIN, port.number());
        });
    }

    /// Gives the packet to the socket at the loopback address and the port that the map holds.
    fn tproxy(&mut self, key: &[Expr], map: SetName) {
        let port = Register::AFTER_ADDRESS;
        self.load_value(&octets(loopback(self.family)));
        self.load(key, port);
        self.lookup_at(port, map, Some(port.number()), false);
        let family = u32::from(wire::family_number(self.family));
        self.expression("tproxy", |tproxy| {
            tproxy.be32(wire::NFTA_TPROXY_FAMILY, family);
            tproxy.be32(wire::NFTA_TPROXY_REG_ADDR, Register::FIRST.number());
            tproxy.be32(wire::NFTA_TPROXY_REG_PORT, port.number());
        });
    }

    fn reject(&mut self) {
        let code = match self.family {
            Family::Ip => wire::ICMP_PORT_UNREACH,
            Family::Ip6 => wire::ICMPV6_PORT_UNREACH,
        };
        self.expression("reject", |reject| {
            reject.be32(wire::NFTA_REJECT_TYPE, wire::NFT_REJECT_ICMP_UNREACH);
            reject.u8(wire::NFTA_REJECT_ICMP_CODE, code);
        });
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

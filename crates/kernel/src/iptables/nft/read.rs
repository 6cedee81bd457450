//! Reads chains and rules of iptables' tables.

use super::super::handle::{ObservedHook, ObservedTable};
use super::super::ruleset::{ChainName, Family, TableId};
use crate::error::CallError;
use crate::netlink::{Attribute, Attributes, Builder, Message, Request, Socket};
use crate::nft::jumps::verdict_chain;
use crate::nft::observe::{is_of, name_table, read_table, request, steady};
use crate::nft::ruleset::TableId as NftTableId;
use crate::nft::socket::NftSocket;
use crate::nft::{userdata, wire};

/// The table as nf_tables calls it.
pub(super) fn nft_table(table: TableId) -> NftTableId {
    NftTableId {
        family: table.family,
        name: table.table.name(),
    }
}

/// An extension of iptables that every kernel has that has any (`CONFIG_NETFILTER_XT_MATCH_COMMENT`).
const USUAL: &str = "comment";

/// Asks whether the kernel has extensions of iptables, and loads what they all need.
pub(super) fn has_extensions(socket: &mut Socket) -> Result<bool, CallError> {
    has_match(socket, USUAL)
}

/// As [`has_extensions`].
///
/// # Errors
/// `EOPNOTSUPP` when it has none.
pub(super) fn check_extensions(socket: &mut Socket) -> Result<(), CallError> {
    match has_extensions(socket)? {
        true => Ok(()),
        false => Err(CallError {
            call: GET_EXTENSION,
            object: USUAL.to_owned(),
            errno: libc::EOPNOTSUPP,
        }),
    }
}

const GET_EXTENSION: &str = "NFNL_MSG_COMPAT_GET";

/// Whether rules can have a match of this name; the kernel loads it if it can.
pub(crate) fn has_match(socket: &mut Socket, name: &str) -> Result<bool, CallError> {
    let request = Request {
        kind: wire::NFNL_MSG_COMPAT_GET,
        flags: 0,
        call: GET_EXTENSION,
        object: name,
    };
    let answer = socket.request(&request, |body| {
        wire::header(body, wire::family_number(Family::Ip), 0);
        body.string(wire::NFTA_EXTENSION_NAME, name);
        body.be32(wire::NFTA_EXTENSION_REV, 0);
        body.be32(wire::NFTA_COMPAT_TYPE, 0);
    });
    match answer {
        // What nfnetlink says of a subsystem that it does not know, and what that says of an
        // extension.
        Err(error) if [libc::EINVAL, libc::ENOENT].contains(&error.errno) => Ok(false),
        answer => answer.map(|()| true),
    }
}

/// Reads what concerns the caller in a table, as it was at one moment: of the rules, those of
/// the built-in chains alone.
pub(super) fn observe(
    nft: &mut NftSocket,
    table: TableId,
) -> Result<Option<ObservedTable>, CallError> {
    steady(nft, nft_table(table), |socket| {
        if read_table(socket, nft_table(table))?.is_none() {
            return Ok(None);
        }
        let built_in = table.table.built_in();
        let (base, chains): (Vec<_>, Vec<_>) = chains(socket, table)?
            .into_iter()
            .partition(|chain| built_in.contains(&&**chain));
        let mut observed = ObservedTable {
            chains,
            hooks: Vec::new(),
        };
        for chain in built_in
            .iter()
            .filter(|name| base.iter().any(|of| **of == ***name))
        {
            observed.hooks.extend(hooks(socket, table, chain)?);
        }
        Ok(Some(observed))
    })
}

/// Whether there is such a chain.
pub(super) fn has_chain(
    socket: &mut Socket,
    table: TableId,
    chain: &str,
) -> Result<bool, CallError> {
    let body = |body: &mut Builder| {
        name_table(body, nft_table(table));
        body.string(wire::NFTA_CHAIN_NAME, chain);
    };
    let request = request(wire::NFT_MSG_GETCHAIN, "NFT_MSG_GETCHAIN", nft_table(table));
    match socket.query(&request, body, |(), _| ()) {
        Err(error) if error.errno == libc::ENOENT => Ok(false),
        answer => answer.map(|()| true),
    }
}

/// Gives each rule of a chain to `collect`, in order; none when there is no such chain.
pub(super) fn rules<T: Default>(
    socket: &mut Socket,
    table: TableId,
    chain: &str,
    collect: impl FnMut(&mut T, &Message<'_>),
) -> Result<T, CallError> {
    let body = |body: &mut Builder| {
        name_table(body, nft_table(table));
        body.string(wire::NFTA_RULE_CHAIN, chain);
    };
    let request = request(wire::NFT_MSG_GETRULE, "NFT_MSG_GETRULE", nft_table(table));
    match socket.dump(&request, body, collect) {
        Err(error) if error.errno == libc::ENOENT => Ok(T::default()),
        answer => answer,
    }
}

/// The chain that a rule leads to.
pub(super) fn leads_to<'a>(message: &Message<'a>) -> Option<&'a str> {
    let attributes = message.attributes(wire::HEADER);
    let expressions = attributes.find(wire::NFTA_RULE_EXPRESSIONS)?;
    expressions.nested().find_map(verdict_chain)
}

/// An expression's name and data.
pub(super) fn named(expression: Attribute<'_>) -> Option<(&str, Attribute<'_>)> {
    let name = expression.nested().find(wire::NFTA_EXPR_NAME)?.str()?;
    let data = expression.nested().find(wire::NFTA_EXPR_DATA)?;
    Some((name, data))
}

/// The names of all chains of the table.
fn chains(socket: &mut Socket, table: TableId) -> Result<Vec<ChainName>, CallError> {
    let table = nft_table(table);
    socket.dump(
        &request(wire::NFT_MSG_GETCHAIN, "NFT_MSG_GETCHAIN", table),
        |body| name_table(body, table),
        |chains: &mut Vec<_>, message| {
            // The kernel gives the chains of all tables of the family.
            if is_of(message, table) {
                let name = message.attributes(wire::HEADER).find(wire::NFTA_CHAIN_NAME);
                chains.extend(name.and_then(|name| name.str()).map(ChainName::from));
            }
        },
    )
}

/// The rules of a built-in chain that lead to another chain.
fn hooks(socket: &mut Socket, table: TableId, chain: &str) -> Result<Vec<ObservedHook>, CallError> {
    rules(socket, table, chain, |hooks: &mut Vec<_>, message| {
        hooks.extend(leads_to(message).map(|target| ObservedHook {
            chain: chain.into(),
            target: target.into(),
            comment: comment(message).map(str::to_owned),
        }));
    })
}

/// The comment of a rule: of iptables' extension, or what `nft` shows as one.
fn comment<'a>(message: &Message<'a>) -> Option<&'a str> {
    let attributes = message.attributes(wire::HEADER);
    let expressions = attributes.clone().find(wire::NFTA_RULE_EXPRESSIONS);
    let extension = expressions.and_then(|list| list.nested().filter_map(named).find_map(of_match));
    extension.or_else(|| {
        let userdata = attributes.find(wire::NFTA_RULE_USERDATA)?;
        userdata::read_comment(userdata.payload)
    })
}

/// The comment of `-m comment`.
fn of_match<'a>((name, data): (&str, Attribute<'a>)) -> Option<&'a str> {
    let find = |kind| Attributes::find(data.nested(), kind)?.str();
    let is_comment = name == "match" && find(wire::NFTA_EXTENSION_NAME) == Some("comment");
    find(wire::NFTA_EXTENSION_INFO).filter(|_| is_comment)
}

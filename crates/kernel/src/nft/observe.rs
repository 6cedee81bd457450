//! Reads a table back.

mod element;

use element::{ChainNames, read_elements};

use super::encode::{hook_number, kind_name};
use super::handle::{CallError, ObservedChain, ObservedSet, ObservedTable};
use super::ruleset::{BaseHook, ChainKind, Hook, TableId};
use super::socket::NftSocket;
use super::{userdata, wire};
use crate::netlink::{Attribute, Attributes, Builder, Message, Request, Socket};

/// How often a table that others change meanwhile is read anew before it is given up.
const ATTEMPTS: usize = 10;

/// Reads a table as it was at one moment: `None` when there is none.
///
/// # Errors
/// `EAGAIN` when it was changed again and again meanwhile.
pub(super) fn observe(
    nft: &mut NftSocket,
    table: TableId,
) -> Result<Option<ObservedTable>, CallError> {
    steady(nft, table, |socket| read(socket, table))
}

/// What `read` reads of a table while nobody changes anything.
///
/// # Errors
/// `EAGAIN` when something was changed again and again meanwhile.
pub(crate) fn steady<T>(
    nft: &mut NftSocket,
    table: TableId,
    mut read: impl FnMut(&mut Socket) -> Result<T, CallError>,
) -> Result<T, CallError> {
    for _ in 0..ATTEMPTS {
        let before = nft.generation()?;
        let observed = read(nft.as_mut());
        if nft.generation()? == before {
            return observed;
        }
    }
    Err(CallError {
        call: "observe",
        object: format!("table {}", table.name),
        errno: libc::EAGAIN,
    })
}

fn read(socket: &mut Socket, table: TableId) -> Result<Option<ObservedTable>, CallError> {
    let Some(mut observed) = read_table(socket, table)? else {
        return Ok(None);
    };
    observed.chains = read_chains(socket, table)?;
    let mut chain_names = ChainNames::default();
    for described in read_sets(socket, table)? {
        let mut set = described.set.clone();
        if !set.dynamic {
            set.elements = read_elements(socket, table, &described, &mut chain_names)?;
        }
        observed.sets.push(set);
    }
    Ok(Some(observed))
}

/// The table without what is in it.
pub(crate) fn read_table(
    socket: &mut Socket,
    table: TableId,
) -> Result<Option<ObservedTable>, CallError> {
    let answer = socket.query(
        &request(wire::NFT_MSG_GETTABLE, "NFT_MSG_GETTABLE", table),
        |body| name_table(body, table),
        |observed: &mut ObservedTable, message| {
            let userdata = message
                .attributes(wire::HEADER)
                .find(wire::NFTA_TABLE_USERDATA);
            observed.comment = userdata
                .and_then(|userdata| userdata::read_comment(userdata.payload))
                .map(str::to_owned);
        },
    );
    match answer {
        Err(error) if error.errno == libc::ENOENT => Ok(None),
        answer => answer.map(Some),
    }
}

fn read_chains(socket: &mut Socket, table: TableId) -> Result<Vec<ObservedChain>, CallError> {
    socket.dump(
        &request(wire::NFT_MSG_GETCHAIN, "NFT_MSG_GETCHAIN", table),
        |body| name_table(body, table),
        |chains: &mut Vec<_>, message| {
            // The kernel gives the chains of all tables of the family.
            if is_of(message, table) {
                chains.extend(chain(message.attributes(wire::HEADER)));
            }
        },
    )
}

fn chain(attributes: Attributes<'_>) -> Option<ObservedChain> {
    let (mut name, mut hook, mut kind) = (None, None, None);
    let (mut flags, mut policy) = (0, None);
    for attribute in attributes {
        match attribute.kind {
            wire::NFTA_CHAIN_NAME => name = attribute.str(),
            wire::NFTA_CHAIN_HOOK => hook = Some(attribute),
            wire::NFTA_CHAIN_TYPE => kind = attribute.str(),
            wire::NFTA_CHAIN_FLAGS => flags = attribute.be32()?,
            wire::NFTA_CHAIN_POLICY => policy = attribute.be32(),
            _ => {}
        }
    }
    let base = hook.and_then(|hook| base_hook(&hook, kind));
    let foreign = hook.is_some() != base.is_some()
        || flags & !wire::NFT_CHAIN_BASE != 0
        || policy.is_some_and(|policy| policy != wire::NF_ACCEPT.cast_unsigned());
    Some(ObservedChain {
        name: name?.to_owned(),
        hook: base,
        foreign,
    })
}

fn base_hook(hook: &Attribute<'_>, kind: Option<&str>) -> Option<BaseHook> {
    use Hook::{Forward, Input, Output, Postrouting, Prerouting};
    let number = hook.nested().find(wire::NFTA_HOOK_HOOKNUM)?.be32()?;
    let priority = hook
        .nested()
        .find(wire::NFTA_HOOK_PRIORITY)?
        .be32()?
        .cast_signed();
    let hook = [Prerouting, Input, Forward, Output, Postrouting]
        .into_iter()
        .find(|hook| hook_number(*hook) == number)?;
    let kind = [ChainKind::Filter, ChainKind::Nat, ChainKind::Route]
        .into_iter()
        .find(|known| kind == Some(kind_name(*known)))?;
    Some(BaseHook {
        kind,
        hook,
        priority,
    })
}

/// A set as the kernel describes it.
struct Described {
    /// The set without its elements.
    set: ObservedSet,
    /// Its keys are not concatenations.
    single_field: bool,
    /// How many elements it has, if the kernel says it.
    count: Option<u32>,
}

/// The table's named sets.
fn read_sets(socket: &mut Socket, table: TableId) -> Result<Vec<Described>, CallError> {
    socket.dump(
        &request(wire::NFT_MSG_GETSET, "NFT_MSG_GETSET", table),
        |body| name_table(body, table),
        |sets: &mut Vec<_>, message| {
            if is_of(message, table) {
                sets.extend(set(message.attributes(wire::HEADER)));
            }
        },
    )
}

fn set(attributes: Attributes<'_>) -> Option<Described> {
    let (mut name, mut flags, mut key_len, mut size) = (None, 0, 0, None);
    let (mut data_type, mut data_len, mut count) = (None, None, None);
    let mut counted = false;
    for attribute in attributes {
        match attribute.kind {
            wire::NFTA_SET_NAME => name = attribute.str(),
            wire::NFTA_SET_FLAGS => flags = attribute.be32()?,
            wire::NFTA_SET_KEY_LEN => key_len = attribute.be32()?,
            wire::NFTA_SET_DATA_TYPE => data_type = attribute.be32(),
            wire::NFTA_SET_DATA_LEN => data_len = attribute.be32(),
            wire::NFTA_SET_EXPR => counted = is_counter(&attribute),
            wire::NFTA_SET_COUNT => count = attribute.be32(),
            wire::NFTA_SET_DESC => {
                let described = attribute.nested().find(wire::NFTA_SET_DESC_SIZE);
                size = described.and_then(|size| size.be32());
            }
            _ => {}
        }
    }
    let has = |flag| flags & flag != 0;
    let verdict_map = data_type == Some(wire::NFT_DATA_VERDICT);
    let set = ObservedSet {
        name: name?.to_owned(),
        key_len,
        data_len: data_len.filter(|_| has(wire::NFT_SET_MAP) && !verdict_map),
        verdict_map,
        interval: has(wire::NFT_SET_INTERVAL),
        dynamic: has(wire::NFT_SET_EVAL),
        counted,
        size,
        elements: Vec::new(),
    };
    (!has(wire::NFT_SET_ANONYMOUS)).then_some(Described {
        set,
        single_field: !has(wire::NFT_SET_CONCAT),
        count,
    })
}

/// An expression that is a counter.
fn is_counter(expression: &Attribute<'_>) -> bool {
    let name = expression.nested().find(wire::NFTA_EXPR_NAME);
    name.and_then(|name| name.str()) == Some("counter")
}

pub(crate) fn name_table(body: &mut Builder, table: TableId) {
    wire::header(body, wire::family_number(table.family), 0);
    body.string(wire::NFTA_TABLE, table.name);
}

pub(crate) fn is_of(message: &Message<'_>, table: TableId) -> bool {
    let name = message.attributes(wire::HEADER).find(wire::NFTA_TABLE);
    message.payload.first() == Some(&wire::family_number(table.family))
        && name.and_then(|name| name.str()) == Some(table.name)
}

pub(crate) fn request(kind: u16, call: &'static str, table: TableId) -> Request<'static> {
    Request {
        kind,
        flags: 0,
        call,
        object: table.name,
    }
}

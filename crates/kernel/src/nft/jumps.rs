//! Which rules of a table send packets to which chains: enough to unhook chains that others made.

use super::observe::{is_of, name_table, request};
use super::ruleset::{ChainName, TableId};
use super::wire;
use crate::error::CallError;
use crate::netlink::{Attribute, Attributes, Socket};

/// A rule that jumps or goes to a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jump {
    /// The chain that the rule is in.
    pub chain: ChainName,
    /// The rule's handle.
    pub handle: u64,
    /// The chain that packets are sent to.
    pub target: ChainName,
}

pub(super) fn read(socket: &mut Socket, table: TableId) -> Result<Vec<Jump>, CallError> {
    let answer = socket.dump(
        &request(wire::NFT_MSG_GETRULE, "NFT_MSG_GETRULE", table),
        |body| name_table(body, table),
        |jumps: &mut Vec<_>, message| {
            if is_of(message, table) {
                jumps.extend(jump(message.attributes(wire::HEADER)));
            }
        },
    );
    match answer {
        Err(error) if error.errno == libc::ENOENT => Ok(Vec::new()),
        answer => answer,
    }
}

fn jump(attributes: Attributes<'_>) -> Option<Jump> {
    let (mut chain, mut handle, mut target) = (None, None, None);
    for attribute in attributes {
        match attribute.kind {
            wire::NFTA_RULE_CHAIN => chain = attribute.str(),
            wire::NFTA_RULE_HANDLE => handle = attribute.be64(),
            wire::NFTA_RULE_EXPRESSIONS => target = attribute.nested().find_map(verdict_chain),
            _ => {}
        }
    }
    Some(Jump {
        chain: chain?.into(),
        handle: handle?,
        target: target?.into(),
    })
}

/// The chain that an expression's verdict names, if it is one.
pub(crate) fn verdict_chain(expression: Attribute<'_>) -> Option<&str> {
    let name = expression.nested().find(wire::NFTA_EXPR_NAME)?.str();
    let data = expression.nested().find(wire::NFTA_EXPR_DATA)?;
    let immediate = data.nested().find(wire::NFTA_IMMEDIATE_DATA)?;
    let verdict = immediate.nested().find(wire::NFTA_DATA_VERDICT)?;
    let chain = verdict.nested().find(wire::NFTA_VERDICT_CHAIN)?.str();
    chain.filter(|_| name == Some("immediate"))
}

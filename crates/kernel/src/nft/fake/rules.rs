//! What the fake asks of rules: that they fit the sets they use, and that packets which follow
//! them come to no place where a statement cannot be, and to an end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::rule::{Expr, Rule, Statement};
use super::super::ruleset::{BaseHook, ChainKind, DataType, Hook, Type};
use super::set::FilledSet;
use super::table::Table;

/// The most jumps and gotos from a base chain on (`NFT_JUMP_STACK_SIZE`,
/// net/netfilter/nf_tables.h).
const DEEPEST: usize = 16;

/// Whether a rule may be added: the errno when what it names is not there or of another kind.
pub(super) fn check(table: &Table, rule: &Rule) -> Result<(), i32> {
    let mut statements = rule.statements.iter();
    statements.try_for_each(|statement| check_statement(table, statement))
}

fn check_statement(table: &Table, statement: &Statement) -> Result<(), i32> {
    let set = |name: &str| table.sets.get(name).ok_or(libc::ENOENT);
    match statement {
        Statement::Jump(chain) | Statement::Goto(chain) => table.may_go_to(chain),
        Statement::Count(counter) => table.has_counter(counter),
        Statement::InSet { key, set: name, .. } => has_key(set(name)?, key),
        Statement::VerdictMap { key, map } => {
            has_key(set(map)?, key)?;
            holds(set(map)?, &DataType::Verdict)
        }
        Statement::SetDestinationFromMap { key, map } => {
            has_key(set(map)?, key)?;
            holds(set(map)?, &DataType::Fields(&[Type::Address]))
        }
        Statement::Dnat { key, map } => {
            has_key(set(map)?, key)?;
            holds(set(map)?, &DataType::Fields(&[Type::Address, Type::Port]))
        }
        Statement::Tproxy { key, map } => {
            has_key(set(map)?, key)?;
            holds(set(map)?, &DataType::Fields(&[Type::Port]))
        }
        Statement::Update { map, key, data, .. } | Statement::Forget { map, key, data } => {
            let map = set(map)?;
            if !map.set.dynamic {
                return Err(libc::EOPNOTSUPP);
            }
            has_key(map, key)?;
            let types = match &map.set.data {
                Some(DataType::Fields(types)) => *types,
                _ => return Err(libc::EINVAL),
            };
            is_of(types, data)
        }
        _ => Ok(()),
    }
}

fn has_key(set: &FilledSet, key: &[Expr]) -> Result<(), i32> {
    is_of(set.set.key, key)
}

fn is_of(types: &[Type], exprs: &[Expr]) -> Result<(), i32> {
    let found = exprs.iter().map(|expr| type_of(*expr));
    found
        .eq(types.iter().copied())
        .then_some(())
        .ok_or(libc::EINVAL)
}

fn type_of(expr: Expr) -> Type {
    match expr {
        Expr::SourceAddress | Expr::DestinationAddress | Expr::OriginalDestination => Type::Address,
        Expr::Protocol => Type::Protocol,
        Expr::DestinationPort | Expr::OriginalPort => Type::Port,
        Expr::Direction => Type::Direction,
        Expr::Random { .. } => Type::Number,
    }
}

fn holds(map: &FilledSet, data: &DataType) -> Result<(), i32> {
    (map.set.data.as_ref() == Some(data))
        .then_some(())
        .ok_or(libc::EINVAL)
}

/// The chains that a rule names.
pub(super) fn chains(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.statements.iter().filter_map(target)
}

fn target(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::Jump(chain) | Statement::Goto(chain) => Some(chain),
        _ => None,
    }
}

/// The sets that a rule names.
pub(super) fn sets(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.statements
        .iter()
        .filter_map(|statement| match statement {
            Statement::InSet { set: name, .. }
            | Statement::VerdictMap { map: name, .. }
            | Statement::SetDestinationFromMap { map: name, .. }
            | Statement::Dnat { map: name, .. }
            | Statement::Tproxy { map: name, .. }
            | Statement::Update { map: name, .. }
            | Statement::Forget { map: name, .. } => Some(*name),
            _ => None,
        })
}

/// Follows the rules from every base chain on. `EOPNOTSUPP` for a statement where its hook does
/// not allow it, `EMLINK` for a way that is too long or goes in a circle (`nft_chain_validate`).
/// What no base chain leads to is not looked at.
pub(super) fn validate(table: &Table) -> Result<(), i32> {
    let targets: BTreeMap<&str, BTreeSet<&str>> = table
        .sets
        .iter()
        .map(|(name, set)| (*name, set.targets().collect()))
        .collect();
    let mut base_chains = table.chains.iter().filter_map(|(name, filled)| {
        let base = filled.chain.hook?;
        Some((name, base))
    });
    base_chains.try_for_each(|(name, base)| {
        let mut walk = Walk {
            table,
            targets: &targets,
            base,
            deepest: HashMap::new(),
        };
        walk.chain(name, 0)
    })
}

/// The way of packets that come from one base chain.
struct Walk<'a> {
    table: &'a Table,
    /// The chains that verdict maps lead to.
    targets: &'a BTreeMap<&'a str, BTreeSet<&'a str>>,
    base: BaseHook,
    /// How far from the base chain each chain was seen to be allowed.
    deepest: HashMap<&'a str, usize>,
}

impl<'a> Walk<'a> {
    fn chain(&mut self, name: &'a str, level: usize) -> Result<(), i32> {
        if level == DEEPEST {
            return Err(libc::EMLINK);
        }
        if self.deepest.get(name).is_some_and(|seen| *seen >= level) {
            return Ok(());
        }
        let table = self.table;
        for statement in table.rules(name).iter().flat_map(|rule| &rule.statements) {
            if !is_allowed(self.base, statement) {
                return Err(libc::EOPNOTSUPP);
            }
            if let Some(chain) = target(statement) {
                self.chain(chain, level + 1)?;
            }
            if let Statement::VerdictMap { map, .. } = statement {
                let targets = self.targets.get(map).into_iter().flatten();
                for chain in targets {
                    self.chain(chain, level + 1)?;
                }
            }
        }
        self.deepest.insert(name, level);
        Ok(())
    }
}

/// Where the kernel has a statement (`nft_chain_validate_dependency`,
/// `nft_chain_validate_hooks`).
fn is_allowed(base: BaseHook, statement: &Statement) -> bool {
    let nat = base.kind == ChainKind::Nat;
    match statement {
        Statement::Dnat { .. } => nat && matches!(base.hook, Hook::Prerouting | Hook::Output),
        Statement::Tproxy { .. } => base.hook == Hook::Prerouting,
        Statement::IsTransparent => {
            matches!(base.hook, Hook::Prerouting | Hook::Input | Hook::Output)
        }
        Statement::Masquerade => nat && base.hook == Hook::Postrouting,
        Statement::Reject | Statement::Reset => base.hook != Hook::Postrouting,
        _ => true,
    }
}

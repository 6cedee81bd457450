//! The path of a connection through the proxy's table.
//!
//! What is in the maps is what the kernel has. The rules are those that the proxy makes of the same
//! manifests: the kernel is not asked for rules.

use std::collections::HashMap;

use fairlead_backends::nftables::{Elements, Found};
use fairlead_core::model::Destination;
use fairlead_kernel::nft::rule::{Rule, Statement};
use fairlead_kernel::nft::ruleset::{
    Batch, Bytes, ChainKind, Data, Element, Hook, Op, SetName, Verdict,
};
use fairlead_kernel::nft::schema::{self, Schema};
use fairlead_kernel::nft::text;

/// A chain that the connection comes through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The chain's name.
    pub(super) chain: String,
    /// Its rules that say how the connection goes on.
    pub(super) rules: Vec<Traced>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Traced {
    /// The rule in `nft`'s words.
    pub(super) rule: String,
    /// The elements that it can find for the connection, in `nft`'s words.
    pub(super) elements: Vec<String>,
}

/// The path of a connection that comes in from elsewhere, a pod or beyond, to an endpoint. `plan`
/// makes the table, of which `found` is what is there. Empty when the table says nothing of the
/// destination.
pub(super) fn trace(plan: &Batch, found: &Found, destination: Destination) -> Vec<Step> {
    let table = Table::new(plan, found, destination);
    let entry = table.entry.and_then(|entry| table.way_in(entry));
    let Some((mut steps, first)) = entry else {
        return Vec::new();
    };
    let mut next = Some(first);
    while let Some(chain) = next {
        let (step, after) = table.dispatch(&chain);
        steps.push(step);
        next = after;
    }
    steps
}

/// The table, as a connection to one destination sees it.
struct Table<'a> {
    schema: Schema<'a>,
    chains: HashMap<&'a str, Vec<&'a Rule>>,
    /// Where connections come in.
    entry: Option<&'a str>,
    elements: &'a Elements,
    destination: Bytes,
}

impl<'a> Table<'a> {
    fn new(plan: &'a Batch, found: &'a Found, destination: Destination) -> Table<'a> {
        let mut chains: HashMap<&str, Vec<&Rule>> = HashMap::new();
        let mut entry = None;
        for op in &plan.ops {
            match op {
                Op::AddRule { chain, rule } => chains.entry(chain).or_default().push(rule),
                Op::AddChain(chain) => {
                    let translates = chain.hook.is_some_and(|hook| {
                        (hook.kind, hook.hook) == (ChainKind::Nat, Hook::Prerouting)
                    });
                    entry = entry.or(translates.then_some(&*chain.name));
                }
                _ => {}
            }
        }
        Table {
            schema: Schema::of(plan),
            chains,
            entry,
            elements: &found.elements,
            destination: key(destination),
        }
    }

    /// The chains from `chain` to the element that says where the destination's connections go,
    /// and where that is.
    fn way_in(&self, chain: &str) -> Option<(Vec<Step>, String)> {
        for rule in self.rules(chain) {
            let (mut steps, next, elements) = match rule.statements.last()? {
                Statement::Jump(next) => match self.way_in(next) {
                    Some((steps, first)) => (steps, first, Vec::new()),
                    None => continue,
                },
                Statement::VerdictMap { map, .. } => {
                    match self.elements.find(map, &self.destination) {
                        Some(element) => (
                            Vec::new(),
                            target(element)?,
                            vec![text::element(&self.schema, map, element)],
                        ),
                        None => continue,
                    }
                }
                _ => continue,
            };
            let rules = vec![self.traced(rule, elements)];
            let chain = chain.to_owned();
            steps.insert(0, Step { chain, rules });
            return Some((steps, next));
        }
        None
    }

    /// What a chain does that an element has sent the connection to, and where it sends it on.
    fn dispatch(&self, chain: &str) -> (Step, Option<String>) {
        let (mut rules, mut next) = (Vec::new(), None);
        for rule in self.rules(chain) {
            let map = rule
                .statements
                .iter()
                .find_map(|statement| match statement {
                    Statement::Dnat { map, .. } => Some(*map),
                    _ => None,
                });
            let elements = map.map_or_else(Vec::new, |map| self.choices(map));
            if map.is_some() && elements.is_empty() {
                continue;
            }
            rules.push(self.traced(rule, elements));
            // Where its slots are, it is translated.
            if map.is_some() {
                break;
            }
            if let Some(Statement::Goto(chain)) = rule.statements.last() {
                next = Some(chain.to_string());
            }
        }
        let chain = chain.to_owned();
        (Step { chain, rules }, next)
    }

    /// The elements of a map whose keys begin with the destination.
    fn choices(&self, map: SetName) -> Vec<String> {
        let types = self.schema.set(map).map_or(&[][..], |set| set.key);
        let begins = |key: &Bytes| key.as_slice().starts_with(self.destination.as_slice());
        let all = self.elements.of(map).iter();
        let mut elements: Vec<&Element> = all.filter(|element| begins(&element.key)).collect();
        elements
            .sort_by_cached_key(|one| schema::fields(types, self.schema.table.family, &one.key));
        elements
            .into_iter()
            .map(|element| text::element(&self.schema, map, element))
            .collect()
    }

    fn rules(&self, chain: &str) -> impl Iterator<Item = &'a Rule> + use<'a> {
        self.chains.get(chain).cloned().into_iter().flatten()
    }

    fn traced(&self, rule: &Rule, elements: Vec<String>) -> Traced {
        Traced {
            rule: text::rule(self.schema.table.family, rule),
            elements,
        }
    }
}

fn target(element: &Element) -> Option<String> {
    match &element.data {
        Some(Data::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain))) => Some(chain.to_string()),
        _ => None,
    }
}

/// The key that the maps have the destination by.
fn key(destination: Destination) -> Bytes {
    match destination {
        Destination::Address(ip, protocol, port) => Bytes::new()
            .address(ip)
            .protocol(protocol.number())
            .port(port),
        Destination::NodePort(_, protocol, port) => {
            Bytes::new().protocol(protocol.number()).port(port)
        }
    }
}

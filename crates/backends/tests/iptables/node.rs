//! A fake iptables with an engine on it, and what its tables mean.

use std::collections::BTreeSet;

use fairlead_backends::engine::Engine;
use fairlead_backends::iptables::{CT_INVALID_DROPPED, Iptables, LOCALHOST_ACCEPTED, Shared};
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::settings::{NodePortAddresses, Settings};
use fairlead_kernel::fault::Faulty;
use fairlead_kernel::iptables::fake::FakeIptables;
use fairlead_kernel::iptables::ruleset;

use crate::any::{self, Faults, never};

/// A node on a fake that may fail.
pub(crate) type Node = any::Node<Iptables, Faulty<FakeIptables, Faults>>;

/// iptables with the accounting objects that our rules count in.
pub(crate) fn empty() -> FakeIptables {
    let mut iptables = FakeIptables::new();
    iptables.account(CT_INVALID_DROPPED);
    iptables.account(LOCALHOST_ACCEPTED);
    iptables
}

/// What kube-proxy does unless it is told otherwise, with a detector.
pub(crate) fn settings() -> Settings {
    Settings {
        node_port_addresses: NodePortAddresses {
            all: true,
            localhost: true,
            ..NodePortAddresses::default()
        },
        ..any::settings()
    }
}

impl Node {
    /// A node whose iptables fails as told.
    pub(crate) fn new(iptables: FakeIptables, faults: Faults) -> Node {
        let handle = Faulty::new(iptables, faults);
        let engine = Engine::new(Iptables::default(), handle, &Family::BOTH);
        Node::on(engine, settings(), &["192.0.2.10"])
    }

    /// A node whose iptables never fails, after these changes and a sync.
    pub(crate) fn settled(
        iptables: FakeIptables,
        changes: impl IntoIterator<Item = Change>,
    ) -> Node {
        Node::new(iptables, never()).settled_after(changes)
    }

    pub(crate) fn iptables(&mut self) -> &mut FakeIptables {
        self.engine.kernel().handle_mut()
    }

    /// All tables of both families, with the rules of shared chains in the order of Services.
    pub(crate) fn meaning(&mut self) -> String {
        meaning(self.iptables())
    }

    /// All tables of IPv4 as they are.
    pub(crate) fn save(&mut self) -> String {
        self.iptables().save(ruleset::Family::Ip)
    }
}

/// All tables of both families, with the rules of shared chains in the order of Services: among
/// the rules of different Services the order there is free.
pub(crate) fn meaning(iptables: &FakeIptables) -> String {
    let families = [ruleset::Family::Ip, ruleset::Family::Ip6];
    for family in families {
        has_what_it_needs(&iptables.save(family));
    }
    families
        .map(|family| sorted(&iptables.save(family)))
        .concat()
}

fn sorted(save: &str) -> String {
    let mut lines: Vec<&str> = save.lines().collect();
    let is_shared = |line: &str| {
        let chain = line
            .strip_prefix("-A ")
            .and_then(|rest| rest.split(' ').next());
        Shared::ALL
            .iter()
            .any(|shared| Some(shared.chain()) == chain)
    };
    for run in lines.chunk_by_mut(|a, b| is_shared(a) && is_shared(b) && chain(a) == chain(b)) {
        let last = run.iter().position(|line| service(line) == "kubernetes");
        // What dispatches node ports comes after every Service's rules.
        assert!(
            last.is_none_or(|last| run[last..].iter().all(|line| service(line) == "kubernetes"))
        );
        run.sort_by_key(|line| service(line).to_owned());
    }
    lines.join("\n")
}

fn chain(line: &str) -> Option<&str> {
    line.split(' ').nth(1)
}

/// The Service that a rule's comment names.
fn service(line: &str) -> &str {
    let comment = line.split("--comment ").nth(1).unwrap_or_default();
    let word = comment
        .trim_start_matches('"')
        .split([' ', '"'])
        .next()
        .unwrap_or_default();
    word.split(':').next().unwrap_or_default()
}

/// Chains of Services and endpoints have rules, and something leads to each.
fn has_what_it_needs(save: &str) {
    let of_port = |chain: &str| {
        ["SVC-", "SVL-", "SEP-", "EXT-", "FW-"].iter().any(|kind| {
            chain
                .strip_prefix("KUBE-")
                .is_some_and(|rest| rest.starts_with(kind))
        })
    };
    let word_after = |line: &str, flag: &str| {
        let mut words = line.split(' ').skip_while(|word| *word != flag);
        words.nth(1).unwrap_or_default().to_owned()
    };
    let all = |flag: &str| -> BTreeSet<String> {
        let words = save.lines().map(|line| word_after(line, flag));
        words.filter(|chain| of_port(chain)).collect()
    };
    let made = save
        .lines()
        .filter_map(|line| line.strip_prefix(':')?.split(' ').next());
    let made: BTreeSet<String> = made
        .filter(|chain| of_port(chain))
        .map(str::to_owned)
        .collect();
    assert_eq!(all("-A"), made, "chains with rules, and chains");
    assert_eq!(all("-j"), made, "chains that are led to, and chains");
}

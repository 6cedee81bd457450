//! What operations do, and what is read back.

use fairlead_kernel::iptables::handle::{ApplyError, Iptables, ObservedHook, Refusal};
use fairlead_kernel::iptables::nft::NftIptables;
use fairlead_kernel::iptables::rule::{Protocol, Rule, Target};
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op, Table, TableId};

use super::{FAMILIES, in_namespace, run, saved};

fn batch(table: Table, ops: Vec<Op>) -> Batch {
    Batch {
        table: TableId {
            family: Family::Ip,
            table,
        },
        ops,
    }
}

fn port(port: u16) -> Rule {
    Rule::default().transport(Protocol::Tcp, Some(port))
}

fn append(chain: &str, rule: Rule) -> Op {
    Op::Append(chain.into(), rule)
}

fn refused(iptables: &mut NftIptables, batches: &[Batch]) -> Refusal {
    match iptables.apply(batches) {
        Err(ApplyError::Refused(refusal)) => refusal,
        result => panic!("{result:?}"),
    }
}

/// The ports of the rules of KUBE-A, in order.
fn ports() -> Vec<u16> {
    let saved = saved(Family::Ip);
    let lines = saved.lines().filter(|line| line.starts_with("-A KUBE-A"));
    lines
        .map(|line| line.rsplit_once("--dport ").unwrap().1.parse().unwrap())
        .collect()
}

#[test]
fn all_tables_change_at_once_or_not_at_all() {
    in_namespace(|iptables| {
        let good = batch(
            Table::Nat,
            vec![Op::Declare("KUBE-A".into()), append("KUBE-A", port(1))],
        );
        let bad = vec![
            Op::Declare("KUBE-B".into()),
            append("NOWHERE", port(2)),
            append("NOWHERE", port(3)),
        ];
        let bad = batch(Table::Filter, bad);
        let refusal = refused(iptables, &[good.clone(), bad]);
        assert_eq!((refusal.batch, refusal.op), (1, 1));
        assert_eq!(refusal.what, "-A NOWHERE -p tcp -m tcp --dport 2");
        assert!(refusal.why.starts_with("No such file"), "{}", refusal.why);
        assert_eq!(iptables.observe(good.table).unwrap(), None);
        iptables.apply(&[good]).unwrap();
        assert_eq!(ports(), [1]);
    });
}

#[test]
fn the_first_operation_that_is_refused_is_named() {
    in_namespace(|iptables| {
        let (a, b) = ("KUBE-A", "KUBE-B");
        let ops = vec![
            Op::Declare(a.into()),
            Op::Declare(b.into()),
            append(a, Rule::default().jump(b)),
        ];
        iptables.apply(&[batch(Table::Nat, ops)]).unwrap();
        let long = Target::Jump("KUBE-".repeat(50).into());
        let too_long = format!("-A KUBE-A -j {}", "KUBE-".repeat(50));
        for (op, what, why) in [
            (Op::Create(a.into()), "-N KUBE-A", "File exists"),
            (Op::Delete(a.into()), "-X KUBE-A", "Device or resource busy"),
            (Op::Delete(b.into()), "-X KUBE-B", "Device or resource busy"),
            (Op::Delete("KUBE-C".into()), "-X KUBE-C", "No such file"),
            (
                Op::Remove(a.into(), port(1)),
                "-D KUBE-A -p tcp -m tcp --dport 1",
                "No such file",
            ),
            (
                append(a, Rule::default().then(long)),
                &too_long[..150],
                "No such file",
            ),
        ] {
            let ops = vec![
                Op::Declare("KUBE-C".into()),
                Op::Delete("KUBE-C".into()),
                op,
            ];
            let refusal = refused(iptables, &[batch(Table::Nat, ops)]);
            assert_eq!((refusal.batch, refusal.op), (0, 2), "{refusal}");
            assert!(refusal.what.starts_with(what), "{refusal}");
            assert!(refusal.why.starts_with(why), "{refusal}");
        }
        let all = [append(a, port(1)), Op::Remove(a.into(), port(1))];
        let refusal = refused(iptables, &[batch(Table::Nat, all.into())]);
        assert_eq!(refusal.op, 1, "what is removed must have been there before");
    });
}

#[test]
fn rules_are_where_they_were_put() {
    in_namespace(|iptables| {
        let chain = || "KUBE-A".into();
        let mut apply = |ops: Vec<Op>| {
            iptables.apply(&[batch(Table::Nat, ops)]).unwrap();
            ports()
        };
        let declared = vec![Op::Declare(chain()), append("KUBE-A", port(1))];
        assert_eq!(apply(declared), [1]);
        let more = vec![
            append("KUBE-A", port(2)),
            Op::Insert(chain(), port(3)),
            Op::Insert(chain(), port(2)),
        ];
        assert_eq!(apply(more), [2, 3, 1, 2]);
        assert_eq!(apply(vec![Op::Remove(chain(), port(2))]), [3, 1, 2]);
        assert_eq!(apply(vec![append("KUBE-A", port(3))]), [3, 1, 2, 3]);
        let both = vec![Op::Remove(chain(), port(3)), Op::Remove(chain(), port(3))];
        assert_eq!(apply(both), [1, 2]);
        let again = vec![Op::Declare(chain()), append("KUBE-A", port(4))];
        assert_eq!(apply(again), [4]);
        let gone = vec![Op::Declare(chain()), Op::Delete(chain())];
        assert!(apply(gone).is_empty());
        assert!(!saved(Family::Ip).contains("KUBE-A"));
    });
}

#[test]
fn what_others_made_of_built_in_chains_stays() {
    in_namespace(|iptables| {
        run("iptables-nft -P INPUT DROP", "");
        run("iptables-nft -A INPUT -j ACCEPT", "");
        let hook = Rule::default().jump("KUBE-A");
        let ops = vec![
            Op::Declare("KUBE-A".into()),
            Op::Insert("INPUT".into(), hook.clone()),
            Op::Insert("FORWARD".into(), hook),
        ];
        iptables.apply(&[batch(Table::Filter, ops)]).unwrap();
        let saved = saved(Family::Ip);
        assert!(saved.contains(":INPUT DROP") && saved.contains(":FORWARD ACCEPT"));
        assert!(saved.contains("-A INPUT -j KUBE-A\n-A INPUT -j ACCEPT\n-A FORWARD -j KUBE-A\n"));
    });
}

#[test]
fn hooks_are_observed_with_their_comments() {
    in_namespace(|iptables| {
        for family in FAMILIES {
            let table = TableId {
                family,
                table: Table::Filter,
            };
            assert_eq!(iptables.observe(table).unwrap(), None);
            let hook = |text: &str| Rule::commented(text).jump("KUBE-B");
            let ops = vec![
                Op::Declare("KUBE-B".into()),
                Op::Declare("KUBE-A".into()),
                append("KUBE-A", hook("not of a built-in chain")),
                append("OUTPUT", hook("kubernetes service portals")),
                append("INPUT", Rule::default().jump("KUBE-A")),
                append("INPUT", Rule::commented("none").then(Target::Accept)),
                append("INPUT", hook("second")),
            ];
            iptables.apply(&[Batch { table, ops }]).unwrap();
            let name = if family == Family::Ip { "ip" } else { "ip6" };
            let rule = "counter jump KUBE-B comment \\\"of nft\\\"";
            run(&format!("nft add rule {name} filter INPUT {rule}"), "");
            let observed = iptables.observe(table).unwrap().unwrap();
            let mut chains: Vec<_> = observed.chains.iter().map(|name| &**name).collect();
            chains.sort_unstable();
            assert_eq!(chains, ["KUBE-A", "KUBE-B"]);
            let hooks: Vec<_> = observed.hooks.iter().map(parts).collect();
            let expected = [
                ("INPUT", "KUBE-A", None),
                ("INPUT", "KUBE-B", Some("second")),
                ("INPUT", "KUBE-B", Some("of nft")),
                ("OUTPUT", "KUBE-B", Some("kubernetes service portals")),
            ];
            assert_eq!(hooks, expected);
        }
    });
}

fn parts(hook: &ObservedHook) -> (&str, &str, Option<&str>) {
    (&hook.chain, &hook.target, hook.comment.as_deref())
}

#[test]
fn nothing_is_sent_when_there_is_nothing_to_do() {
    in_namespace(|iptables| {
        let nothing = batch(Table::Nat, Vec::new());
        let once = std::slice::from_ref(&nothing);
        assert_eq!(iptables.apply(once).unwrap().messages, 0);
        assert_eq!(run("nft list ruleset", ""), "");
        let something = batch(Table::Mangle, vec![Op::Declare("KUBE-A".into())]);
        iptables.apply(&[nothing, something]).unwrap();
        assert_eq!(run("nft list tables", ""), "table ip mangle\n");
    });
}

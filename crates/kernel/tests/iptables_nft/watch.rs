//! Whether someone else changed what is ours.

use fairlead_kernel::iptables::handle::Iptables;
use fairlead_kernel::iptables::rule::{Protocol, Rule};
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op, Table, TableId};

use super::{in_namespace, run};

/// A chain of ours that a built-in chain leads to, with so many rules.
fn hooked(rules: u16) -> Batch {
    let rule = |port| Rule::default().transport(Protocol::Tcp, Some(port));
    let mut ops = vec![Op::Declare("KUBE-A".into())];
    ops.extend((0..rules).map(|port| Op::Append("KUBE-A".into(), rule(port))));
    let hook = Rule::commented("portals").jump("KUBE-A");
    ops.push(Op::Append("PREROUTING".into(), hook));
    Batch {
        table: TableId {
            family: Family::Ip,
            table: Table::Nat,
        },
        ops,
    }
}

#[test]
fn what_we_do_ourselves_touches_nothing() {
    in_namespace(|iptables| {
        for rules in [1, 2000] {
            iptables.apply(&[hooked(rules)]).unwrap();
            assert!(!iptables.touched().unwrap());
        }
    });
}

#[test]
fn what_others_do_with_their_chains_does_not_concern_us() {
    in_namespace(|iptables| {
        iptables.apply(&[hooked(1)]).unwrap();
        for command in [
            "iptables-nft -t nat -N CNI-X",
            "iptables-nft -t nat -A CNI-X -s 10.1.0.1 -j RETURN",
            "iptables-nft -t nat -I PREROUTING -j CNI-X",
            "iptables-nft -t nat -D PREROUTING -j CNI-X",
            "iptables-nft -t nat -A CNI-X -j KUBE-A",
            "iptables-nft -t nat -N KUBE-KUBELET-CANARY",
            "iptables-nft -t nat -X KUBE-KUBELET-CANARY",
            "iptables-nft -t filter -A FORWARD -j ACCEPT",
            "nft add table ip other",
            "nft add chain ip other KUBE-X",
            "nft delete table ip other",
        ] {
            run(command, "");
            assert!(!iptables.touched().unwrap(), "{command}");
        }
    });
}

#[test]
fn what_others_do_with_ours_is_told() {
    in_namespace(|iptables| {
        for command in [
            "iptables-nft -t nat -A KUBE-A -j RETURN",
            "iptables-nft -t nat -D KUBE-A 1",
            "iptables-nft -t nat -F KUBE-A",
            "iptables-nft -t nat -D PREROUTING 1",
            "iptables-nft -t nat -F PREROUTING",
            "iptables-nft -t nat -N KUBE-B",
            "iptables-nft -t nat -X KUBE-B",
            "nft flush ruleset",
        ] {
            iptables.apply(&[hooked(1)]).unwrap();
            assert!(!iptables.touched().unwrap());
            run(command, "");
            assert!(iptables.touched().unwrap(), "{command}");
            assert!(!iptables.touched().unwrap(), "{command}");
        }
    });
}

#[test]
fn others_go_on_at_the_same_time() {
    in_namespace(|iptables| {
        iptables.apply(&[hooked(1)]).unwrap();
        std::thread::scope(|scope| {
            // A thread is in the namespace of the one that began it.
            let others = scope.spawn(|| {
                for _ in 0..8 {
                    run("iptables-nft -t nat -N CNI-X", "");
                    run("iptables-nft -t nat -I PREROUTING -j CNI-X", "");
                    run("iptables-nft -t nat -D PREROUTING -j CNI-X", "");
                    run("iptables-nft -t nat -X CNI-X", "");
                }
            });
            let mut rounds = 0;
            while !others.is_finished() {
                let batch = hooked(rounds % 9);
                let hook = batch.ops.last().unwrap();
                let remove = Op::Remove(hook.chain().clone(), hook.rule().unwrap().clone());
                let ops = vec![remove];
                iptables
                    .apply(&[Batch { ops, ..batch }, batch.clone()])
                    .unwrap();
                assert!(!iptables.touched().unwrap());
                rounds += 1;
            }
            others.join().unwrap();
            assert!(rounds > 10, "{rounds}");
        });
        assert!(!iptables.touched().unwrap());
        let observed = iptables.observe(hooked(1).table).unwrap().unwrap();
        assert_eq!((observed.chains.len(), observed.hooks.len()), (1, 1));
    });
}

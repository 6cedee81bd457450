//! What others do in the same tables, and which of it is noticed.

use std::fs;

use fairlead_kernel::iptables::handle::Iptables;
use fairlead_kernel::iptables::legacy::LegacyIptables;
use fairlead_kernel::iptables::rule::Rule;
use fairlead_kernel::iptables::ruleset::{Family, Table, TableId};

use super::real::{in_namespace, iptables};
use super::world::{FILTER, NAT, append, batch, create, declare, delete, ground, jump, remove};
use super::{privilege, real};

/// Observes and puts the ground there, in the order in which it is done in earnest.
fn begin(legacy: &mut LegacyIptables) {
    assert!(!legacy.touched().unwrap());
    assert_eq!(legacy.observe(NAT), Ok(None));
    legacy.apply(&[ground(NAT)]).unwrap();
    assert!(!legacy.touched().unwrap());
}

#[test]
fn what_others_do_to_ours_is_noticed_until_it_was_observed() {
    if !privilege::is_root() {
        return;
    }
    for args in [
        "-F one",
        "-F",
        "-A apart -j ACCEPT",
        "-D OUTPUT 1",
        "-I OUTPUT -j one",
        "-D two 1",
        "-X apart",
    ] {
        in_namespace(|mut legacy| {
            begin(&mut legacy);
            iptables(&format!("-w -t nat {args}"));
            assert!(legacy.touched().unwrap(), "{args}");
            assert!(legacy.touched().unwrap(), "{args}");
            legacy.observe(NAT).unwrap();
            assert!(!legacy.touched().unwrap(), "{args}");
        });
    }
}

#[test]
fn what_others_do_to_theirs_is_none_of_our_business() {
    if !privilege::is_root() {
        return;
    }
    in_namespace(|mut legacy| {
        begin(&mut legacy);
        for args in [
            "-N THEIRS",
            "-A THEIRS -j ACCEPT",
            "-I OUTPUT -j THEIRS",
            "-I PREROUTING -p tcp -j REDIRECT",
            "-F THEIRS",
            "-D OUTPUT -j THEIRS",
            "-X THEIRS",
        ] {
            iptables(&format!("-w -t nat {args}"));
            assert!(!legacy.touched().unwrap(), "{args}");
        }
        iptables("-w -t filter -A INPUT -j ACCEPT");
        assert!(!legacy.touched().unwrap());
    });
}

#[test]
fn our_own_changes_are_no_news() {
    if !privilege::is_root() {
        return;
    }
    in_namespace(|mut legacy| {
        begin(&mut legacy);
        iptables("-w -t nat -A INPUT -j ACCEPT");
        let hook = || Rule::commented("to \"one\"").jump("one");
        for ops in [
            vec![declare("one"), append("one", jump("far"))],
            vec![create("new"), append("new", jump("far"))],
            vec![declare("newer"), append("INPUT", jump("newer"))],
            vec![remove("OUTPUT", hook()), declare("one"), delete("one")],
            vec![remove("INPUT", jump("newer")), delete("newer")],
        ] {
            legacy.apply(&[batch(NAT, ops)]).unwrap();
            assert!(!legacy.touched().unwrap());
        }
        // A refused batch was not done, and the one before it was.
        let good = batch(NAT, vec![declare("far")]);
        let bad = batch(NAT, vec![declare("two"), create("new")]);
        assert!(legacy.apply(&[good, bad]).is_err());
        assert!(!legacy.touched().unwrap());
        iptables("-w -t nat -A far -j ACCEPT");
        assert!(legacy.touched().unwrap());
    });
}

#[test]
fn what_happens_between_two_changes_of_ours_is_noticed() {
    if !privilege::is_root() {
        return;
    }
    in_namespace(|mut legacy| {
        begin(&mut legacy);
        iptables("-w -t nat -F far");
        legacy.apply(&[batch(NAT, vec![create("new")])]).unwrap();
        assert!(legacy.touched().unwrap());
    });
}

#[test]
fn asking_does_not_make_the_kernel_register_a_table() {
    if !privilege::is_root() {
        return;
    }
    in_namespace(|mut legacy| {
        let names = || {
            ["ip", "ip6"].map(|family| {
                let path = format!("/proc/thread-self/net/{family}_tables_names");
                fs::read_to_string(path).unwrap()
            })
        };
        for family in [Family::Ip, Family::Ip6] {
            for table in Table::ALL {
                assert_eq!(legacy.observe(TableId { family, table }), Ok(None));
            }
        }
        assert!(!legacy.touched().unwrap());
        assert_eq!(names(), ["", ""]);
        legacy.apply(&[ground(FILTER)]).unwrap();
        assert!(!legacy.touched().unwrap());
        assert_eq!(names(), ["filter\n", ""]);
        assert!(real::save("filter").contains(":apart - [0:0]"));
    });
}

#[test]
fn both_families_are_changed_in_one_call() {
    if !privilege::is_root() {
        return;
    }
    in_namespace(|mut legacy| {
        let six = TableId {
            family: Family::Ip6,
            ..NAT
        };
        let made = |table, name| batch(table, vec![create(name), append("OUTPUT", jump(name))]);
        let batches = [made(NAT, "four"), made(six, "six"), made(FILTER, "more")];
        let cost = legacy.apply(&batches).unwrap();
        assert_eq!(cost.messages, 12);
        for (table, name) in [(NAT, "four"), (six, "six"), (FILTER, "more")] {
            let observed = legacy.observe(table).unwrap().unwrap();
            assert_eq!(observed.chains.concat(), name);
            assert_eq!(observed.hooks.len(), 1);
        }
        let bad = [made(NAT, "a"), made(six, "six")];
        let result = legacy.apply(&bad);
        assert_eq!(super::outcome(&result), Some((1, 0)));
    });
}

//! Policy routing: what is made is what ip(8) lists, others' is left alone, and the fake does as
//! the kernel does.

mod privilege;

use std::process::Command;
use std::thread;
use std::time::Duration;

use fairlead_kernel::link::Rtnetlink;
use fairlead_kernel::netns::Netns;
use fairlead_kernel::nft::ruleset::Family;
use fairlead_kernel::routing::{
    FakeRouting, LocalRoute, ObservedRouting, PolicyRouting, PolicyRule, Routing, RoutingOp,
    RoutingRefusal, RuleAction,
};
use proptest::prelude::*;

use RoutingOp::{AddRoute, AddRule, DeleteRoute, DeleteRule};

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];
const TABLE: u32 = 4096;

fn rule(family: Family) -> PolicyRule {
    PolicyRule {
        family,
        priority: 100,
        from_here: false,
        mark: 0x1000,
        mask: 0x1000,
        action: RuleAction::Lookup(TABLE),
    }
}

/// Rules by which what this host sends is not led by [`rule`].
fn way_round(family: Family) -> [PolicyRule; 2] {
    let leave = PolicyRule {
        priority: 99,
        from_here: true,
        mask: 0x5000,
        action: RuleAction::Goto(101),
        ..rule(family)
    };
    let beyond = PolicyRule {
        priority: 101,
        mark: 0,
        mask: 0,
        action: RuleAction::Nothing,
        ..rule(family)
    };
    [leave, beyond]
}

fn route(family: Family) -> LocalRoute {
    LocalRoute {
        family,
        table: TABLE,
    }
}

/// Runs a test in a namespace of its own, whose `lo` is up.
fn in_namespace(test: impl FnOnce(&mut PolicyRouting) + Send) {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    netns
        .run(|| {
            Rtnetlink::open().unwrap().set_up("lo").unwrap();
            test(&mut PolicyRouting::open().unwrap());
        })
        .unwrap();
}

/// What ip(8) prints, which must succeed.
fn ip(args: &str) -> String {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {args}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn add_all(routing: &mut PolicyRouting) {
    let ops = FAMILIES.map(|family| [AddRoute(route(family)), AddRule(rule(family))]);
    assert_eq!(routing.apply(&ops.concat()), Ok(vec![]));
}

#[test]
fn what_is_made_is_what_ip_lists() {
    in_namespace(|routing| {
        add_all(routing);
        let expected = "100:\tfrom all fwmark 0x1000/0x1000 lookup 4096 proto 70";
        for rules in [ip("-4 rule"), ip("-6 rule")] {
            let ours: Vec<&str> = rules.lines().filter(|line| line.contains("4096")).collect();
            assert_eq!(ours, [expected], "{rules}");
        }
        let routes = ["-4 route show table 4096", "-6 route show table 4096"].map(ip);
        let routes = routes.each_ref().map(|routes| routes.trim());
        let v6 = "local default dev lo proto 70 metric 1024 pref medium";
        assert_eq!(routes, ["local default dev lo proto 70 scope host", v6]);

        let found = routing.observe().unwrap();
        let expected = ObservedRouting {
            rules: FAMILIES.map(rule).into(),
            routes: FAMILIES.map(route).into(),
        };
        assert_eq!(found, expected);
        for family in FAMILIES {
            let ops = [DeleteRule(rule(family)), DeleteRoute(route(family))];
            assert_eq!(routing.apply(&[ops, ops].concat()), Ok(vec![]));
        }
        assert_eq!(routing.observe(), Ok(ObservedRouting::default()));
        let left = ["-4 rule", "-6 rule"].map(ip).concat();
        assert!(!left.contains("4096"), "{left}");
    });
}

#[test]
fn every_field_of_a_rule_is_kept_and_told() {
    in_namespace(|routing| {
        let mut rules = Vec::new();
        for family in FAMILIES {
            for (priority, mark, mask, table) in [
                (0, 0, 0x1000, 7),
                (1, 1, u32::MAX, 254),
                (u32::MAX, 0x8000_0000, 0xc000_0000, u32::MAX),
            ] {
                rules.push(PolicyRule {
                    family,
                    priority,
                    from_here: mark == 1,
                    mark,
                    mask,
                    action: RuleAction::Lookup(table),
                });
            }
            rules.extend(way_round(family));
        }
        let ops: Vec<_> = rules.iter().copied().map(AddRule).collect();
        assert_eq!(routing.apply(&ops), Ok(vec![]));
        rules.sort_unstable();
        assert_eq!(routing.observe().unwrap().rules, rules);
        let ops: Vec<_> = rules.into_iter().map(DeleteRule).collect();
        assert_eq!(routing.apply(&ops), Ok(vec![]));
        assert_eq!(routing.observe(), Ok(ObservedRouting::default()));
    });
}

#[test]
fn a_rule_without_one_to_go_to_is_seen_all_the_same() {
    in_namespace(|routing| {
        let [leave, beyond] = way_round(Family::Ip);
        assert_eq!(routing.apply(&[AddRule(leave)]), Ok(vec![]));
        let listed = |rest: &str| {
            let rule = format!("99:\tfrom all fwmark 0x1000/0x5000 iif lo goto 101 {rest}proto 70");
            let rules = ip("-4 rule");
            assert!(rules.lines().any(|line| line == rule), "{rules}");
        };
        listed("[unresolved] ");
        assert_eq!(routing.observe().unwrap().rules, [leave]);
        assert_eq!(routing.apply(&[AddRule(beyond)]), Ok(vec![]));
        listed("");
        assert_eq!(routing.observe().unwrap().rules, [leave, beyond]);
        assert!(!routing.touched().unwrap(), "that were we");
        ip("-4 rule del pref 101");
        assert!(soon(|| routing.touched().unwrap()));
        // Of another interface it is none of ours.
        ip("-4 rule add pref 98 iif eth0 fwmark 0x1000/0x5000 goto 101 proto 70");
        assert_eq!(routing.observe().unwrap().rules, [leave]);
        assert_eq!(routing.apply(&[DeleteRule(leave)]), Ok(vec![]));
    });
}

#[test]
fn what_others_made_is_neither_told_nor_removed() {
    in_namespace(|routing| {
        let others = ["-4", "-6"].map(|family| {
            ip(&format!(
                "{family} rule add pref 100 fwmark 0x1000/0x1000 lookup 4096"
            ));
            ip(&format!(
                "{family} route add local default dev lo table 4096"
            ));
            let show = [
                format!("{family} rule"),
                format!("{family} route show table 4096"),
            ];
            let listed = show.each_ref().map(|show| ip(show));
            (show, listed)
        });
        assert_eq!(routing.observe(), Ok(ObservedRouting::default()));
        for family in FAMILIES {
            let ops = [
                AddRule(rule(family)),
                AddRoute(route(family)),
                DeleteRoute(route(family)),
                DeleteRule(rule(family)),
            ];
            let refused = RoutingRefusal {
                op: 1,
                errno: libc::EEXIST,
            };
            assert_eq!(routing.apply(&ops), Ok(vec![refused]));
        }
        for (show, listed) in others {
            assert_eq!(show.each_ref().map(|show| ip(show)), listed);
        }
    });
}

#[test]
fn without_the_right_every_change_is_refused() {
    in_namespace(|routing| {
        privilege::give_up_capabilities();
        let ops = FAMILIES.map(|family| [AddRoute(route(family)), DeleteRule(rule(family))]);
        let refused = routing.apply(&ops.concat()).unwrap();
        let told: Vec<_> = refused.iter().map(|one| (one.op, one.errno)).collect();
        assert_eq!(told, [0, 1, 2, 3].map(|op| (op, libc::EPERM)));
        assert_eq!(routing.observe(), Ok(ObservedRouting::default()));
    });
}

/// Whether something comes true within five seconds.
fn soon(mut is_true: impl FnMut() -> bool) -> bool {
    (0..500).any(|_| {
        is_true() || {
            thread::sleep(Duration::from_millis(10));
            false
        }
    })
}

#[test]
fn what_others_do_to_ours_is_told_and_what_we_do_is_not() {
    in_namespace(|routing| {
        add_all(routing);
        assert!(!routing.touched().unwrap(), "that were we");
        for others in [
            "rule add pref 200 fwmark 0x1000/0x1000 lookup 77",
            "-6 route add blackhole 2001:db8::/32",
            "route add blackhole 192.0.2.0/24 table 77",
        ] {
            ip(others);
            assert!(!routing.touched().unwrap(), "{others}");
        }
        for on_ours in [
            "-4 rule del pref 100",
            "-6 rule del pref 100",
            "-4 route flush table 4096",
            "-6 route flush table 4096",
            "-4 route add unreachable default table 4096",
            "-4 rule add pref 99 fwmark 0x1000/0x1000 lookup 4096",
        ] {
            ip(on_ours);
            assert!(soon(|| routing.touched().unwrap()), "{on_ours}");
            assert!(!routing.touched().unwrap(), "told already: {on_ours}");
        }
        assert_eq!(routing.observe(), Ok(ObservedRouting::default()));
        let ops = FAMILIES.map(|family| [AddRule(rule(family)), DeleteRule(rule(family))]);
        assert_eq!(routing.apply(&ops.concat()), Ok(vec![]));
        assert!(!routing.touched().unwrap(), "that were we again");
    });
}

#[test]
fn what_an_earlier_process_made_is_watched_too() {
    in_namespace(|routing| {
        let table = 1234;
        let older = LocalRoute {
            family: Family::Ip,
            table,
        };
        assert_eq!(routing.apply(&[AddRoute(older)]), Ok(vec![]));
        let mut newer = PolicyRouting::open().unwrap();
        assert_eq!(newer.observe().unwrap().routes, [older]);
        ip("route replace unreachable default table 1234");
        assert!(soon(|| newer.touched().unwrap()));
        assert_eq!(newer.observe(), Ok(ObservedRouting::default()));
    });
}

#[test]
fn when_lo_goes_down_the_kernel_removes_the_route_of_ipv6_and_tells() {
    in_namespace(|routing| {
        add_all(routing);
        let mut fake = FakeRouting {
            loopback_is_down: true,
            ..FakeRouting::new()
        };
        ip("link set lo down");
        assert!(soon(|| routing.touched().unwrap()));
        assert_eq!(routing.observe().unwrap().routes, [route(Family::Ip)]);
        let ops = FAMILIES.map(|family| AddRoute(route(family)));
        let refused = routing.apply(&ops).unwrap();
        assert_eq!(refused[0].errno, libc::ENETDOWN);
        assert_eq!(fake.apply(&ops).unwrap(), refused);
        ip("link set lo up");
        assert_eq!(routing.apply(&ops), Ok(vec![]));
    });
}

#[test]
fn more_changes_than_there_is_room_for_are_a_touch() {
    in_namespace(|routing| {
        add_all(routing);
        let add = |index| {
            format!(
                "route add blackhole 10.{}.{}.0/24\n",
                index / 250,
                index % 250
            )
        };
        let routes: Vec<String> = (0..20_000).map(add).collect();
        let file = std::env::temp_dir().join(format!("fairlead-routes-{}", std::process::id()));
        std::fs::write(&file, routes.concat()).unwrap();
        ip(&format!("-batch {}", file.display()));
        std::fs::remove_file(file).unwrap();
        assert!(routing.touched().unwrap());
        assert!(!routing.touched().unwrap());
    });
}

#[test]
fn the_fake_refuses_what_is_always_a_mistake() {
    let mut fake = FakeRouting::new();
    let every_packet = PolicyRule {
        mask: 0,
        ..rule(Family::Ip)
    };
    let [leave, _] = way_round(Family::Ip);
    let backwards = PolicyRule {
        action: RuleAction::Goto(99),
        ..leave
    };
    let no_table = LocalRoute {
        table: 0,
        ..route(Family::Ip6)
    };
    let refused = fake.apply(&[
        AddRule(every_packet),
        AddRoute(no_table),
        AddRule(backwards),
    ]);
    let errno = libc::EINVAL;
    let expected = [0, 1, 2].map(|op| RoutingRefusal { op, errno });
    assert_eq!(refused, Ok(expected.into()));
    assert_eq!(fake.observe(), Ok(ObservedRouting::default()));
}

/// A small world, so that operations meet.
fn any_op() -> impl Strategy<Value = RoutingOp> {
    let family = prop::sample::select(FAMILIES.to_vec());
    let table = prop::sample::select(vec![100, TABLE, 5000]);
    let bits = prop::sample::select(vec![(0x1000, 0x1000), (0x1000, 0x3000)]);
    (0..4, family, table, bits, 100..104_u32).prop_map(
        |(kind, family, table, (mark, mask), priority)| {
            let route = LocalRoute { family, table };
            let rule = PolicyRule {
                family,
                priority,
                from_here: false,
                mark,
                mask,
                action: RuleAction::Lookup(table),
            };
            let [leave, beyond] = way_round(family);
            let rule = match priority {
                102 => leave,
                103 => beyond,
                _ => rule,
            };
            match kind {
                0 => AddRule(rule),
                1 => DeleteRule(rule),
                2 => AddRoute(route),
                _ => DeleteRoute(route),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() })]

    #[test]
    fn fake_and_kernel_agree_on_random_histories(
        history in prop::collection::vec(prop::collection::vec(any_op(), 1..12), 1..8),
    ) {
        in_namespace(|kernel| {
            let taken = LocalRoute { family: Family::Ip6, table: 5000 };
            ip("-6 route add unreachable default table 5000");
            assert!(!kernel.touched().unwrap(), "that table is not ours yet");
            let mut fake = FakeRouting { taken: [taken].into(), ..FakeRouting::new() };
            for ops in &history {
                assert_eq!(kernel.apply(ops), fake.apply(ops), "{ops:?}");
                assert_eq!(kernel.observe(), fake.observe(), "{ops:?}");
            }
            assert!(!kernel.touched().unwrap());
        });
    }
}

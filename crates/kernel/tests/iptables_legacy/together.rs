//! Two that write to the same table at once.

use std::process::Command;

use fairlead_kernel::iptables::handle::Iptables;
use fairlead_kernel::iptables::rule::Rule;

use super::privilege;
use super::real::{in_namespace, save};
use super::world::{NAT, append, batch, create, declare, ground, jump};

/// Adds two rules and removes one of them, again and again, and keeps a chain in order.
const OTHER: &str = "
    iptables-legacy -w -t nat -N OTHER || exit 1
    for i in $(seq 125); do
        iptables-legacy -w -t nat -A OTHER -m comment --comment $i -j ACCEPT &&
        iptables-legacy -w -t nat -I OUTPUT -m comment --comment $i -j OTHER &&
        iptables-legacy -w -t nat -A OTHER -j RETURN &&
        iptables-legacy -w -t nat -D OTHER -j RETURN || exit 1
    done";

#[test]
fn no_rule_is_lost_when_another_program_writes_at_the_same_time() {
    if !privilege::is_root() {
        return;
    }
    in_namespace(|mut legacy| {
        legacy.observe(NAT).unwrap();
        legacy.apply(&[ground(NAT)]).unwrap();
        let mut other = Command::new("sh").args(["-c", OTHER]).spawn().unwrap();
        let mut rounds = 0;
        while other.try_wait().unwrap().is_none() {
            let chain = format!("new-{rounds}");
            let ops = vec![
                create(&chain),
                append(&chain, jump("far")),
                declare("one"),
                append("one", Rule::commented(&*chain).jump(&*chain)),
            ];
            legacy.apply(&[batch(NAT, ops)]).unwrap();
            rounds += 1;
        }
        assert!(other.wait().unwrap().success());
        assert!(rounds > 5, "{rounds} rounds");
        let saved = save("nat");
        let count = |start: &str| saved.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!((count("-A OTHER "), count("-A OUTPUT ")), (125, 126));
        assert_eq!((count("-A new-"), count(":new-")), (rounds, rounds));
        assert!(!legacy.touched().unwrap());
    });
}

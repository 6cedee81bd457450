//! Sets of addresses, made by ipset(8), listed and destroyed.

mod privilege;

use std::process::Command;

use fairlead_kernel::ipset::{Destroyed, Ipset};
use fairlead_kernel::netns::Netns;

/// Works in a new network namespace, if the kernel has sets.
fn in_namespace(work: impl FnOnce(Ipset) + Send) {
    if !privilege::is_root() {
        return;
    }
    let work = || {
        let succeeded = |name| run(&format!("ipset create {name} hash:ip")).is_ok();
        if !succeeded("probe") || run("ipset destroy probe").is_err() {
            return eprintln!("skipped: this host has no ipset, or its kernel no sets");
        }
        work(Ipset::open_if_loaded().unwrap().unwrap());
    };
    Netns::anonymous().unwrap().run(work).unwrap();
}

fn run(command: &str) -> Result<String, String> {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(format!("{command}: {output:?}")),
    }
}

#[test]
fn the_names_are_those_that_the_program_lists() {
    in_namespace(|mut ipset| {
        assert_eq!(ipset.names().unwrap(), [""; 0]);
        for n in 0..300 {
            run(&format!("ipset create set-{n} hash:ip,port family inet6")).unwrap();
        }
        run("ipset add set-7 fd00::1,tcp:80").unwrap();
        let mut names = ipset.names().unwrap();
        names.sort();
        let listed = run("ipset list -n").unwrap();
        let mut listed: Vec<_> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed.len(), 300);
        assert_eq!(names, listed);
    });
}

#[test]
fn a_set_is_destroyed_unless_rules_look_into_it() {
    in_namespace(|mut ipset| {
        assert_eq!(ipset.destroy("used").unwrap(), Destroyed::Absent);
        run("ipset create used hash:ip && ipset add used 192.0.2.1").unwrap();
        run("ipset create other hash:ip").unwrap();
        let rule = "OUTPUT -m set --match-set used dst -j ACCEPT";
        run(&format!("iptables-legacy -w -A {rule}")).unwrap();
        assert_eq!(ipset.destroy("used").unwrap(), Destroyed::InUse);
        run(&format!("iptables-legacy -w -D {rule}")).unwrap();
        assert_eq!(ipset.destroy("used").unwrap(), Destroyed::Gone);
        assert_eq!(ipset.names().unwrap(), ["other"]);
        assert_eq!(run("ipset list -n").unwrap(), "other\n");
    });
}

#[test]
fn a_name_that_is_too_long_is_refused() {
    in_namespace(|mut ipset| {
        assert!(ipset.destroy(&"n".repeat(32)).is_err());
    });
}

//! The iptables of nf_tables. Each test has a network namespace of its own.

mod behaviour;
mod binary;
mod large;
#[path = "../privilege/mod.rs"]
mod privilege;
mod sample;
mod watch;

use std::io::Write;
use std::process::{Command, Stdio};

use fairlead_kernel::iptables::nft::NftIptables;
use fairlead_kernel::iptables::ruleset::{Family, Table, TableId};
use fairlead_kernel::netns::Netns;
use fairlead_kernel::nfacct::Nfacct;

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

/// Runs a test with the iptables of a namespace that nobody else knows of. The chains that are
/// watched begin with `KUBE-`, but for that of the kubelet.
fn in_namespace(test: impl FnOnce(&mut NftIptables) + Send) {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    netns
        .run(|| {
            Nfacct::open().unwrap().ensure(sample::COUNTER).unwrap();
            test(&mut open());
        })
        .unwrap();
}

fn open() -> NftIptables {
    let of = |family| Table::ALL.map(|table| TableId { family, table });
    let tables = FAMILIES.map(of).concat();
    NftIptables::open(&tables, |name| {
        name.starts_with("KUBE-") && name != "KUBE-KUBELET-CANARY"
    })
    .unwrap()
}

fn program(family: Family) -> &'static str {
    match family {
        Family::Ip => "iptables",
        Family::Ip6 => "ip6tables",
    }
}

/// What `iptables-nft-save` prints, without the time.
fn saved(family: Family) -> String {
    let all = run(&format!("{}-nft-save", program(family)), "");
    let lines = all.lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Runs a command and returns what it prints. It must succeed, and print no error.
fn run(command: &str, input: &str) -> String {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that fails may not have read all of it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.is_empty(),
        "{command}: {errors}\n{input}"
    );
    String::from_utf8(output.stdout).unwrap()
}

fn assert_same(actual: &str, expected: &str) {
    if actual != expected {
        let differs = |(a, e): &(&str, &str)| a != e;
        let line = actual.lines().zip(expected.lines()).find(differs);
        panic!("differs at {line:#?}; it is:\n{actual}");
    }
}

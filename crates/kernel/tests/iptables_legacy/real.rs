//! The real programs, in namespaces of their own.

use std::process::Command;

use fairlead_kernel::iptables::legacy::LegacyIptables;
use fairlead_kernel::iptables::ruleset::Family;
use fairlead_kernel::netns::Netns;

/// Works in a new network namespace, with the chains there that have lower-case names as ours.
pub(crate) fn in_namespace(work: impl FnOnce(LegacyIptables) + Send) {
    let work = || work(open());
    Netns::anonymous().unwrap().run(work).unwrap();
}

pub(crate) fn open() -> LegacyIptables {
    LegacyIptables::open(&[Family::Ip, Family::Ip6], is_ours).unwrap()
}

fn is_ours(chain: &str) -> bool {
    chain.starts_with(char::is_lowercase)
}

/// What another program does: `iptables-legacy` with these arguments.
pub(crate) fn iptables(args: &str) {
    run("iptables-legacy", args);
}

/// All of one table, without the comments around it and without counts.
pub(crate) fn save(table: &str) -> String {
    save_of(Family::Ip, table)
}

pub(crate) fn save_of(family: Family, table: &str) -> String {
    let program = match family {
        Family::Ip => "iptables-legacy-save",
        Family::Ip6 => "ip6tables-legacy-save",
    };
    let text = run(program, &format!("-t {table}"));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| {
        let counted = line
            .starts_with(':')
            .then(|| line.rsplit_once(' '))
            .flatten();
        counted.map_or_else(|| line.to_owned(), |(line, _)| format!("{line} [0:0]"))
    });
    lines.map(|line| line + "\n").collect()
}

fn run(program: &str, args: &str) -> String {
    let output = Command::new(program)
        .args(args.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

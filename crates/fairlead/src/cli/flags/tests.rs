use std::ffi::OsString;

use super::table::{Command, Standing, of};
use super::{Flags, Given, Invocation, Parsed, parse};

fn read(command: Command, arguments: &[&str]) -> Parsed {
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    parse(command, Invocation::KubeProxy, &arguments)
}

fn given(arguments: &[&str]) -> Given {
    match read(Command::Run, arguments) {
        Parsed::Work(given) => *given,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn wrong(arguments: &[&str]) -> String {
    given(arguments).errors.join("\n")
}

fn value(arguments: &[&str], flag: &str) -> String {
    let values = given(arguments).values();
    let found = values.into_iter().find(|(name, _)| name == flag);
    found.map(|(_, value)| value).unwrap_or_default()
}

#[test]
fn values_are_written_in_every_way_that_pflag_knows() {
    let rows: &[(&[&str], &str, &str)] = &[
        (
            &["--cluster-cidr", "10.0.0.0/8"],
            "cluster-cidr",
            "10.0.0.0/8",
        ),
        (&["--cluster-cidr=10.0.0.0/8"], "cluster-cidr", "10.0.0.0/8"),
        (&["--cluster_cidr=10.0.0.0/8"], "cluster-cidr", "10.0.0.0/8"),
        (&["--cluster-cidr=a=b"], "cluster-cidr", "a=b"),
        (&["--cluster-cidr", "--v"], "cluster-cidr", "--v"),
        (
            &["--cluster-cidr=1", "--cluster-cidr=2"],
            "cluster-cidr",
            "2",
        ),
        (&["--cluster-cidr="], "cluster-cidr", ""),
        (&["--masquerade-all"], "masquerade-all", "true"),
        (&["--masquerade-all=false"], "masquerade-all", "false"),
        (
            &["--masquerade-all", "--masquerade-all=0"],
            "masquerade-all",
            "false",
        ),
        (&["--masquerade-all=T"], "masquerade-all", "true"),
        (&["-v", "2"], "v", "2"),
        (&["-v=2"], "v", "2"),
        (&["-v2"], "v", "2"),
        (&["--v=2"], "v", "2"),
        (&["--v", "2"], "v", "2"),
        (&["--conntrack-min=0x10"], "conntrack-min", "16"),
        (&["--conntrack-min=010"], "conntrack-min", "8"),
        (&["--conntrack-min=-7"], "conntrack-min", "-7"),
        (&["--kube-api-qps=0.5"], "kube-api-qps", "0.5"),
        (
            &["--conntrack-udp-timeout=90s"],
            "conntrack-udp-timeout",
            "1m30s",
        ),
        (&["--nodeport-addresses=a,b"], "nodeport-addresses", "[a,b]"),
        (
            &["--nodeport-addresses=a", "--nodeport-addresses=b,c"],
            "nodeport-addresses",
            "[a,b,c]",
        ),
        (&["--nodeport-addresses="], "nodeport-addresses", "[]"),
        (
            &["--feature-gates=B=true, A=f"],
            "feature-gates",
            "A=false,B=true",
        ),
        (
            &["--feature-gates=B=true", "--feature-gates=A=1"],
            "feature-gates",
            "A=true,B=true",
        ),
        (&["--vmodule=a=1,b*=2"], "vmodule", "a=1,b*=2"),
        (&["--bind-address="], "bind-address", "0.0.0.0"),
        (
            &["--healthz-bind-address="],
            "healthz-bind-address",
            "0.0.0.0:10256",
        ),
        (
            &["--healthz-bind-address=[fd00::1]:2"],
            "healthz-bind-address",
            "[fd00::1]:2",
        ),
    ];
    for (arguments, flag, expected) in rows {
        assert_eq!(value(arguments, flag), *expected, "{arguments:?}");
    }
}

#[test]
fn what_pflag_refuses_is_refused() {
    let rows: &[(&[&str], &str)] = &[
        (&["x"], "\"x\" belongs to no flag; give flags alone"),
        (
            &["--masquerade-all", "true"],
            "\"true\" belongs to no flag; give flags alone",
        ),
        (
            &["--", "--once"],
            "\"--once\" belongs to no flag; give flags alone",
        ),
        (&["-"], "\"-\" belongs to no flag; give flags alone"),
        (
            &["-config=x"],
            "-config=x: unknown flag; long flags begin with two dashes",
        ),
        (
            &["--confg=x"],
            "--confg: unknown flag; did you mean --config?",
        ),
        (&["--nonsense"], "--nonsense: unknown flag"),
        (&["--config"], "--config: needs a value"),
        (&["-v"], "-v: needs a value"),
        (&["-v=x"], "-v: \"x\" is not a whole number of 32 bits"),
        (&["-v=-1"], "-v: \"-1\" is less than 0"),
        (
            &["--once=maybe"],
            "--once: \"maybe\" is neither true nor false",
        ),
        (
            &["--conntrack-min=1.5"],
            "--conntrack-min: \"1.5\" is not a whole number of 32 bits",
        ),
        (
            &["--conntrack-min=3000000000"],
            "--conntrack-min: \"3000000000\" is not a whole number of 32 bits",
        ),
        (
            &["--conntrack-min="],
            "--conntrack-min: \"\" is not a whole number of 32 bits",
        ),
        (
            &["--kube-api-qps=NaN"],
            "--kube-api-qps: \"NaN\" is not a number",
        ),
        (
            &["--sync-period=30"],
            "--sync-period: \"30\" is not a duration; write it like 30s, 1m30s or 500ms",
        ),
        (
            &["--bind-address=10.0.0"],
            "--bind-address: \"10.0.0\" is not an IP address",
        ),
        (
            &["--metrics-bind-address=localhost:1"],
            "--metrics-bind-address: \"localhost:1\" is neither an IP address nor one with a port",
        ),
        (
            &["--feature-gates=A"],
            "--feature-gates: \"A\" says neither true nor false; write A=true",
        ),
        (
            &["--feature-gates=A=x"],
            "--feature-gates: A: \"x\" is neither true nor false",
        ),
        (&["--vmodule=a"], "--vmodule: \"a\" is not like file=2"),
        (
            &["--version=1"],
            "--version: \"1\" is none of true, false and raw",
        ),
        (&["--format=json"], "--format: unknown flag"),
        (
            &["--logtostderr=x"],
            "--logtostderr: \"x\" is neither true nor false",
        ),
    ];
    for (arguments, expected) in rows {
        assert_eq!(wrong(arguments), *expected, "{arguments:?}");
    }
}

#[test]
fn no_flag_is_there_twice_and_each_shows_what_sets_it() {
    let mut names: Vec<_> = of(Command::Render).map(|flag| flag.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    for flag in of(Command::Render) {
        let mut flags = Flags::default();
        let shown = flag.slot.show(&mut flags);
        let shown = shown.trim_matches(['[', ']']);
        if !shown.is_empty() {
            assert_eq!(flag.slot.set(&mut flags, shown, false), Ok(()), "{flag}");
        }
    }
}

#[test]
fn help_and_version_come_before_the_work() {
    for arguments in [&["--help"][..], &["-h"], &["--once", "--help"]] {
        let Parsed::Help(help) = read(Command::Run, arguments) else {
            panic!("{arguments:?}");
        };
        for flag in of(Command::Run) {
            assert!(
                help.contains(&flag.to_string()),
                "{flag} is not in the help"
            );
            let never = matches!(flag.standing, Standing::Never(_));
            assert_eq!(flag.help.is_empty(), never, "{flag}");
        }
        assert!(!help.contains("--format"));
    }
    assert!(matches!(
        read(Command::Run, &["--version"]),
        Parsed::Version
    ));
    assert!(matches!(
        read(Command::Run, &["--version=raw"]),
        Parsed::RawVersion
    ));
    assert!(matches!(
        read(Command::Run, &["--version=false"]),
        Parsed::Work(_)
    ));
    let Parsed::Help(help) = read(Command::Render, &["-h"]) else {
        panic!("no help");
    };
    assert!(help.contains("--format"));
}

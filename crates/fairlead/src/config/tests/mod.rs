//! Flags and file as a whole, by kube-proxy's own cases and ours.

mod accepted;
mod addresses;
mod iptables;
mod ipvs;
mod kept;
mod meant;
mod precedence;
mod refused;
mod userspace;
mod written;

use std::ffi::OsString;

use super::{Configured, understand};
use crate::app::Options;
use crate::cli::flags::{Command, Given, Invocation, Parsed, parse};

/// A file with nothing but what it has to have, and some fields.
fn file(fields: &str) -> String {
    format!("apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n{fields}")
}

fn given(invocation: Invocation, flags: &[&str]) -> Given {
    let flags: Vec<OsString> = flags.iter().map(OsString::from).collect();
    match parse(Command::Run, invocation, &flags) {
        Parsed::Work(given) => *given,
        other => panic!("{other:?}"),
    }
}

fn by_flags(flags: &[&str]) -> Result<Configured, String> {
    understand(&given(Invocation::KubeProxy, flags), None).map_err(|error| error.to_string())
}

fn by_file(fields: &str, flags: &[&str]) -> Result<Configured, String> {
    let flags: Vec<_> = flags
        .iter()
        .copied()
        .chain(["--config=config.conf"])
        .collect();
    let given = given(Invocation::KubeProxy, &flags);
    understand(&given, Some(file(fields).as_bytes())).map_err(|error| error.to_string())
}

fn options(configured: Result<Configured, String>) -> Options {
    configured.unwrap_or_else(|error| panic!("{error}")).options
}

/// What is wrong, without the head.
fn wrong(configured: Result<Configured, String>) -> Vec<String> {
    let error = configured.err().unwrap_or_default();
    let errors = error.trim_start_matches("invalid configuration:");
    errors
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Rows of fields of a file, and what is wrong with them. Nothing wrong is an empty text.
fn check(rows: &[(&str, &str)]) {
    for (fields, expected) in rows {
        let expected: Vec<_> = expected.lines().collect();
        assert_eq!(wrong(by_file(fields, &[])), expected, "{fields}");
    }
}

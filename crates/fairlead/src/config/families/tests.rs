//! Configurations on nodes of every kind, by kube-proxy's own cases.

use super::*;
use crate::config::with_defaults;

/// A change of a configuration.
type Change = fn(&mut KubeProxyConfiguration);

fn config(change: Change) -> KubeProxyConfiguration {
    let mut config = with_defaults(KubeProxyConfiguration::default());
    "ClusterCIDR".clone_into(&mut config.detect_local_mode);
    change(&mut config);
    config
}

fn judged(change: Change, primary: Family, dual_stack: bool, pod_cidrs: &[&str]) -> Judgement {
    let pod_cidrs: Vec<IpNet> = pod_cidrs.iter().map(|net| net.parse().unwrap()).collect();
    let node = NodeFamilies {
        primary,
        dual_stack,
        pod_cidrs: &pod_cidrs,
    };
    let config = config(change);
    judge(&config, Mode::of(&config.mode), &node)
}

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

#[test]
fn networks_for_node_ports_are_of_the_families_that_there_are() {
    for change in [
        (|_| ()) as Change,
        |config| config.node_port_addresses = Some(words(&["primary"])),
        |config| config.node_port_addresses = Some(words(&["192.0.2.0/24"])),
        |config| {
            config.node_port_addresses = Some(words(&["192.0.2.0/24", "2001:db8::/64"]));
            "10.0.0.0/8,fd00::/48".clone_into(&mut config.cluster_cidr);
        },
    ] {
        assert_eq!(judged(change, Family::V4, true, &[]), Judgement::default());
    }
    let one_of_two: Change = |config| {
        config.node_port_addresses = Some(words(&["192.0.2.0/24"]));
        "10.0.0.0/8,fd00::/48".clone_into(&mut config.cluster_cidr);
    };
    let by_pods: Change = |config| config.node_port_addresses = Some(words(&["192.0.2.0/24"]));
    for (change, pod_cidrs) in [
        (one_of_two, &[][..]),
        (by_pods, &["10.0.1.0/24", "fd00:0:0:1::/64"]),
    ] {
        let judgement = judged(change, Family::V4, true, pod_cidrs);
        let expected = "the cluster appears to be dual-stack but nodePortAddresses has only IPv4 networks: node \
                        ports answer on all local IPv6 addresses";
        assert_eq!(judgement.warnings, [expected]);
    }
    let none_of_primary: Change =
        |config| config.node_port_addresses = Some(words(&["2001:db8::/64"]));
    let judgement = judged(none_of_primary, Family::V4, false, &[]);
    let expected = "the node is IPv4-primary but nodePortAddresses has only IPv6 networks: node ports answer on all \
                    local IPv4 addresses";
    assert_eq!(judgement.warnings, [expected]);
}

#[test]
fn node_ports_everywhere_are_told_of_where_nobody_asked_for_them() {
    let unset: Change = |config| "iptables".clone_into(&mut config.mode);
    let judgement = judged(unset, Family::V4, true, &[]);
    let expected = "nodePortAddresses is not set: node ports answer on all local addresses; primary limits them to \
                    those of the Node";
    assert_eq!(judgement.warnings, [expected]);
    let ipvs: Change = |config| "ipvs".clone_into(&mut config.mode);
    assert_eq!(judged(ipvs, Family::V4, true, &[]), judgement);
    let all: Change = |config| {
        "iptables".clone_into(&mut config.mode);
        config.node_port_addresses = Some(words(&["0.0.0.0/0", "::/0"]));
    };
    assert_eq!(judged(all, Family::V4, true, &[]), Judgement::default());
}

/// Rows: the configuration, pod CIDRs, and whether something is wrong on a node of IPv4 alone and
/// on one of both.
type WrongRow = (Change, &'static [&'static str], Found, Found);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    Warning,
    Error,
}

impl Found {
    fn of(judgement: &Judgement) -> Found {
        match (&judgement.warnings[..], &judgement.errors[..]) {
            ([], []) => Found::Nothing,
            ([_], []) => Found::Warning,
            ([], [_]) => Found::Error,
            _ => panic!("{judgement:?}"),
        }
    }
}

#[test]
fn what_is_of_another_family_alone_is_told_and_may_be_fatal() {
    use Found::{Error, Nothing, Warning};
    let rows: [WrongRow; 16] = [
        (|_| (), &[], Nothing, Nothing),
        (
            |c| "10.0.0.0/8".clone_into(&mut c.cluster_cidr),
            &[],
            Nothing,
            Nothing,
        ),
        (
            |c| "10.0.0.0/8,fd00::/48".clone_into(&mut c.cluster_cidr),
            &[],
            Nothing,
            Nothing,
        ),
        (
            |c| "fd00::/48,10.0.0.0/8".clone_into(&mut c.cluster_cidr),
            &[],
            Nothing,
            Nothing,
        ),
        (
            |c| "fd00::/48".clone_into(&mut c.cluster_cidr),
            &[],
            Error,
            Warning,
        ),
        (
            |c| {
                "fd00::/48".clone_into(&mut c.cluster_cidr);
                "NodeCIDR".clone_into(&mut c.detect_local_mode);
            },
            &["10.0.0.0/24"],
            Warning,
            Warning,
        ),
        (
            |c| "NodeCIDR".clone_into(&mut c.detect_local_mode),
            &["fd00::/48", "10.0.0.0/24"],
            Nothing,
            Nothing,
        ),
        (
            |c| "NodeCIDR".clone_into(&mut c.detect_local_mode),
            &["fd00::/48"],
            Error,
            Error,
        ),
        (|_| (), &["fd00::/48"], Warning, Warning),
        (
            |c| "192.0.2.1".clone_into(&mut c.winkernel.source_vip),
            &[],
            Nothing,
            Nothing,
        ),
        (
            |c| "fd00::1".clone_into(&mut c.winkernel.source_vip),
            &[],
            Warning,
            Warning,
        ),
        (
            |c| "[::]:10249".clone_into(&mut c.metrics_bind_address),
            &[],
            Nothing,
            Nothing,
        ),
        (
            |c| "[::1]:10249".clone_into(&mut c.metrics_bind_address),
            &[],
            Warning,
            Nothing,
        ),
        (
            |c| "[::1]:10256".clone_into(&mut c.healthz_bind_address),
            &[],
            Warning,
            Nothing,
        ),
        (
            |c| c.ipvs.exclude_cidrs = Some(words(&["10.0.0.0/8"])),
            &[],
            Nothing,
            Nothing,
        ),
        (
            |c| c.ipvs.exclude_cidrs = Some(words(&["fd00::/48"])),
            &[],
            Warning,
            Nothing,
        ),
    ];
    for (index, (change, pods, alone, dual)) in rows.into_iter().enumerate() {
        let found = [false, true].map(|both| Found::of(&judged(change, Family::V4, both, pods)));
        assert_eq!(found, [alone, dual], "row {index}");
    }
}

#[test]
fn networks_of_local_pods_that_are_not_there_are_missed() {
    for both in [false, true] {
        let judgement = judged(
            |c| "NodeCIDR".clone_into(&mut c.detect_local_mode),
            Family::V4,
            both,
            &[],
        );
        assert_eq!(Found::of(&judgement), Found::Warning, "{judgement:?}");
    }
}

#[test]
fn a_wrong_family_is_named_with_the_field() {
    let judgement = judged(
        |c| "10.0.0.0/8".clone_into(&mut c.cluster_cidr),
        Family::V6,
        false,
        &[],
    );
    let expected = "the node is IPv6-only but clusterCIDR has only IPv4 addresses, and detectLocalMode ClusterCIDR needs \
                    the other family";
    assert_eq!(judgement.errors, [expected]);
}

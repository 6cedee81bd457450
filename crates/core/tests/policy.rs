//! What becomes of traffic, by destination, policy, origin and the state of the endpoints.
//!
//! Every Service here has up to two endpoints, one on this node and one on another. A row says
//! the state of both, see [`build::endpoint`], and who then serves a local pod, this node and
//! anybody else: `here`, `there` or `both`, with `masq` if the endpoint sees this node as the
//! source; or why nobody does.

mod build;

use build::{Cluster, ServiceText, cluster_with, node, route_of, service, slice, texts, words};
use fairlead_core::api::Change;
use fairlead_core::model::DestinationKind::{self, ClusterIp, ExternalIp, LoadBalancer, NodePort};
use fairlead_core::route::{Origin, Routes};
use fairlead_core::settings::{DetectLocal, Settings};

const HERE: &str = "10.1.0.1 here";
const THERE: &str = "10.1.1.1 elsewhere";

const NO_ENDPOINT: [&str; 3] = ["reject: no endpoint"; 3];
const NONE_READY: [&str; 3] = ["reject: none ready"; 3];

/// The state of the endpoint here, of the one there, and what follows.
type Row<'a> = (&'a str, &'a str, [&'a str; 3]);

/// A Service with an address of each kind.
fn everywhere() -> ServiceText {
    service("web", "10.96.0.1")
        .tcp(80)
        .node_port(30080)
        .balanced("198.51.100.1")
        .external("203.0.113.1")
}

const FROM_OUTSIDE: [DestinationKind; 3] = [NodePort, LoadBalancer, ExternalIp];

fn settings(detects: bool, masquerade_all: bool) -> Settings {
    Settings {
        detect_local: if detects {
            DetectLocal::ClusterCidr(vec!["10.1.0.0/16".parse().unwrap()])
        } else {
            DetectLocal::None
        },
        masquerade_all,
        ..Settings::default()
    }
}

fn told(settings: Settings, service: &ServiceText, here: &str, there: &str) -> Cluster {
    let in_state = |place: &str, state| match state {
        "-" => None,
        "ready" => Some(place.to_owned()),
        _ => Some(format!("{place} {state}")),
    };
    let endpoints = [in_state(HERE, here), in_state(THERE, there)];
    let endpoints: Vec<&str> = endpoints.iter().flatten().map(String::as_str).collect();
    cluster_with(settings)
        .with(service.clone())
        .with(slice("web-1", "web").tcp(8080).endpoints(&endpoints))
}

/// Who serves traffic to a destination, by origin.
fn served(routes: &Routes, kind: DestinationKind) -> [String; 3] {
    let places = |pool: &[_]| match &texts(pool)[..] {
        [a, b] if a == "10.1.0.1:8080" && b == "10.1.1.1:8080" => "both",
        [a] if a == "10.1.0.1:8080" => "here",
        [a] if a == "10.1.1.1:8080" => "there",
        others => panic!("not the endpoints of this test: {others:?}"),
    };
    words(route_of(routes, kind).verdicts).map(|word| match word {
        "cluster" => places(&routes.cluster).to_owned(),
        "cluster masq" => format!("{} masq", places(&routes.cluster)),
        "local" => places(&routes.local).to_owned(),
        "local masq" => format!("{} masq", places(&routes.local)),
        refusal => refusal.to_owned(),
    })
}

/// Asserts the rows for all these destinations, with something that detects local pods.
fn check(service: &ServiceText, kinds: &[DestinationKind], rows: &[Row]) {
    for (here, there, expected) in rows {
        let routes = told(settings(true, false), service, here, there).only("web");
        for kind in kinds {
            let found = served(&routes, *kind);
            assert_eq!(found, *expected, "{kind:?}, here {here}, there {there}");
        }
    }
}

#[test]
fn cluster_ip_with_internal_policy_cluster() {
    #[rustfmt::skip]
    let rows: &[Row] = &[
        // here          there            a local pod  this node     others
        ("ready",        "ready",        ["both",     "both masq",  "both masq"]),
        ("ready",        "-",            ["here",     "here masq",  "here masq"]),
        ("-",            "ready",        ["there",    "there masq", "there masq"]),
        ("terminating",  "ready",        ["there",    "there masq", "there masq"]),
        ("ready",        "terminating",  ["here",     "here masq",  "here masq"]),
        ("failing",      "ready",        ["there",    "there masq", "there masq"]),
        ("published",    "-",            ["here",     "here masq",  "here masq"]),
        ("published",    "terminating",  ["here",     "here masq",  "here masq"]),
        ("terminating",  "terminating",  ["both",     "both masq",  "both masq"]),
        ("-",            "terminating",  ["there",    "there masq", "there masq"]),
        ("dying",        "terminating",  ["there",    "there masq", "there masq"]),
        ("failing",      "terminating",  ["there",    "there masq", "there masq"]),
        ("unready",      "unready",      NONE_READY),
        ("failing",      "failing",      NONE_READY),
        ("dying",        "dying",        NONE_READY),
        ("-",            "-",            NO_ENDPOINT),
    ];
    check(&everywhere(), &[ClusterIp], rows);
    // The external policy is nothing to a cluster IP.
    check(&everywhere().external_local(), &[ClusterIp], rows);
}

#[test]
fn cluster_ip_with_internal_policy_local() {
    const DROPPED: [&str; 3] = ["drop: internal"; 3];
    #[rustfmt::skip]
    let rows: &[Row] = &[
        // here          there            a local pod  this node     others
        ("ready",        "ready",        ["here",     "here masq",  "here masq"]),
        ("ready",        "-",            ["here",     "here masq",  "here masq"]),
        ("terminating",  "ready",        ["here",     "here masq",  "here masq"]),
        ("terminating",  "terminating",  ["here",     "here masq",  "here masq"]),
        ("published",    "ready",        ["here",     "here masq",  "here masq"]),
        ("-",            "ready",        DROPPED),
        ("-",            "terminating",  DROPPED),
        ("failing",      "ready",        DROPPED),
        ("unready",      "terminating",  DROPPED),
        ("dying",        "published",    DROPPED),
        ("unready",      "unready",      NONE_READY),
        ("failing",      "failing",      NONE_READY),
        ("-",            "dying",        NONE_READY),
        ("-",            "-",            NO_ENDPOINT),
    ];
    check(&everywhere().internal_local(), &[ClusterIp], rows);
    check(
        &everywhere().internal_local().external_local(),
        &[ClusterIp],
        rows,
    );
    let inside_alone = service("web", "10.96.0.1").tcp(80).internal_local();
    check(&inside_alone, &[ClusterIp], rows);
}

#[test]
fn from_outside_with_external_policy_cluster() {
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("ready",        "ready",        ["both masq"; 3]),
        ("ready",        "-",            ["here masq"; 3]),
        ("-",            "ready",        ["there masq"; 3]),
        ("terminating",  "ready",        ["there masq"; 3]),
        ("terminating",  "terminating",  ["both masq"; 3]),
        ("-",            "terminating",  ["there masq"; 3]),
        ("published",    "terminating",  ["here masq"; 3]),
        ("failing",      "failing",      NONE_READY),
        ("unready",      "dying",        NONE_READY),
        ("-",            "-",            NO_ENDPOINT),
    ];
    check(&everywhere(), &FROM_OUTSIDE, rows);
    // The internal policy is nothing to traffic from outside.
    check(&everywhere().internal_local(), &FROM_OUTSIDE, rows);
}

#[test]
fn from_outside_with_external_policy_local() {
    #[rustfmt::skip]
    let rows: &[Row] = &[
        // here          there            a local pod  this node     others
        ("ready",        "ready",        ["both",     "both masq",  "here"]),
        ("ready",        "-",            ["here",     "here masq",  "here"]),
        ("ready",        "terminating",  ["here",     "here masq",  "here"]),
        ("terminating",  "ready",        ["there",    "there masq", "here"]),
        ("terminating",  "terminating",  ["both",     "both masq",  "here"]),
        ("published",    "ready",        ["both",     "both masq",  "here"]),
        ("-",            "ready",        ["there",    "there masq", "drop: external"]),
        ("-",            "terminating",  ["there",    "there masq", "drop: external"]),
        ("failing",      "ready",        ["there",    "there masq", "drop: external"]),
        ("dying",        "terminating",  ["there",    "there masq", "drop: external"]),
        ("unready",      "unready",      NONE_READY),
        ("dying",        "failing",      NONE_READY),
        ("-",            "-",            NO_ENDPOINT),
    ];
    check(&everywhere().external_local(), &FROM_OUTSIDE, rows);
    check(
        &everywhere().external_local().internal_local(),
        &FROM_OUTSIDE,
        rows,
    );
}

#[test]
fn unneeded_pools_are_empty() {
    let plain = || service("web", "10.96.0.1").tcp(80);
    // the Service, whether there is a cluster pool, whether there is a local one
    for (service, cluster, local) in [
        (plain(), true, false),
        (plain().external_local(), true, false),
        (plain().internal_local(), false, true),
        (everywhere(), true, false),
        (everywhere().external_local(), true, true),
        (everywhere().internal_local(), true, true),
    ] {
        let routes = told(settings(true, false), &service, "ready", "ready").only("web");
        assert_eq!(!routes.cluster.is_empty(), cluster);
        assert_eq!(!routes.local.is_empty(), local);
    }
}

/// Asserts who serves three Services, one with the default policies, one with a local external
/// and one with a local internal policy. Both endpoints of each are ready.
fn check_masquerade(settings: &Settings, rows: &[(&str, DestinationKind, [&str; 3])]) {
    for (policy, kind, expected) in rows {
        let service = match *policy {
            "" => everywhere(),
            "external local" => everywhere().external_local(),
            "internal local" => everywhere().internal_local(),
            _ => panic!("{policy:?} is no policy"),
        };
        let routes = told(settings.clone(), &service, "ready", "ready").only("web");
        assert_eq!(served(&routes, *kind), *expected, "{policy} {kind:?}");
    }
}

#[test]
fn masquerading_when_local_pods_are_detected() {
    #[rustfmt::skip]
    let rows = [
        // policy         destination     a local pod  this node    others
        ("",               ClusterIp,    ["both",      "both masq", "both masq"]),
        ("",               NodePort,     ["both masq", "both masq", "both masq"]),
        ("",               LoadBalancer, ["both masq", "both masq", "both masq"]),
        ("external local", ClusterIp,    ["both",      "both masq", "both masq"]),
        ("external local", NodePort,     ["both",      "both masq", "here"]),
        ("external local", LoadBalancer, ["both",      "both masq", "here"]),
        ("internal local", ClusterIp,    ["here",      "here masq", "here masq"]),
        ("internal local", NodePort,     ["both masq", "both masq", "both masq"]),
        ("internal local", LoadBalancer, ["both masq", "both masq", "both masq"]),
    ];
    check_masquerade(&settings(true, false), &rows);
}

#[test]
fn masquerading_when_nothing_detects_local_pods() {
    #[rustfmt::skip]
    let rows = [
        // policy         destination     a local pod  this node    others
        ("",               ClusterIp,    ["both",      "both",      "both"]),
        ("",               NodePort,     ["both masq", "both masq", "both masq"]),
        ("",               LoadBalancer, ["both masq", "both masq", "both masq"]),
        ("external local", ClusterIp,    ["both",      "both",      "both"]),
        ("external local", NodePort,     ["here",      "both masq", "here"]),
        ("external local", LoadBalancer, ["here",      "both masq", "here"]),
        ("internal local", ClusterIp,    ["here",      "here",      "here"]),
        ("internal local", NodePort,     ["both masq", "both masq", "both masq"]),
        ("internal local", LoadBalancer, ["both masq", "both masq", "both masq"]),
    ];
    check_masquerade(&settings(false, false), &rows);
}

#[test]
fn masquerading_all() {
    #[rustfmt::skip]
    let rows = [
        // policy         destination     a local pod  this node    others
        ("",               ClusterIp,    ["both masq", "both masq", "both masq"]),
        ("",               NodePort,     ["both masq", "both masq", "both masq"]),
        ("",               LoadBalancer, ["both masq", "both masq", "both masq"]),
        ("external local", ClusterIp,    ["both masq", "both masq", "both masq"]),
        ("external local", NodePort,     ["both",      "both masq", "here"]),
        ("external local", LoadBalancer, ["both",      "both masq", "here"]),
        ("internal local", ClusterIp,    ["here masq", "here masq", "here masq"]),
        ("internal local", NodePort,     ["both masq", "both masq", "both masq"]),
        ("internal local", LoadBalancer, ["both masq", "both masq", "both masq"]),
    ];
    check_masquerade(&settings(true, true), &rows);
}

#[test]
fn masquerading_all_when_nothing_detects_local_pods() {
    #[rustfmt::skip]
    let rows = [
        // policy         destination     a local pod  this node    others
        ("",               ClusterIp,    ["both masq", "both masq", "both masq"]),
        ("",               NodePort,     ["both masq", "both masq", "both masq"]),
        ("",               LoadBalancer, ["both masq", "both masq", "both masq"]),
        ("external local", ClusterIp,    ["both masq", "both masq", "both masq"]),
        ("external local", NodePort,     ["here",      "both masq", "here"]),
        ("external local", LoadBalancer, ["here",      "both masq", "here"]),
        ("internal local", ClusterIp,    ["here masq", "here masq", "here masq"]),
        ("internal local", NodePort,     ["both masq", "both masq", "both masq"]),
        ("internal local", LoadBalancer, ["both masq", "both masq", "both masq"]),
    ];
    check_masquerade(&settings(false, true), &rows);
}

#[test]
fn a_detector_of_one_family_tells_nothing_of_the_other() {
    let web = service("web", "fd00::1").tcp(80);
    let cluster = cluster_with(settings(true, false))
        .with(web)
        .with(slice("web-1", "web").tcp(80).endpoints(&["fd01::1"]));
    let routes = cluster.only("web");
    assert_eq!(words(route_of(&routes, ClusterIp).verdicts), ["cluster"; 3]);
}

#[test]
fn every_origin_has_its_verdict() {
    let service = everywhere().external_local();
    let routes = told(settings(true, false), &service, "ready", "ready").only("web");
    let verdicts = route_of(&routes, NodePort).verdicts;
    assert_eq!(verdicts.from(Origin::LocalPod), verdicts.local_pod);
    assert_eq!(verdicts.from(Origin::Node), verdicts.node);
    assert_eq!(verdicts.from(Origin::Elsewhere), verdicts.elsewhere);
}

#[test]
fn source_ranges_guard_the_load_balancers_addresses_alone() {
    let web = everywhere().ranges(&["203.0.113.0/25"]);
    let routes = told(settings(true, false), &web, "ready", "-").only("web");
    for kind in [ClusterIp, NodePort, ExternalIp] {
        assert_eq!(route_of(&routes, kind).sources, None, "{kind:?}");
    }
    let sources = route_of(&routes, LoadBalancer).sources.as_ref();
    assert_eq!(texts(sources.unwrap()), ["203.0.113.0/25"]);
    // They guard it also when nobody serves.
    let routes = told(settings(true, false), &web, "-", "-").only("web");
    assert!(route_of(&routes, LoadBalancer).sources.is_some());
}

#[test]
fn who_may_use_a_load_balancers_address() {
    // ranges, what follows for each of the two addresses
    let rows: &[(&[&str], Option<&[&str]>)] = &[
        (&[], None),
        (&["0.0.0.0/0"], None),
        (
            &["203.0.113.0/24", "198.51.100.0/25"],
            Some(&["203.0.113.0/24", "198.51.100.0/25"]),
        ),
        // They stay as they were given, also where one lies in another.
        (
            &["203.0.113.7/32", "203.0.113.0/24"],
            Some(&["203.0.113.7/32", "203.0.113.0/24"]),
        ),
        // This node may, and its packets to an address can carry that as their source.
        (
            &["192.0.2.0/24"],
            Some(&["192.0.2.0/24", "198.51.100.201/32", "198.51.100.202/32"]),
        ),
    ];
    for (ranges, expected) in rows {
        let web = service("web", "10.96.0.1")
            .tcp(80)
            .balanced("198.51.100.201")
            .balanced("198.51.100.202");
        let cluster = cluster_with(settings(true, false))
            .with(Change::Node(node(&["192.0.2.10"])))
            .with(web.ranges(ranges));
        let routes = cluster.only("web").routes;
        let guarded: Vec<_> = routes
            .iter()
            .filter(|route| route.kind == LoadBalancer)
            .collect();
        assert_eq!(guarded.len(), 2);
        for route in guarded {
            let sources = route.sources.as_ref().map(texts);
            let expected = expected.map(texts);
            assert_eq!(sources, expected, "{ranges:?}");
        }
    }
}

#[test]
fn endpoints_are_counted_whatever_their_condition() {
    for (here, there, expected) in [
        ("-", "-", 0),
        ("ready", "-", 1),
        ("ready", "unready", 2),
        ("failing", "dying", 2),
        ("terminating", "ready", 2),
    ] {
        let routes = told(settings(true, false), &everywhere(), here, there).only("web");
        assert_eq!(routes.endpoints, expected, "here {here}, there {there}");
    }
}

#[test]
fn the_health_check_node_port_is_that_of_an_external_local_service() {
    let asked = |service: ServiceText| {
        let service = service.health_check(32000);
        told(settings(true, false), &service, "ready", "-")
            .only("web")
            .health_check_node_port
    };
    assert_eq!(asked(everywhere().external_local()), Some(32000));
    assert_eq!(asked(everywhere()), None);
}

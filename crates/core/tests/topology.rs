//! Hints: how near the endpoints of the cluster pool have to be. The node is [`build::HERE`].

mod build;

use build::{HERE, addresses, cluster, node, service, slice};
use fairlead_core::api::Change;

type Row<'a> = (&'a str, &'a [&'a str], &'a [&'a str]);

/// Asserts which endpoints are in the cluster pool of a Service on a node of the zone.
fn check(zone: Option<&str>, rows: &[Row]) {
    for (what, endpoints, expected) in rows {
        let mut node = node(&["192.0.2.10"]);
        node.zone = zone.map(str::to_owned);
        let cluster = cluster()
            .with(Change::Node(node))
            .with(service("web", "10.96.0.1").tcp(80))
            .with(slice("web-1", "web").tcp(80).endpoints(endpoints));
        assert_eq!(addresses(&cluster.only("web").cluster), *expected, "{what}");
    }
}

#[test]
fn zone_hints_keep_traffic_in_the_zone() {
    let rows: &[Row] = &[
        (
            "all hinted, some to this zone",
            &[
                "10.1.0.1 zone=a",
                "10.1.0.2 zone=b",
                "10.1.0.3 zone=a",
                "10.1.0.4 zone=c",
            ],
            &["10.1.0.1", "10.1.0.3"],
        ),
        (
            "several zones to a hint",
            &["10.1.0.1 zone=a", "10.1.0.2 zone=b,a", "10.1.0.3 zone=b,c"],
            &["10.1.0.1", "10.1.0.2"],
        ),
        (
            "an unready endpoint of the zone is left out",
            &[
                "10.1.0.1 zone=a unready",
                "10.1.0.2 zone=a",
                "10.1.0.3 zone=b",
            ],
            &["10.1.0.2"],
        ),
        (
            "an unready endpoint needs no hint",
            &["10.1.0.1 zone=a", "10.1.0.2 zone=b", "10.1.0.3 unready"],
            &["10.1.0.1"],
        ),
    ];
    check(Some("a"), rows);
}

#[test]
fn zone_hints_count_together_or_not_at_all() {
    let rows: &[Row] = &[
        (
            "one ready endpoint has no hint",
            &["10.1.0.1 zone=a", "10.1.0.2 zone=b", "10.1.0.3"],
            &["10.1.0.1", "10.1.0.2", "10.1.0.3"],
        ),
        (
            "none is hinted to this zone",
            &["10.1.0.1 zone=b", "10.1.0.2 zone=c"],
            &["10.1.0.1", "10.1.0.2"],
        ),
        (
            "the zone has unready endpoints alone",
            &[
                "10.1.0.1 zone=a unready",
                "10.1.0.2 zone=b",
                "10.1.0.3 zone=c",
            ],
            &["10.1.0.2", "10.1.0.3"],
        ),
        (
            "what terminates has no say",
            &["10.1.0.1 zone=a terminating", "10.1.0.2 zone=b"],
            &["10.1.0.2"],
        ),
        (
            "what serves on for lack of a ready one does so from everywhere",
            &["10.1.0.1 zone=a terminating", "10.1.0.2 zone=b terminating"],
            &["10.1.0.1", "10.1.0.2"],
        ),
    ];
    check(Some("a"), rows);
}

#[test]
fn a_node_without_a_zone_is_near_to_all() {
    let rows: &[Row] = &[
        (
            "hints to zones",
            &["10.1.0.1 zone=a", "10.1.0.2 zone=b"],
            &["10.1.0.1", "10.1.0.2"],
        ),
        (
            "a hint to nowhere",
            &["10.1.0.1 zone=", "10.1.0.2 zone=b"],
            &["10.1.0.1", "10.1.0.2"],
        ),
    ];
    check(None, rows);
    check(Some(""), rows);
}

#[test]
fn node_hints_keep_traffic_on_the_node() {
    let here = format!("10.1.0.1 zone=a node={HERE}");
    let here_too = format!("10.1.0.2 zone=b node=node-c,{HERE}");
    let away = "10.1.0.3 zone=a node=node-b";
    let rows: &[Row] = &[
        ("one hinted here", &[&here, away], &["10.1.0.1"]),
        (
            "whatever the zone, and several nodes to a hint",
            &[&here, &here_too, away],
            &["10.1.0.1", "10.1.0.2"],
        ),
        (
            "one without a hint to a node: the zones decide",
            &[&here, &here_too, "10.1.0.4 zone=a"],
            &["10.1.0.1", "10.1.0.4"],
        ),
        (
            "one without any hint",
            &[&here, away, "10.1.0.4"],
            &["10.1.0.1", "10.1.0.3", "10.1.0.4"],
        ),
        (
            "none hinted here: the zones decide",
            &["10.1.0.2 zone=b node=node-b", away],
            &["10.1.0.3"],
        ),
        (
            "the one hinted here is unready: the zones decide",
            &[
                "10.1.0.2 zone=b node=node-b",
                &format!("{here} unready"),
                away,
            ],
            &["10.1.0.3"],
        ),
    ];
    check(Some("a"), rows);
}

#[test]
fn a_hint_is_not_about_where_the_endpoint_is() {
    let rows: &[Row] = &[(
        "hinted to the other's place",
        &["10.1.0.1 here zone=b", "10.1.1.1 elsewhere zone=a"],
        &["10.1.1.1"],
    )];
    check(Some("a"), rows);
}

#[test]
fn local_traffic_takes_no_hints() {
    let endpoints = &[
        "10.1.0.1 here zone=a",
        "10.1.0.2 here zone=b",
        "10.1.1.1 elsewhere zone=a",
        "10.1.1.2 elsewhere zone=b",
    ];
    let web = || service("web", "10.96.0.1").tcp(80).node_port(30080);
    for web in [web().external_local(), web().internal_local()] {
        let cluster = cluster()
            .with(Change::Node(node(&[])))
            .with(web)
            .with(slice("web-1", "web").tcp(80).endpoints(endpoints));
        let routes = cluster.only("web");
        assert_eq!(addresses(&routes.cluster), ["10.1.0.1", "10.1.1.1"]);
        assert_eq!(addresses(&routes.local), ["10.1.0.1", "10.1.0.2"]);
    }
}

#[test]
fn a_node_that_moves_to_another_zone_has_other_neighbours() {
    let mut cluster = cluster()
        .with(Change::Node(node(&[])))
        .with(service("web", "10.96.0.1").tcp(80))
        .with(
            slice("web-1", "web")
                .tcp(80)
                .endpoints(&["10.1.0.1 zone=a", "10.1.0.2 zone=b"]),
        );
    assert_eq!(addresses(&cluster.only("web").cluster), ["10.1.0.1"]);
    cluster.take_dirty();
    let mut moved = node(&[]);
    moved.zone = Some("b".into());
    cluster.tell(Change::Node(moved));
    assert_eq!(addresses(&cluster.only("web").cluster), ["10.1.0.2"]);
    assert_eq!(cluster.take_dirty(), ["ns/web"]);
}

//! Ports whose policy asks for an endpoint on this node while all are elsewhere.

mod build;

use build::{ServiceText, cluster, service, slice};
use fairlead_core::route::Unserved;

fn check(rows: &[(&str, ServiceText, &[&str], [bool; 2])]) {
    for (what, text, endpoints, [internal, external]) in rows {
        let cluster = cluster()
            .with(text.clone())
            .with(slice("web-1", "web").tcp(8080).endpoints(endpoints));
        let expected = Unserved {
            internal: *internal,
            external: *external,
        };
        assert_eq!(cluster.only("web").unserved, expected, "{what}");
    }
}

fn web() -> ServiceText {
    service("web", "10.96.0.1").tcp(80).node_port(30_080)
}

const HERE: &[&str] = &["10.1.0.1 here", "10.1.0.2 elsewhere"];
const ELSEWHERE: &[&str] = &["10.1.0.2 elsewhere", "10.1.0.3 elsewhere"];

#[test]
fn a_local_policy_minds_when_all_endpoints_are_elsewhere() {
    let both = || web().internal_local().external_local();
    check(&[
        (
            "internal, one here",
            web().internal_local(),
            HERE,
            [false, false],
        ),
        (
            "external, one here",
            web().external_local(),
            HERE,
            [false, false],
        ),
        ("both, one here", both(), HERE, [false, false]),
        ("internal", web().internal_local(), ELSEWHERE, [true, false]),
        ("external", web().external_local(), ELSEWHERE, [false, true]),
        ("both", both(), ELSEWHERE, [true, true]),
        ("both, no endpoint", both(), &[], [false, false]),
        ("no policy minds", web(), ELSEWHERE, [false, false]),
    ]);
}

#[test]
fn only_endpoints_that_serve_count() {
    let local = || web().internal_local();
    check(&[
        (
            "one here that does not serve",
            local(),
            &["10.1.0.1 here unready", "10.1.0.2 elsewhere"],
            [true, false],
        ),
        (
            "one here that serves on while it terminates",
            local(),
            &["10.1.0.1 here terminating", "10.1.0.2 elsewhere"],
            [false, false],
        ),
        (
            "none serves anywhere",
            local(),
            &["10.1.0.1 here unready", "10.1.0.2 elsewhere unready"],
            [false, false],
        ),
        (
            "one elsewhere serves on while it terminates",
            local(),
            &["10.1.0.2 elsewhere terminating"],
            [true, false],
        ),
    ]);
}

#[test]
fn an_external_policy_counts_before_there_is_an_address() {
    let balanced = service("web", "10.96.0.1")
        .tcp(80)
        .kind(fairlead_core::api::ServiceType::LoadBalancer)
        .external_local();
    check(&[
        ("elsewhere", balanced.clone(), ELSEWHERE, [false, true]),
        ("here", balanced, HERE, [false, false]),
    ]);
}

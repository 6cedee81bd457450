//! One list of endpoints from several slices: who counts when an address is there twice, and
//! in which order they stand.

mod build;

use build::{cluster, service, slice, texts};

/// What serves after two slices, told in this order and in the other.
fn merged(first: &[&str], second: &[&str]) -> Vec<String> {
    let web = || service("web", "10.96.0.1").tcp(80).node_port(30080);
    let one = || slice("web-1", "web").tcp(8080).endpoints(first);
    let two = || slice("web-2", "web").tcp(8080).endpoints(second);
    let there = cluster().with(web()).with(one()).with(two()).only("web");
    let back = cluster().with(two()).with(one()).with(web()).only("web");
    assert_eq!(there, back, "the order of arrival must not matter");
    texts(there.cluster.iter().map(|target| target.address))
}

#[test]
fn slices_add_up() {
    let found = merged(&["10.1.0.1", "10.1.0.2"], &["10.1.0.3"]);
    assert_eq!(found, ["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
}

#[test]
fn an_endpoint_that_is_there_twice_counts_once() {
    let found = merged(&["10.1.0.1", "10.1.0.2"], &["10.1.0.2", "10.1.0.3"]);
    assert_eq!(found, ["10.1.0.1", "10.1.0.2", "10.1.0.3"]);
    assert_eq!(
        merged(&["10.1.0.1", "10.1.0.1", "10.1.0.01"], &[]),
        ["10.1.0.1"]
    );
}

#[test]
fn one_address_on_two_ports_is_two_endpoints() {
    let cluster = cluster().with(service("web", "10.96.0.1").tcp(80)).with(
        slice("web-1", "web")
            .tcp(8080)
            .tcp(8081)
            .endpoints(&["10.1.0.1"]),
    );
    let targets = texts(cluster.only("web").cluster);
    assert_eq!(targets, ["10.1.0.1:8080", "10.1.0.1:8081"]);
}

#[test]
fn the_most_useful_copy_counts_in_whichever_slice_it_is() {
    // Beside a ready endpoint, so that nobody serves for lack of a better one.
    for (better, worse) in [
        ("10.1.0.1", "10.1.0.1 unready"),
        ("10.1.0.1", "10.1.0.1 failing"),
        ("10.1.0.1", "10.1.0.1 terminating"),
        ("10.1.0.1", "10.1.0.1 dying"),
    ] {
        let both = ["10.1.0.1", "10.1.0.9"];
        assert_eq!(merged(&[better, "10.1.0.9"], &[worse]), both, "{worse}");
        assert_eq!(merged(&[worse, "10.1.0.9"], &[better]), both, "{worse}");
        assert_eq!(merged(&[better, worse, "10.1.0.9"], &[]), both, "{worse}");
        assert_eq!(merged(&[worse, better, "10.1.0.9"], &[]), both, "{worse}");
    }
}

#[test]
fn a_new_pod_that_is_not_ready_hides_the_terminating_one_before_it() {
    for new in ["10.1.0.1 unready", "10.1.0.1 failing"] {
        let old = "10.1.0.1 terminating";
        assert_eq!(merged(&[new], &[old]), [""; 0], "{new}");
        assert_eq!(merged(&[old], &[new]), [""; 0], "{new}");
    }
}

#[test]
fn copies_that_nobody_can_use_stay_unused() {
    assert_eq!(
        merged(&["10.1.0.1 unready"], &["10.1.0.1 unready"]),
        [""; 0]
    );
    let terminating = "10.1.0.1 terminating";
    assert_eq!(merged(&[terminating], &[terminating]), ["10.1.0.1"]);
    assert_eq!(merged(&[terminating], &["10.1.0.1 dying"]), ["10.1.0.1"]);
}

#[test]
fn of_equal_copies_the_one_in_the_last_slice_by_name_counts() {
    let web = || service("web", "10.96.0.1").tcp(80).internal_local();
    let copy = |name, text| slice(name, "web").tcp(8080).endpoints(&[text]);
    for (a, b, local) in [
        ("10.1.0.1 elsewhere", "10.1.0.1 here", vec!["10.1.0.1:8080"]),
        ("10.1.0.1 here", "10.1.0.1 elsewhere", vec![]),
    ] {
        for (first, second) in [(("a", a), ("b", b)), (("b", b), ("a", a))] {
            let cluster = cluster()
                .with(web())
                .with(copy(first.0, first.1))
                .with(copy(second.0, second.1));
            assert_eq!(texts(cluster.only("web").local), local);
        }
    }
}

#[test]
fn a_slice_that_goes_takes_its_own_copy_alone() {
    let mut cluster = cluster()
        .with(service("web", "10.96.0.1").tcp(80))
        .with(slice("a", "web").tcp(8080).endpoints(&["10.1.0.1"]))
        .with(
            slice("b", "web")
                .tcp(8080)
                .endpoints(&["10.1.0.1", "10.1.0.2"]),
        );
    cluster.tell(build::deleted(fairlead_core::api::Kind::EndpointSlice, "b"));
    assert_eq!(texts(cluster.only("web").cluster), ["10.1.0.1:8080"]);
}

#[test]
fn overlapping_slices_are_merged_port_by_port() {
    use fairlead_core::address::Protocol::Tcp;
    let cluster = cluster()
        .with(
            service("web", "10.96.0.1")
                .port("a", Tcp, 80)
                .port("b", Tcp, 81),
        )
        .with(
            slice("web-1", "web")
                .port("a", Tcp, 8080)
                .port("b", Tcp, 8081)
                .endpoints(&["10.1.0.1"]),
        )
        .with(
            slice("web-2", "web")
                .port("b", Tcp, 8081)
                .endpoints(&["10.1.0.1", "10.1.0.2"]),
        );
    let routes = cluster.routes("web");
    assert_eq!(texts(&routes[0].1.cluster), ["10.1.0.1:8080"]);
    assert_eq!(
        texts(&routes[1].1.cluster),
        ["10.1.0.1:8081", "10.1.0.2:8081"]
    );
}

#[test]
fn endpoints_stand_in_the_order_of_their_printed_forms() {
    let four = cluster()
        .with(service("web", "10.96.0.1").tcp(80))
        .with(
            slice("b", "web")
                .tcp(80)
                .endpoints(&["10.0.0.10", "10.0.0.2"]),
        )
        .with(
            slice("a", "web")
                .tcp(8080)
                .endpoints(&["10.0.0.2", "9.0.0.1"]),
        );
    assert_eq!(
        texts(four.only("web").cluster),
        [
            "10.0.0.10:80",
            "10.0.0.2:80",
            "10.0.0.2:8080",
            "9.0.0.1:8080"
        ]
    );
    let six = cluster().with(service("web", "fd00::1").tcp(80)).with(
        slice("a", "web")
            .tcp(80)
            .endpoints(&["fd00:10::5", "fd00:10:1::6", "fd00::a"]),
    );
    assert_eq!(
        texts(six.only("web").cluster),
        ["[fd00:10:1::6]:80", "[fd00:10::5]:80", "[fd00::a]:80"]
    );
}

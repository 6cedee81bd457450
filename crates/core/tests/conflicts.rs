//! Two Services, one address and port: who has it, and who is told so.

mod build;

use build::{Cluster, ServiceText, cluster, deleted, service, slice, texts};
use fairlead_core::address::Protocol::{Tcp, Udp};
use fairlead_core::api::{Change, Kind};

/// What a Service with one port can be reached by.
fn reached_by(cluster: &Cluster, service: &str) -> Vec<String> {
    texts(cluster.only(service).routes.iter().map(|r| r.destination))
}

/// What it wanted too, and who has that.
fn lost(cluster: &Cluster, service: &str) -> Vec<String> {
    let contested = cluster.only(service).contested;
    texts(
        contested
            .iter()
            .map(|(what, owner)| format!("{what}: {owner}")),
    )
}

/// Tells two Services in either order and asserts that the first has what both want.
fn check(winner: &ServiceText, loser: &ServiceText, what: &str) {
    for (first, second) in [(winner, loser), (loser, winner)] {
        let cluster = cluster().with(first.clone()).with(second.clone());
        let has = reached_by(&cluster, "winner");
        assert!(has.contains(&what.to_owned()), "{has:?}");
        assert_eq!(lost(&cluster, "winner"), [""; 0]);
        let has = reached_by(&cluster, "loser");
        assert!(!has.contains(&what.to_owned()), "{has:?}");
        assert_eq!(lost(&cluster, "loser"), [format!("{what}: ns/winner")]);
    }
}

fn winner(cluster_ip: &str) -> ServiceText {
    service("winner", cluster_ip).tcp(80)
}

fn loser(cluster_ip: &str) -> ServiceText {
    service("loser", cluster_ip).tcp(80)
}

#[test]
fn nobody_can_take_a_cluster_ip_by_listing_it() {
    // Though it is older.
    let winner = winner("10.96.0.1").created(200);
    let thief = loser("10.96.0.2").created(100);
    check(
        &winner,
        &thief.clone().external("10.96.0.1"),
        "10.96.0.1:80/tcp",
    );
    check(&winner, &thief.balanced("10.96.0.1"), "10.96.0.1:80/tcp");
}

#[test]
fn a_load_balancers_address_comes_before_an_external_ip() {
    let winner = winner("10.96.0.1").created(200).balanced("192.0.2.1");
    let loser = loser("10.96.0.2").created(100).external("192.0.2.1");
    check(&winner, &loser, "192.0.2.1:80/tcp");
}

#[test]
fn the_older_service_has_what_both_want() {
    let external = "192.0.2.1:80/tcp";
    let winner = || winner("10.96.0.1").external("192.0.2.1");
    let loser = || loser("10.96.0.2").external("192.0.2.1");
    check(&winner().created(100), &loser().created(101), external);
    // One whose age is not known comes after those whose age is.
    check(&winner().created(100), &loser(), external);
    check(&winner().created(i64::MAX - 1), &loser(), external);
}

#[test]
fn of_two_services_of_one_age_the_name_decides() {
    for age in [None, Some(100)] {
        let twin = |name, cluster_ip| {
            let mut service = service(name, cluster_ip).tcp(80).external("192.0.2.1");
            service.0.created = age;
            service
        };
        let cluster = cluster()
            .with(twin("b", "10.96.0.2"))
            .with(twin("a", "10.96.0.1"));
        assert_eq!(lost(&cluster, "a"), [""; 0]);
        assert_eq!(lost(&cluster, "b"), ["192.0.2.1:80/tcp: ns/a"]);
    }
}

#[test]
fn node_ports_are_contested_too() {
    let winner = winner("10.96.0.1").node_port(30080).created(100);
    let loser = loser("10.96.0.2").node_port(30080).created(200);
    check(&winner, &loser, "IPv4 node port 30080/tcp");
}

#[test]
fn two_ports_of_one_service_can_want_the_same() {
    let web = service("web", "10.96.0.1")
        .port("b", Tcp, 80)
        .port("a", Tcp, 80);
    let cluster = cluster().with(web);
    let routes = cluster.routes("web");
    assert_eq!(routes[0].1.routes, []);
    assert_eq!(routes[0].1.contested[0].1.to_string(), "ns/web:a");
    assert_eq!(routes[1].1.routes.len(), 1);
}

#[test]
fn other_ports_protocols_and_families_are_no_rivals() {
    let shared = |service: ServiceText| service.external("192.0.2.1").external("2001:db8::1");
    let cluster = cluster()
        .with(shared(service("a", "10.96.0.1").tcp(80).node_port(30080)))
        .with(shared(service("b", "10.96.0.2").tcp(81).node_port(30081)))
        .with(shared(
            service("c", "10.96.0.3").port("", Udp, 80).node_port(30080),
        ))
        .with(shared(service("d", "fd00::1").tcp(80).node_port(30080)));
    for service in ["a", "b", "c", "d"] {
        assert_eq!(lost(&cluster, service), [""; 0], "{service}");
        assert_eq!(reached_by(&cluster, service).len(), 3, "{service}");
    }
}

#[test]
fn an_address_that_a_service_lists_twice_is_one_destination_of_the_stronger_kind() {
    let web = service("web", "10.96.0.1").tcp(80);
    let cluster = cluster().with(
        web.external("10.96.0.1")
            .external("192.0.2.1")
            .external("192.0.2.001")
            .balanced("192.0.2.1"),
    );
    let routes = cluster.only("web").routes;
    let found = texts(
        routes
            .iter()
            .map(|r| format!("{} {:?}", r.destination, r.kind)),
    );
    assert_eq!(
        found,
        [
            "10.96.0.1:80/tcp ClusterIp",
            "192.0.2.1:80/tcp LoadBalancer"
        ]
    );
}

#[test]
fn the_loser_serves_its_other_addresses() {
    let cluster = cluster()
        .with(service("a", "10.96.0.1").tcp(80).external("192.0.2.1"))
        .with(
            service("b", "10.96.0.2")
                .tcp(80)
                .external("192.0.2.1")
                .external("192.0.2.2"),
        );
    assert_eq!(
        reached_by(&cluster, "b"),
        ["10.96.0.2:80/tcp", "192.0.2.2:80/tcp"]
    );
}

#[test]
fn connections_to_a_contested_destination_are_the_owners_to_judge() {
    let dns = |name, ip| service(name, ip).port("", Udp, 53).external("192.0.2.1");
    let cluster = cluster()
        .with(dns("a", "10.96.0.1"))
        .with(dns("b", "10.96.0.2"))
        .with(slice("b-1", "b").port("", Udp, 53).endpoints(&["10.1.0.1"]));
    let serving = cluster.0.serving(&build::name("b"));
    assert_eq!(texts(&serving[0].0), ["10.96.0.2:53/udp"]);
}

/// Three Services that want one external IP, of which `first` has it and `second` is next.
fn three() -> Cluster {
    let rival = |name, ip, age| service(name, ip).tcp(80).external("192.0.2.1").created(age);
    let mut cluster = cluster()
        .with(rival("first", "10.96.0.1", 1))
        .with(rival("second", "10.96.0.2", 2))
        .with(rival("third", "10.96.0.3", 3));
    cluster.take_dirty();
    cluster
}

#[test]
fn what_the_owner_gives_up_goes_to_the_next() {
    let gone = deleted(Kind::Service, "first");
    let headless = service("first", "None").tcp(80);
    let without = service("first", "10.96.0.1").tcp(80).created(1);
    let elsewhere = service("first", "10.96.0.1")
        .tcp(81)
        .external("192.0.2.1")
        .created(1);
    for change in [gone, headless.into(), without.into(), elsewhere.into()] {
        let mut cluster = three();
        cluster.tell(change);
        assert_eq!(lost(&cluster, "second"), [""; 0]);
        assert_eq!(lost(&cluster, "third"), ["192.0.2.1:80/tcp: ns/second"]);
        // The third does not gain anything, but has to be told who has it now.
        assert_eq!(cluster.take_dirty(), ["ns/first", "ns/second", "ns/third"]);
    }
}

#[test]
fn an_older_service_takes_over() {
    let mut cluster = three();
    let older = service("older", "10.96.0.4")
        .tcp(80)
        .external("192.0.2.1")
        .created(0);
    cluster.tell(older);
    for service in ["first", "second", "third"] {
        assert_eq!(lost(&cluster, service), ["192.0.2.1:80/tcp: ns/older"]);
    }
    assert_eq!(
        cluster.take_dirty(),
        ["ns/first", "ns/older", "ns/second", "ns/third"]
    );
}

#[test]
fn one_that_never_had_it_disturbs_nobody() {
    let mut cluster = three();
    cluster.tell(deleted(Kind::Service, "third"));
    assert_eq!(cluster.take_dirty(), ["ns/third"]);
    let younger = service("younger", "10.96.0.5")
        .tcp(80)
        .external("192.0.2.1")
        .created(9);
    let change: Change = younger.into();
    cluster.tell(change);
    assert_eq!(cluster.take_dirty(), ["ns/younger"]);
}

#[test]
fn a_service_made_anew_is_younger() {
    let mut cluster = three();
    let anew = service("first", "10.96.0.1")
        .tcp(80)
        .external("192.0.2.1")
        .created(4);
    cluster.tell(anew);
    assert_eq!(lost(&cluster, "first"), ["192.0.2.1:80/tcp: ns/second"]);
    assert_eq!(cluster.take_dirty(), ["ns/first", "ns/second", "ns/third"]);
}

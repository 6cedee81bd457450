//! Whose endpoints a slice holds, and on which ports.

mod build;

use build::{cluster, deleted, service, slice, texts, web_1, with_web};
use fairlead_core::address::Family::{V4, V6};
use fairlead_core::address::Protocol::{Tcp, Udp};
use fairlead_core::api::{AddressType, Kind};

#[test]
fn a_slice_serves_the_service_it_names() {
    let cluster = with_web().with(web_1());
    assert_eq!(cluster.pool("web"), ["10.1.0.1:8080"]);
}

#[test]
fn a_slice_may_come_before_its_service() {
    let mut cluster = cluster().with(web_1());
    assert_eq!(cluster.routes("web"), []);
    assert_eq!(cluster.0.services().count(), 0);
    cluster.tell(service("web", "10.96.0.1").tcp(80));
    assert_eq!(cluster.pool("web"), ["10.1.0.1:8080"]);
}

#[test]
fn a_slice_outlives_its_service() {
    let mut cluster = with_web().with(web_1());
    cluster.tell(deleted(Kind::Service, "web"));
    assert_eq!(cluster.routes("web"), []);
    cluster.tell(service("web", "10.96.0.1").tcp(80));
    assert_eq!(cluster.pool("web"), ["10.1.0.1:8080"]);
}

#[test]
fn some_slices_are_not_for_a_proxy() {
    for (which, other) in [
        ("headless", web_1().headless()),
        ("host names", web_1().of_type(AddressType::Fqdn)),
        ("nobody's", web_1().of_service(None)),
        ("nobody's", web_1().of_service(Some(""))),
        ("another Service's", web_1().of_service(Some("api"))),
        (
            "another namespace's",
            slice("other/web-1", "web")
                .tcp(8080)
                .endpoints(&["10.1.0.1"]),
        ),
    ] {
        assert_eq!(with_web().with(other).pool("web"), [""; 0], "{which}");
    }
}

#[test]
fn a_slice_without_a_full_name_or_service_is_nobodys() {
    for (slice_name, service) in [("ns/", "web"), ("/web-1", "web"), ("ns/web-1", "")] {
        let mut cluster = cluster().with(slice(slice_name, service).tcp(8080));
        assert_eq!(cluster.take_dirty(), [""; 0], "{slice_name} {service}");
    }
}

#[test]
fn a_slice_that_is_no_longer_for_a_proxy_goes() {
    for other in [
        web_1().headless(),
        web_1().of_type(AddressType::Fqdn),
        web_1().of_service(None),
    ] {
        let mut cluster = with_web().with(web_1());
        cluster.take_dirty();
        cluster.tell(other);
        assert_eq!(cluster.pool("web"), [""; 0]);
        assert_eq!(cluster.take_dirty(), ["ns/web"]);
    }
}

#[test]
fn a_slice_that_names_another_service_moves_to_it() {
    let mut cluster = with_web()
        .with(service("api", "10.96.0.2").tcp(80))
        .with(web_1());
    cluster.take_dirty();
    cluster.tell(web_1().of_service(Some("api")));
    assert_eq!(cluster.pool("web"), [""; 0]);
    assert_eq!(texts(cluster.only("api").cluster), ["10.1.0.1:8080"]);
    assert_eq!(cluster.take_dirty(), ["ns/api", "ns/web"]);

    cluster.tell(deleted(Kind::EndpointSlice, "web-1"));
    assert_eq!(texts(cluster.only("api").cluster), [""; 0]);
    assert_eq!(cluster.take_dirty(), ["ns/api"]);
}

#[test]
fn services_of_one_name_in_two_namespaces_are_two() {
    let cluster = with_web()
        .with(service("other/web", "10.96.0.2").tcp(80))
        .with(web_1())
        .with(
            slice("other/web-1", "web")
                .tcp(8080)
                .endpoints(&["10.1.0.2"]),
        );
    assert_eq!(cluster.pool("web"), ["10.1.0.1:8080"]);
    assert_eq!(texts(cluster.only("other/web").cluster), ["10.1.0.2:8080"]);
}

#[test]
fn the_same_endpoint_in_two_services_is_two() {
    let cluster = with_web()
        .with(service("api", "10.96.0.2").tcp(80))
        .with(web_1())
        .with(
            slice("api-1", "api")
                .tcp(8080)
                .endpoints(&["10.1.0.1 unready"]),
        );
    assert_eq!(cluster.pool("web"), ["10.1.0.1:8080"]);
    assert_eq!(cluster.only("api").cluster, []);
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let web = service("web", "10.96.0.1")
        .port("http", Tcp, 80)
        .port("dns", Udp, 53)
        .port("dns-tcp", Tcp, 53);
    let cluster = cluster().with(web).with(
        slice("web-1", "web")
            .port("http", Tcp, 8080)
            .port("dns", Tcp, 5353)
            .port("dns-tcp", Tcp, 5354)
            .port("metrics", Tcp, 9090)
            .endpoints(&["10.1.0.1", "10.1.0.2"]),
    );
    let pools = cluster.routes("web");
    let pools = pools.iter().map(|(_, routes)| texts(&routes.cluster));
    let expected: [&[&str]; 3] = [
        &["10.1.0.1:8080", "10.1.0.2:8080"],
        &[],
        &["10.1.0.1:5354", "10.1.0.2:5354"],
    ];
    assert!(pools.eq(expected), "{:#?}", cluster.routes("web"));
}

#[test]
fn a_slice_port_without_name_or_number_is_skipped() {
    // name, number, what serves the unnamed port, complaints
    type Row<'a> = (Option<&'a str>, Option<i32>, &'a [&'a str], usize);
    let rows: &[Row] = &[
        (Some(""), Some(8080), &["10.1.0.1:8080"], 0),
        (None, Some(8080), &[], 0),
        (Some(""), None, &[], 0),
        (Some(""), Some(0), &[], 0),
        (Some(""), Some(-1), &[], 1),
        (Some(""), Some(65_536), &[], 1),
    ];
    for (name, number, expected, complaints) in rows {
        let odd = slice("web-1", "web").raw_port(*name, Tcp, *number);
        let mut cluster = with_web();
        let problems = cluster.tell(odd.endpoints(&["10.1.0.1"]));
        assert_eq!(problems.len(), *complaints, "{problems:#?}");
        assert_eq!(cluster.pool("web"), *expected, "{name:?} {number:?}");
    }
}

#[test]
fn the_number_of_a_port_may_differ_between_slices() {
    let cluster = with_web()
        .with(web_1())
        .with(slice("web-2", "web").tcp(8081).endpoints(&["10.1.0.2"]));
    assert_eq!(cluster.pool("web"), ["10.1.0.1:8080", "10.1.0.2:8081"]);
}

#[test]
fn slices_serve_the_family_of_their_address_type() {
    let web = service("web", "10.96.0.1").families(&[V4, V6], &["10.96.0.1", "fd00::1"]);
    let cluster = cluster()
        .with(web.tcp(80))
        .with(web_1())
        .with(slice("web-2", "web").tcp(8080).endpoints(&["fd01::1"]));
    let routes = cluster.routes("web");
    let pools = routes
        .iter()
        .map(|(family, routes)| (*family, texts(&routes.cluster)));
    let expected = [
        (V4, vec!["10.1.0.1:8080".to_owned()]),
        (V6, vec!["[fd01::1]:8080".to_owned()]),
    ];
    assert!(pools.eq(expected), "{routes:#?}");
}

#[test]
fn the_order_inside_a_slice_does_not_matter() {
    let web = service("web", "10.96.0.1")
        .port("a", Tcp, 80)
        .port("b", Tcp, 81);
    let (a, b) = (("a", Tcp, 8080), ("b", Tcp, 8081));
    let routes = |(first, second): (_, (&str, _, _)), endpoints: &[&str]| {
        let (name, protocol, number): (&str, _, _) = first;
        let slice = slice("web-1", "web")
            .port(name, protocol, number)
            .port(second.0, second.1, second.2);
        let cluster = cluster().with(web.clone()).with(slice.endpoints(endpoints));
        cluster.routes("web")
    };
    assert_eq!(
        routes((a, b), &["10.1.0.1", "10.1.0.2"]),
        routes((b, a), &["10.1.0.2", "10.1.0.1"])
    );
}

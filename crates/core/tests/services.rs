//! What a Service means: which are proxied, by which addresses, with which properties.

mod build;

use build::{ServiceText, cluster, cluster_with, service, texts};
use fairlead_core::address::Family::{self, V4, V6};
use fairlead_core::address::Protocol::{Sctp, Tcp, Udp};
use fairlead_core::api::{IpMode, ServiceType};
use fairlead_core::model::ServicePort;
use fairlead_core::settings::Settings;

fn other_proxy(mut service: ServiceText) -> ServiceText {
    service.0.other_proxy = true;
    service
}

/// The one port of a Service that has one port in one family.
fn read(service: ServiceText) -> ServicePort {
    let name = service.0.name.to_string();
    let cluster = cluster().with(service);
    let [port] = cluster.ports(&name) else {
        panic!("one port was expected: {:#?}", cluster.ports(&name));
    };
    port.clone()
}

fn problems(service: ServiceText) -> Vec<String> {
    texts(cluster().tell(service))
}

fn not_proxied() -> Vec<(&'static str, ServiceText)> {
    let web = || service("web", "10.96.0.1");
    vec![
        ("headless", service("web", "None").tcp(80)),
        ("headless, UDP", service("web", "None").port("dns", Udp, 53)),
        ("headless, SCTP", service("web", "None").port("", Sctp, 1)),
        ("headless without ports", service("web", "None")),
        ("without a cluster IP yet", service("web", "").tcp(80)),
        (
            "an alias, even with a cluster IP",
            web().tcp(80).kind(ServiceType::ExternalName),
        ),
        ("another proxy's", other_proxy(web().tcp(80))),
        ("without ports", web()),
        (
            "without a cluster IP of the family it names",
            web().tcp(80).families(&[V6], &[]),
        ),
        (
            "with a cluster IP that is none",
            service("web", "10.96.0.256").tcp(80),
        ),
    ]
}

#[test]
fn some_services_are_not_proxied() {
    for (which, service) in not_proxied() {
        let mut cluster = cluster().with(service.created(100));
        assert_eq!(cluster.proxied(), [""; 0], "{which}");
        assert_eq!(cluster.routes("web"), [], "{which}");
        assert_eq!(cluster.take_dirty(), [""; 0], "{which}");
    }
}

#[test]
fn a_service_that_is_proxied_no_more_loses_its_routes() {
    for (which, service) in not_proxied() {
        let mut cluster = cluster().with(build::service("web", "10.96.0.1").tcp(80));
        assert_eq!(cluster.routes("web").len(), 1);
        cluster.take_dirty();
        cluster.tell(service);
        assert_eq!(cluster.routes("web"), [], "{which}");
        assert_eq!(cluster.take_dirty(), ["ns/web"], "{which}");
    }
}

#[test]
fn every_other_type_is_proxied_on_every_port() {
    let web = || service("web", "10.96.0.1");
    for service in [
        web().port("a", Udp, 3000).port("b", Udp, 3001),
        web()
            .port("a", Udp, 345)
            .node_port(30345)
            .port("b", Tcp, 344),
        web()
            .port("a", Sctp, 1)
            .port("b", Tcp, 1)
            .balanced("192.0.2.1"),
    ] {
        let cluster = cluster().with(service);
        let names = texts(cluster.ports("web").iter().map(|port| &port.name));
        assert_eq!(names, ["ns/web:a", "ns/web:b"]);
        assert!(
            cluster
                .ports("web")
                .iter()
                .all(|port| port.health_check_node_port.is_none())
        );
    }
}

#[test]
fn a_port_prints_its_service_and_its_name_if_it_has_one() {
    let web = service("web", "10.96.0.1");
    assert_eq!(read(web.clone().tcp(80)).name.to_string(), "ns/web");
    let named = read(web.port("http", Tcp, 80));
    assert_eq!(named.name.to_string(), "ns/web:http");
}

#[test]
fn one_port_number_can_serve_each_protocol() {
    let dns = service("dns", "10.96.0.10")
        .port("udp", Udp, 53)
        .port("tcp", Tcp, 53)
        .port("sctp", Sctp, 53);
    let routes = cluster().with(dns).routes("dns");
    let destinations = texts(
        routes
            .iter()
            .map(|(_, routes)| routes.routes[0].destination),
    );
    let expected = [
        "10.96.0.10:53/udp",
        "10.96.0.10:53/tcp",
        "10.96.0.10:53/sctp",
    ];
    assert_eq!(destinations, expected);
}

/// `spec.clusterIP`, `spec.ipFamilies`, `spec.clusterIPs`, and which families have which.
type ClusterIpRow<'a> = (
    &'a str,
    &'a [Family],
    &'a [&'a str],
    &'a [(Family, &'a str)],
);

#[test]
fn each_family_has_its_cluster_ip() {
    let (four, six) = ("10.96.0.1", "fd00::1");
    let rows: &[ClusterIpRow] = &[
        (four, &[], &[], &[(V4, four)]),
        (six, &[], &[], &[(V6, six)]),
        (four, &[V4], &[four], &[(V4, four)]),
        (six, &[V6], &[six], &[(V6, six)]),
        (four, &[V4, V6], &[four, six], &[(V4, four), (V6, six)]),
        (six, &[V6, V4], &[six, four], &[(V4, four), (V6, six)]),
        // What spec.ipFamilies has no address for.
        (four, &[V4, V6], &[four], &[(V4, four)]),
        // spec.ipFamilies is the word that counts, and addresses have to keep it.
        (four, &[V6], &[four], &[]),
    ];
    for (cluster_ip, families, cluster_ips, expected) in rows {
        let web = service("web", cluster_ip).tcp(80);
        let cluster = cluster().with(web.families(families, cluster_ips));
        let ports = cluster.ports("web").iter();
        let found: Vec<_> = ports
            .map(|p| (p.family, p.cluster_ip.to_string()))
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(f, ip)| (*f, (*ip).to_owned()))
            .collect();
        assert_eq!(found, expected, "{cluster_ip} {families:?} {cluster_ips:?}");
    }
}

#[test]
fn each_family_keeps_its_own_of_every_list_in_order() {
    let web = service("web", "10.96.0.1")
        .families(&[V4, V6], &["10.96.0.1", "fd00::1"])
        .tcp(80)
        .external("203.0.113.9")
        .external("2001:db8::9")
        .external("203.0.113.1")
        .balanced("2001:db8::2")
        .balanced("198.51.100.2")
        .ranges(&["2001:db8:1::/48", "198.51.100.0/24", "192.0.2.0/24"]);
    let cluster = cluster().with(web);
    let [four, six] = cluster.ports("web") else {
        panic!("one port in each family was expected");
    };
    assert_eq!(texts(&four.external_ips), ["203.0.113.9", "203.0.113.1"]);
    assert_eq!(texts(&four.load_balancer_ips), ["198.51.100.2"]);
    assert_eq!(
        texts(&four.source_ranges),
        ["198.51.100.0/24", "192.0.2.0/24"]
    );
    assert_eq!(texts(&six.external_ips), ["2001:db8::9"]);
    assert_eq!(texts(&six.load_balancer_ips), ["2001:db8::2"]);
    assert_eq!(texts(&six.source_ranges), ["2001:db8:1::/48"]);
}

#[test]
fn addresses_are_read_as_the_api_writes_them() {
    let port = read(
        service("web", "172.30.0.041")
            .tcp(80)
            .external("203.000.113.01")
            .external("::ffff:203.0.113.2")
            .balanced("198.51.100.002")
            .ranges(&[" 203.0.113.000/025", "192.0.2.77/24 "]),
    );
    assert_eq!(port.cluster_ip.to_string(), "172.30.0.41");
    assert_eq!(texts(&port.external_ips), ["203.0.113.1", "203.0.113.2"]);
    assert_eq!(texts(&port.load_balancer_ips), ["198.51.100.2"]);
    assert_eq!(
        texts(&port.source_ranges),
        ["203.0.113.0/25", "192.0.2.0/24"]
    );
}

#[test]
fn what_is_no_address_is_left_out_and_reported() {
    let web = service("web", "10.96.0.1")
        .families(&[V4, V6], &["10.96.0.1", "fd00::1"])
        .tcp(80)
        .external("203.0.113.1")
        .external("nonsense")
        .external(" ")
        .balanced("203.0.113.256")
        .ranges(&["10.0.0.0/33", "10.0.0.0/8"]);
    let cluster = cluster().with(web.clone());
    let four = &cluster.ports("web")[0];
    assert_eq!(texts(&four.external_ips), ["203.0.113.1"]);
    assert_eq!(texts(&four.load_balancer_ips), [""; 0]);
    assert_eq!(texts(&four.source_ranges), ["10.0.0.0/8"]);
    // Once, though both families read the lists; a blank is nothing to complain about.
    let complaints = problems(web);
    assert_eq!(complaints.len(), 3, "{complaints:#?}");
    for (problem, field) in complaints.iter().zip([
        "spec.externalIPs: \"nonsense\"",
        "status.loadBalancer.ingress: \"203.0.113.256\"",
        "spec.loadBalancerSourceRanges: \"10.0.0.0/33\"",
    ]) {
        assert!(
            problem.starts_with(&format!("Service ns/web: {field}")),
            "{problem}"
        );
    }
}

#[test]
fn a_load_balancers_address_counts_if_packets_arrive_with_it() {
    let web = || service("web", "10.96.0.1").tcp(80);
    let delivered = web().ingress("192.0.2.1", IpMode::Vip);
    assert_eq!(
        texts(&read(delivered.clone()).load_balancer_ips),
        ["192.0.2.1"]
    );
    let proxied = web().ingress("192.0.2.1", IpMode::Proxy);
    assert_eq!(texts(&read(proxied).load_balancer_ips), [""; 0]);
    let host_name_alone = web().ingress("", IpMode::Vip);
    assert_eq!(
        texts(&read(host_name_alone.clone()).load_balancer_ips),
        [""; 0]
    );
    assert_eq!(problems(host_name_alone), [""; 0]);
    // Whatever type the Service has.
    let left_over = delivered.kind(ServiceType::ClusterIp);
    assert_eq!(texts(&read(left_over).load_balancer_ips), ["192.0.2.1"]);
}

#[test]
fn source_ranges_that_allow_everybody_are_none() {
    let rows: &[(&[&str], &[&str])] = &[
        (&[], &[]),
        (&["192.0.2.0/24", "0.0.0.0/0"], &[]),
        (&["0.0.0.0/00"], &[]),
        // The other family's networks are not for this one, whatever they allow.
        (&["192.0.2.0/24", "::/0"], &["192.0.2.0/24"]),
        (&["2001:db8::/32"], &[]),
    ];
    let check = |cluster_ip: &str, rows: &[(&[&str], &[&str])]| {
        for (ranges, expected) in rows {
            let port = read(service("web", cluster_ip).tcp(80).ranges(ranges));
            assert_eq!(texts(&port.source_ranges), *expected, "{ranges:?}");
        }
    };
    check("10.96.0.1", rows);
    check(
        "fd00::1",
        &[
            (&["2001:db8::/32", "::/0"], &[]),
            (&["2001:db8::/32", "0.0.0.0/0"], &["2001:db8::/32"]),
            // An address of noughts is no network of all.
            (&["::/128"], &["::/128"]),
        ],
    );
}

#[test]
fn external_policy_counts_where_outsiders_are_expected() {
    let web = || service("web", "10.96.0.1").tcp(80).external_local();
    let local = |service| read(service).external_local;
    assert!(local(web().kind(ServiceType::NodePort)));
    assert!(local(web().kind(ServiceType::LoadBalancer)));
    assert!(local(web().external("192.0.2.1")));
    // An external IP of the other family makes it a Service for outsiders too.
    assert!(local(web().external("2001:db8::1")));
    assert!(!local(web()));
    assert!(!local(
        service("web", "10.96.0.1").tcp(80).balanced("192.0.2.1")
    ));
}

#[test]
fn internal_policy_counts_everywhere() {
    let web = || service("web", "10.96.0.1").tcp(80);
    assert!(!read(web()).internal_local);
    assert!(read(web().internal_local()).internal_local);
    assert!(read(web().internal_local().balanced("192.0.2.1")).internal_local);
}

#[test]
fn which_endpoints_are_used_follows_from_policies_and_addresses() {
    let web = || service("web", "10.96.0.1").tcp(80);
    let reachable = || web().node_port(30080);
    // whether cluster endpoints are used, whether local ones are
    for (service, cluster, local) in [
        (web(), true, false),
        (web().internal_local(), false, true),
        (
            web().external_local().kind(ServiceType::NodePort),
            true,
            false,
        ),
        (reachable(), true, false),
        (reachable().internal_local(), true, true),
        (reachable().external_local(), true, true),
        (reachable().internal_local().external_local(), true, true),
    ] {
        let port = read(service);
        assert_eq!(port.uses_cluster_endpoints(), cluster, "{port:#?}");
        assert_eq!(port.uses_local_endpoints(), local, "{port:#?}");
    }
}

#[test]
fn local_load_balancers_have_a_health_check_port() {
    let web = || service("web", "10.96.0.1").tcp(80).health_check(30999);
    let port = |service| read(service).health_check_node_port;
    assert_eq!(
        port(web().external_local().balanced("192.0.2.1")),
        Some(30999)
    );
    assert_eq!(port(web().balanced("192.0.2.1")), None);
    assert_eq!(port(web().external_local().node_port(30080)), None);
    let both = web().port("https", Tcp, 443).external_local();
    let cluster = cluster().with(both.balanced("192.0.2.1"));
    let of_each = cluster.ports("web").iter();
    let of_each: Vec<_> = of_each.map(|port| port.health_check_node_port).collect();
    assert_eq!(of_each, [Some(30999); 2]);

    let forgotten = web().external_local().balanced("192.0.2.1").health_check(0);
    assert_eq!(port(forgotten.clone()), None);
    assert!(problems(forgotten)[0].contains("spec.healthCheckNodePort"));
}

#[test]
fn a_client_is_remembered_for_the_time_that_is_asked_for() {
    let web = service("web", "10.96.0.1").tcp(80);
    assert_eq!(read(web.clone()).affinity_seconds, None);
    // asked for, remembered, complaints
    for (asked, seconds, complaints) in [
        (Some(1), 1, 0),
        (Some(10), 10, 0),
        (Some(86_400), 86_400, 0),
        (None, 10_800, 0),
        (Some(0), 10_800, 1),
        (Some(-1), 10_800, 1),
        (Some(86_401), 10_800, 1),
    ] {
        let sticky = web.clone().sticky(asked);
        assert_eq!(problems(sticky.clone()).len(), complaints, "{asked:?}");
        assert_eq!(
            read(sticky.clone()).affinity_seconds,
            Some(seconds),
            "{asked:?}"
        );
        assert_eq!(
            cluster().with(sticky).only("web").affinity_seconds,
            Some(seconds)
        );
    }
}

#[test]
fn a_port_that_cannot_be_is_left_out_and_reported() {
    for number in [0, -1, 65_536, i32::MAX, i32::MIN] {
        let web = || service("web", "10.96.0.1").tcp(80);
        let service = web().port("bad", Tcp, number);
        assert_eq!(read(service.clone()).port, 80);
        assert!(
            problems(service)[0].contains("spec.ports[1].port"),
            "{number}"
        );
        if number != 0 {
            let service = web().node_port(number);
            assert_eq!(read(service.clone()).node_port, None);
            let complaints = problems(service);
            assert!(complaints[0].contains("spec.ports[0].nodePort"), "{number}");
        }
    }
}

#[test]
fn of_ports_with_one_name_and_protocol_the_last_counts() {
    let web = service("web", "10.96.0.1");
    let twice = web.clone().tcp(80).tcp(81);
    assert_eq!(read(twice.clone()).port, 81);
    assert!(problems(twice)[0].contains("spec.ports[1].name"));
    // Another protocol makes it another port.
    let both = web.port("dns", Udp, 53).port("dns", Tcp, 53);
    assert_eq!(cluster().with(both.clone()).ports("web").len(), 2);
    assert_eq!(problems(both), [""; 0]);
}

#[test]
fn external_ips_that_are_not_allowed_are_not_served() {
    let mut cluster = cluster_with(Settings {
        external_ips: false,
        ..Settings::default()
    });
    let web = service("web", "10.96.0.1").tcp(80).external("203.0.113.1");
    let problems = cluster.tell(web.external("nonsense").balanced("192.0.2.1"));
    assert!(problems.is_empty(), "{problems:?}");
    let [port] = cluster.ports("web") else {
        panic!("one port was expected");
    };
    assert!(port.external_ips.is_empty());
    assert_eq!(texts(&port.load_balancer_ips), ["192.0.2.1"]);
    cluster.0.set_settings(Settings::default());
    assert!(
        !cluster.0.settings().external_ips,
        "Services were read without"
    );
}

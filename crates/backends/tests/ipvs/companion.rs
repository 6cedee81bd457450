//! What the companion table has of a Service, which is not where its endpoints are.

use fairlead_backends::nftables::table;
use fairlead_core::address::Family;
use fairlead_kernel::nft::text;

use crate::build::{ServiceText, service, slice};
use crate::node::{Fakes, Node};

/// The elements of the table of IPv4 that are of a Service and not of the host, as `SET: ELEMENT`.
fn elements(node: &mut Node) -> Vec<String> {
    let batch = node.nft().batch(table(Family::V4)).unwrap();
    let mut elements = Vec::new();
    let (mut set, mut listing) = ("", false);
    for line in text::script(&batch).lines().map(str::trim) {
        let name = line
            .strip_prefix("set ")
            .or_else(|| line.strip_prefix("map "));
        set = name.map_or(set, |name| name.trim_end_matches(" {"));
        listing |= line.starts_with("elements = {");
        if listing && set != "host-ips" {
            let element = line
                .trim_start_matches("elements = {")
                .replace(" comment \"ns/web\"", "");
            let element = element.trim().trim_end_matches([',', '}', ' ']);
            elements.push(format!("{set}: {element}"));
        }
        listing &= !line.ends_with('}');
    }
    elements
}

/// A Service with a cluster IP, a node port, a load balancer's address and one of another kind.
fn web() -> ServiceText {
    let web = service("web", "10.96.0.1").tcp(80).node_port(30080);
    web.balanced("198.51.100.7").external("198.51.100.8")
}

const REFUSED: [&str; 4] = [
    "no-endpoint-nodeports: tcp . 30080 counter packets 0 bytes 0 : goto reject-connection",
    "no-endpoint-services: 10.96.0.1 . tcp . 80 counter packets 0 bytes 0 : goto reject-connection",
    "no-endpoint-services: 198.51.100.7 . tcp . 80 counter packets 0 bytes 0 : goto reject-connection",
    "no-endpoint-services: 198.51.100.8 . tcp . 80 counter packets 0 bytes 0 : goto reject-connection",
];
const INSIDE: &str = "services: 10.96.0.1 . tcp . 80 : goto virtual-server";
/// Answers have to come back here.
const EXTERNAL: [&str; 3] = [
    "nodeports: tcp . 30080 : goto external-virtual-server",
    "services: 198.51.100.7 . tcp . 80 : goto external-virtual-server",
    "services: 198.51.100.8 . tcp . 80 : goto external-virtual-server",
];
const LOCAL: [&str; 3] = [
    "nodeports: tcp . 30080 : goto virtual-server",
    "services: 198.51.100.7 . tcp . 80 : goto virtual-server",
    "services: 198.51.100.8 . tcp . 80 : goto virtual-server",
];
/// What comes from outside keeps its source.
const OUTSIDE: [&str; 3] = [
    "outside-nodeports: tcp . 30080 : jump outside-virtual-server",
    "outside-services: 198.51.100.7 . tcp . 80 : jump outside-virtual-server",
    "outside-services: 198.51.100.8 . tcp . 80 : jump outside-virtual-server",
];
/// What comes from outside is dropped.
const CLOSED: [&str; 3] = [
    "outside-nodeports: tcp . 30080 : jump outside-lb-0",
    "outside-services: 198.51.100.7 . tcp . 80 : jump outside-lb-0",
    "outside-services: 198.51.100.8 . tcp . 80 : jump outside-lb-0",
];
const DROPPED: &str =
    "no-endpoint-services: 10.96.0.1 . tcp . 80 counter packets 0 bytes 0 : goto drop-connection";
const HAIRPIN: &str = "hairpin-connections: 10.1.0.1 . 10.1.0.1 . tcp . 8080";
const RESTRICTED: [&str; 3] = [
    "restricted-services: 198.51.100.7 . tcp . 80",
    "source-ranges: 198.51.100.7 . tcp . 80 . 192.0.2.0/24",
    "source-ranges: 198.51.100.7 . tcp . 80 . 203.0.113.0/24",
];
/// Whatever there is besides.
const ADDRESSES: [&str; 4] = [
    "cluster-ips: 10.96.0.1",
    "service-ips: 10.96.0.1",
    "service-ips: 198.51.100.7",
    "service-ips: 198.51.100.8",
];

#[test]
fn rules_mark_refuse_and_drop_what_ipvs_cannot() {
    let (here, elsewhere) = (&["10.1.0.1 here"][..], &["10.1.1.1"][..]);
    let ranges = web().ranges(&["203.0.113.0/24", "192.0.2.0/24"]);
    for (service, endpoints, expected) in [
        (web(), &[][..], vec![&REFUSED[..]]),
        (web(), elsewhere, vec![&[INSIDE], &EXTERNAL]),
        (web(), here, vec![&[INSIDE, HAIRPIN], &EXTERNAL]),
        (web().external_local(), &[], vec![&REFUSED]),
        (
            web().external_local(),
            here,
            vec![&[INSIDE, HAIRPIN], &LOCAL, &OUTSIDE],
        ),
        (
            web().external_local(),
            elsewhere,
            vec![&[INSIDE], &LOCAL, &CLOSED],
        ),
        (
            web().internal_local(),
            here,
            vec![&[INSIDE, HAIRPIN], &EXTERNAL],
        ),
        (
            web().internal_local(),
            elsewhere,
            vec![&[DROPPED], &EXTERNAL],
        ),
        (ranges, elsewhere, vec![&[INSIDE], &EXTERNAL, &RESTRICTED]),
    ] {
        let slice = slice("web-a", "web").tcp(8080).endpoints(endpoints);
        let mut node = Node::settled(Fakes::default(), [service.clone().into(), slice.into()]);
        let mut expected: Vec<&str> = expected.into_iter().flatten().copied().collect();
        expected.extend(ADDRESSES);
        expected.sort_unstable();
        let mut found = elements(&mut node);
        found.sort();
        assert_eq!(found, expected, "{:?} with {endpoints:?}", service.0);
    }
}

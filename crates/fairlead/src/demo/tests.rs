use std::collections::BTreeMap;

use anstream::adapter::strip_str;

use fairlead_backends::nftables::{Finding, Found, Role, understand};
use fairlead_core::address::Family;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::Nft;
use fairlead_lab::{Failure, Series};

use super::nginx::Nginx;
use super::picture::{self, Share};
use super::{nginx, path};

fn plain(picture: &str) -> String {
    strip_str(picture).to_string()
}

/// The paths to the cluster IP and to the node port.
fn paths() -> [String; 2] {
    let manifest = nginx::Manifest::new().unwrap();
    let mut cluster = manifest.read().unwrap();
    let Nginx {
        from_pod,
        from_outside,
        ..
    } = Nginx::of(&cluster).unwrap();
    let plan = nginx::plan(&mut cluster).unwrap();
    let mut kernel = FakeNft::new();
    kernel.commit(std::slice::from_ref(&plan)).unwrap();
    let observed = kernel.observe(plan.table).unwrap();
    let Finding::Usable(found) = understand(Family::V4, Role::Proxy, observed) else {
        panic!("the table is not understood");
    };
    [from_pod, from_outside]
        .map(|act| plain(&picture::path(&path::trace(&plan, &found, act.destination))))
}

#[test]
fn the_path_to_a_cluster_ip_is_drawn() {
    let [path, _] = paths();
    assert_eq!(
        path,
        "   │
   ▼ chain nat-prerouting
   │   jump services
   │
   ▼ chain services
   │   ip daddr . meta l4proto . th dport vmap @services
   │     10.96.0.80 . tcp . 80 comment \"default/nginx\" : goto lb-3
   │
   ▼ chain lb-3
   │   meta l4proto { tcp, udp, sctp } dnat ip to ip daddr . meta l4proto .
   │     th dport . numgen random mod 3 map @endpoints
   │     10.96.0.80 . tcp . 80 . 0 : 10.244.1.130 . 8080
   │     10.96.0.80 . tcp . 80 . 1 : 10.244.2.5 . 8080
   │     10.96.0.80 . tcp . 80 . 2 : 10.244.2.6 . 8080
   │
   ▼
"
    );
}

#[test]
fn the_path_to_a_node_port_is_drawn() {
    let [_, path] = paths();
    assert_eq!(
        path,
        "   │
   ▼ chain nat-prerouting
   │   jump services
   │
   ▼ chain services
   │   ip daddr @nodeport-ips jump nodeports
   │
   ▼ chain nodeports
   │   meta l4proto . th dport vmap @nodeports
   │     tcp . 30080 comment \"default/nginx\" : goto external-lb-3
   │
   ▼ chain external-lb-3
   │   meta mark set meta mark | 0x00004000 comment \"masquerade\"
   │   goto lb-3
   │
   ▼ chain lb-3
   │   meta l4proto { tcp, udp, sctp } dnat ip to meta l4proto . th dport .
   │     numgen random mod 3 map @nodeport-endpoints
   │     tcp . 30080 . 0 : 10.244.1.130 . 8080
   │     tcp . 30080 . 1 : 10.244.2.5 . 8080
   │     tcp . 30080 . 2 : 10.244.2.6 . 8080
   │
   ▼
"
    );
}

#[test]
fn what_the_table_does_not_have_has_no_path() {
    let manifest = nginx::Manifest::new().unwrap();
    let mut cluster = manifest.read().unwrap();
    let act = Nginx::of(&cluster).unwrap().from_pod;
    let plan = nginx::plan(&mut cluster).unwrap();
    let steps = path::trace(&plan, &Found::default(), act.destination);
    assert_eq!(picture::path(&steps), "");
}

fn share(endpoint: &str, place: &str, count: usize) -> Share {
    Share {
        endpoint: endpoint.parse().unwrap(),
        place: place.to_owned(),
        count,
    }
}

#[test]
fn shares_are_bars_of_all_that_was_answered() {
    let picture = plain(&picture::shares(&[
        share("10.244.1.130:8080", "node1", 150),
        share("10.244.2.5:8080", "node2", 149),
        share("10.244.2.6:8080", "node2", 1),
        share("10.244.2.7:8080", "gone", 0),
    ]));
    assert_eq!(
        picture,
        "   10.244.1.130:8080  node1  ███████████████                  150   50.0 %
   10.244.2.5:8080    node2  ██████████████▉                  149   49.7 %
   10.244.2.6:8080    node2  ▏                                  1    0.3 %
   10.244.2.7:8080    gone                                      0    0.0 %
"
    );
}

#[test]
fn bars_shrink_where_names_are_long() {
    let picture = plain(&picture::shares(&[
        share("[fd00:10:244:1:8000::1]:8080", "ip-192-0-2-10.internal", 7),
        share("[fd00:10:244:2::5]:8080", "ip-192-0-2-11.internal", 0),
    ]));
    let line = picture.lines().next().unwrap();
    assert!(
        line.chars().count() <= 80 && line.contains("███  "),
        "{picture}"
    );
    let nobody = plain(&picture::shares(&[share("10.0.0.1:80", "n", 0)]));
    assert!(nobody.ends_with(" 0    0.0 %\n"), "{nobody}");
}

#[test]
fn sources_and_failures_are_told() {
    let mut series = Series::default();
    assert_eq!(picture::source(&series), "");
    series.kept = 2;
    let kept = "   the pods see the client's own address\n";
    assert_eq!(plain(&picture::source(&series)), kept);
    series.masqueraded = 1;
    let both = "   the pods see the client's own address 2 times, the node's 1 times\n";
    assert_eq!(plain(&picture::source(&series)), both);
    series.errors = BTreeMap::from([(Failure::Timeout, 3), (Failure::Refused, 1)]);
    let failed = "   1 refused\n   3 timeout\n";
    assert_eq!(plain(&picture::failures(&series)), failed);
}

#[test]
fn only_styles_are_not_plain() {
    let heading = picture::heading("A node");
    assert_eq!(heading, "\n\u{1b}[1mA node\u{1b}[0m\n");
    assert_eq!(plain(&heading), "\nA node\n");
}

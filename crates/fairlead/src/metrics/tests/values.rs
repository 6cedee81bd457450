//! What the values are after what has happened.

use std::time::{Duration, Instant};

use fairlead_core::address::Family;
use fairlead_core::api::{Change, Kind, ObjectName};
use fairlead_source::cluster::WatchStatus;
use jiff::Timestamp;

use super::exposition::parse;
use super::node::{Node, service, slice};
use crate::config::{Gates, Mode};
use crate::metrics::Metrics;
use crate::metrics::scraped::{Described, Kind as Type, Scraped};

const DURATION: &str = "kubeproxy_sync_proxy_rules_duration_seconds";
const FULL: &str = "kubeproxy_sync_full_proxy_rules_duration_seconds";
const PARTIAL: &str = "kubeproxy_sync_partial_proxy_rules_duration_seconds";
const PROGRAMMING: &str = "kubeproxy_network_programming_duration_seconds";
const SYNC_FAILURES: &str = "kubeproxy_sync_proxy_rules_nftables_sync_failures_total";
const CLEANUP_FAILURES: &str = "kubeproxy_sync_proxy_rules_nftables_cleanup_failures_total";

/// The values of metrics of both families, IPv4's first.
fn both(node: &Node, name: &str, suffix: &str) -> [f64; 2] {
    Family::BOTH.map(|family| node.value(name, &format!("{suffix}ip_family={family}")))
}

#[test]
fn every_sync_is_observed_once_for_each_family() {
    let mut node = Node::new();
    node.queue_and_sync();
    node.queue_and_sync();
    node.tell(service("web", "10.96.0.1", false));
    node.fail(true);
    node.queue_and_sync();
    for (name, count) in [(DURATION, 3.0), (FULL, 1.0), (PARTIAL, 2.0)] {
        assert_eq!(both(&node, name, "_count"), [count; 2], "{name}");
        let sums = both(&node, name, "_sum");
        assert!(
            sums.iter().all(|sum| (sum - count * 0.003).abs() < 1e-9),
            "{name} {sums:?}"
        );
    }
    // What failed is not known, so the next looks at everything.
    node.fail(false);
    node.queue_and_sync();
    assert_eq!(both(&node, FULL, "_count"), [2.0; 2]);
}

#[test]
fn a_failure_of_nothing_but_cleaning_up_is_counted_apart() {
    let mut node = Node::new();
    node.queue_and_sync();
    node.fail(true);
    node.tell(service("web", "10.96.0.1", false));
    node.sync(true);
    node.sync(false);
    node.sync(false);
    assert_eq!(both(&node, SYNC_FAILURES, ""), [1.0; 2]);
    assert_eq!(both(&node, CLEANUP_FAILURES, ""), [2.0; 2]);
}

#[test]
fn times_are_told_when_there_are_some() {
    const LAST: &str = "kubeproxy_sync_proxy_rules_last_timestamp_seconds";
    const QUEUED: &str = "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds";
    let mut node = Node::new();
    let before = Timestamp::now().as_duration().as_secs_f64();
    node.fail(true);
    node.tell(service("web", "10.96.0.1", false));
    node.sync(true);
    let text = node.metrics.text().unwrap();
    assert!(!text.contains(LAST) && !text.contains(QUEUED), "{text}");
    node.fail(false);
    node.queue_and_sync();
    let after = Timestamp::now().as_duration().as_secs_f64();
    for name in [LAST, QUEUED] {
        let times = both(&node, name, "");
        assert!(
            times.iter().all(|time| (before..=after).contains(time)),
            "{name} {times:?}"
        );
    }
}

#[test]
fn changes_wait_until_a_sync_succeeds() {
    let pending = |node: &Node| {
        ["service", "endpoint"].map(|what| {
            let name = format!("kubeproxy_sync_proxy_rules_{what}_changes_pending");
            node.value(&name, "")
        })
    };
    let total = |node: &Node| {
        ["service", "endpoint"].map(|what| {
            let name = format!("kubeproxy_sync_proxy_rules_{what}_changes_total");
            node.value(&name, "")
        })
    };
    let mut node = Node::new();
    node.queue_and_sync();
    node.tell(service("web", "10.96.0.1", false));
    node.tell(service("web", "10.96.0.2", false));
    node.tell(slice("web", "here", &["10.1.0.1"], None));
    node.tell(slice("web", "here", &["10.1.0.1"], None));
    node.tell(slice("web", "here", &["10.1.0.2"], None));
    assert_eq!(pending(&node), [1.0, 2.0]);
    // A Service is told once for each family.
    assert_eq!(total(&node), [4.0, 3.0]);
    node.fail(true);
    node.queue_and_sync();
    assert_eq!(pending(&node), [1.0, 2.0]);
    node.fail(false);
    node.queue_and_sync();
    assert_eq!(pending(&node), [0.0, 0.0]);
    assert_eq!(total(&node), [4.0, 3.0]);
}

#[test]
fn programming_is_timed_by_the_sync_that_succeeds() {
    let mut node = Node::new();
    let started = Timestamp::now().as_nanosecond();
    node.model.set_started(started);
    let hour = Duration::from_hours(1).as_nanos().cast_signed();
    node.tell(service("web", "10.96.0.1", false));
    node.tell(slice("web", "here", &["10.1.0.1"], Some(started - hour)));
    node.tell(slice("web", "here", &["10.1.0.2"], Some(started + 1)));
    // A clock that is ahead of ours.
    node.tell(slice("web", "here", &["10.1.0.3"], Some(started + hour)));
    node.fail(true);
    node.queue_and_sync();
    assert_eq!(both(&node, PROGRAMMING, "_count"), [0.0, 0.0]);
    node.fail(false);
    node.queue_and_sync();
    assert_eq!(both(&node, PROGRAMMING, "_count"), [2.0, 0.0]);
    let passed = Timestamp::now().as_nanosecond() - started;
    let passed = Duration::from_nanos(passed.try_into().unwrap()).as_secs_f64();
    let sum = both(&node, PROGRAMMING, "_sum")[0];
    assert!((0.0..=passed).contains(&sum), "{sum} of {passed}");
    node.queue_and_sync();
    assert_eq!(both(&node, PROGRAMMING, "_count"), [2.0, 0.0]);
}

#[test]
fn a_slice_that_goes_is_not_timed() {
    let mut node = Node::new();
    node.tell(service("web", "10.96.0.1", false));
    node.tell(slice("web", "here", &["10.1.0.1"], Some(1)));
    node.tell(Change::Deleted(
        Kind::EndpointSlice,
        ObjectName::new("ns", "web"),
    ));
    node.queue_and_sync();
    assert_eq!(both(&node, PROGRAMMING, "_count"), [0.0, 0.0]);
}

#[test]
fn ports_without_a_local_endpoint_are_counted_as_syncs_go() {
    let unserved = |node: &Node| {
        let name = "kubeproxy_sync_proxy_rules_no_local_endpoints_total";
        ["internal", "external"].map(|policy| {
            Family::BOTH.map(|family| {
                node.value(name, &format!("ip_family={family},traffic_policy={policy}"))
            })
        })
    };
    let mut node = Node::new();
    node.tell(service("web", "10.96.0.1", true));
    node.tell(slice("web", "elsewhere", &["10.1.0.1"], None));
    node.tell(service("api", "10.96.0.2", true));
    node.tell(slice("api", "elsewhere", &["10.1.0.2"], None));
    assert_eq!(unserved(&node), [[0.0, 0.0], [0.0, 0.0]]);
    node.queue_and_sync();
    assert_eq!(unserved(&node), [[2.0, 0.0], [2.0, 0.0]]);
    node.tell(slice("web", "here", &["10.1.0.1"], None));
    node.queue_and_sync();
    assert_eq!(unserved(&node), [[1.0, 0.0], [1.0, 0.0]]);
    // Looking at everything counts nothing twice.
    node.fail(true);
    node.tell(service("db", "10.96.0.3", false));
    node.queue_and_sync();
    node.fail(false);
    node.queue_and_sync();
    assert_eq!(unserved(&node), [[1.0, 0.0], [1.0, 0.0]]);
    node.tell(Change::Deleted(Kind::Service, ObjectName::new("ns", "api")));
    node.queue_and_sync();
    assert_eq!(unserved(&node), [[0.0, 0.0], [0.0, 0.0]]);
}

#[test]
fn what_there_is_is_told_as_it_changes() {
    let mut node = Node::new();
    node.tell(service("web", "10.96.0.1", false));
    node.tell(service("api", "10.96.0.1", false));
    node.tell(slice("web", "here", &["10.1.0.1", "10.1.0.2"], None));
    assert_eq!(node.value("fairlead_services", ""), 2.0);
    assert_eq!(node.value("fairlead_endpoints", "ip_family=IPv4"), 2.0);
    assert_eq!(node.value("fairlead_contested_destinations", ""), 1.0);
    assert_eq!(node.value("fairlead_problems", "kind=EndpointSlice"), 0.0);
    let problems = node.model.apply(slice("web", "here", &["?"], None));
    assert_eq!(problems.len(), 1);
    node.metrics.told(&node.model);
    assert_eq!(node.value("fairlead_problems", "kind=EndpointSlice"), 1.0);
    assert_eq!(node.value("fairlead_endpoints", "ip_family=IPv4"), 0.0);
    node.tell(Change::Deleted(Kind::Service, ObjectName::new("ns", "api")));
    assert_eq!(node.value("fairlead_services", ""), 1.0);
    assert_eq!(node.value("fairlead_contested_destinations", ""), 0.0);
}

#[test]
fn a_scrape_does_not_grow_with_the_services() {
    let lines = |services: u8| {
        let mut node = Node::new();
        for n in 1..=services {
            let name = format!("web-{n}");
            node.tell(service(&name, &format!("10.96.0.{n}"), true));
            node.tell(slice(&name, "elsewhere", &["10.1.0.1"], None));
        }
        node.queue_and_sync();
        node.metrics.text().unwrap().lines().count()
    };
    assert_eq!(lines(1), lines(200));
}

#[test]
fn stages_are_timed_if_there_were_any() {
    let mut node = Node::new();
    node.queue_and_sync();
    let stages = "fairlead_sync_stage_duration_seconds";
    assert_eq!(node.value(stages, "_countstage=observe"), 1.0);
    assert_eq!(node.value(stages, "_countstage=apply"), 1.0);
    node.queue_and_sync();
    assert_eq!(node.value(stages, "_countstage=observe"), 1.0);
    assert_eq!(node.value(stages, "_countstage=apply"), 1.0);
    assert!(node.value("fairlead_sync_operations_total", "") > 0.0);
    node.tell(service("web", "10.96.0.1", false));
    node.queue_and_sync();
    assert_eq!(node.value("fairlead_sync_services_total", ""), 1.0);
}

#[test]
fn answers_are_counted_by_their_code() {
    let node = Node::new();
    let metrics = &node.metrics;
    metrics.healthz_answered(200);
    metrics.healthz_answered(503);
    metrics.healthz_answered(503);
    metrics.livez_answered(200);
    let probes = |name: &str| ["200", "503"].map(|code| node.value(name, &format!("code={code}")));
    assert_eq!(probes("kubeproxy_proxy_healthz_total"), [1.0, 2.0]);
    assert_eq!(probes("kubeproxy_proxy_livez_total"), [1.0, 0.0]);

    let host = "192.0.2.1:6443";
    metrics.rest_client_answered("GET", host, "200", Duration::from_millis(30));
    metrics.rest_client_answered("GET", host, "<error>", Duration::from_millis(30));
    let requests = |code| {
        let series = format!("code={code},host={host},method=GET");
        node.value("rest_client_requests_total", &series)
    };
    assert_eq!((requests("200"), requests("<error>")), (1.0, 1.0));
    let name = "rest_client_request_duration_seconds";
    assert_eq!(
        node.value(name, &format!("_counthost={host},verb=GET")),
        2.0
    );
}

#[test]
fn sweeps_are_counted_for_the_family_they_were_of() {
    let node = Node::new();
    node.metrics.swept(Family::V6, Duration::from_millis(2), 5);
    node.metrics.swept(Family::V6, Duration::from_millis(2), 0);
    let took = "kubeproxy_conntrack_reconciler_sync_duration_seconds";
    assert_eq!(both(&node, took, "_count"), [0.0, 2.0]);
    let deleted = "kubeproxy_conntrack_reconciler_deleted_entries_total";
    assert_eq!(both(&node, deleted, ""), [0.0, 5.0]);
    let only = Metrics::new(Mode::Nftables, &[Family::V4]).unwrap();
    only.swept(Family::V6, Duration::from_millis(2), 5);
    assert!(!only.text().unwrap().contains("IPv6"));
}

#[test]
fn a_watch_is_as_old_as_what_was_heard_last() {
    let node = Node::new();
    let heard = Instant::now().checked_sub(Duration::from_secs(40)).unwrap();
    let watch = move |kind, heard| WatchStatus {
        kind,
        heard,
        connected: kind == Kind::EndpointSlice,
        synced: false,
        failure: None,
    };
    let all = move || {
        vec![
            watch(Kind::EndpointSlice, Some(heard)),
            watch(Kind::ServiceCidr, None),
        ]
    };
    node.metrics.watches(all).unwrap();
    let age = node.value(
        "fairlead_watch_last_heard_seconds",
        "resource=endpointslices",
    );
    assert!(age >= 40.0 && age <= heard.elapsed().as_secs_f64(), "{age}");
    let connected =
        |resource| node.value("fairlead_watch_connected", &format!("resource={resource}"));
    assert_eq!(connected("endpointslices"), 1.0);
    assert_eq!(connected("servicecidrs"), 0.0);
    assert!(
        !node
            .metrics
            .text()
            .unwrap()
            .contains("last_heard_seconds{resource=\"servicecidrs\"}")
    );
}

#[test]
fn switches_are_told() {
    let node = Node::new();
    assert_eq!(node.value("fairlead_config_needs_restart", ""), 0.0);
    node.metrics.config_needs_restart(true);
    assert_eq!(node.value("fairlead_config_needs_restart", ""), 1.0);
    node.metrics.features(&Gates::default());
    let feature = |series| node.value("kubernetes_feature_enabled", series);
    assert_eq!(feature("name=NativeHistograms,stage=ALPHA"), 0.0);
    assert_eq!(feature("name=NFTablesProxyMode,stage="), 1.0);
}

#[test]
fn metrics_can_be_read_when_they_are_scraped() {
    static DESCRIBED: [Described; 2] = [
        Described {
            name: "fairlead_test_packets_total",
            help: "Packets",
            kind: Type::Counter,
            labels: &["namespace", "service"],
        },
        Described {
            name: "fairlead_test_flows",
            help: "Flows",
            kind: Type::Gauge,
            labels: &[],
        },
    ];
    let metrics = Metrics::new(Mode::Nftables, &[Family::V4]).unwrap();
    let read = |scale: f64| {
        Scraped::new(&DESCRIBED, move |samples| {
            samples.add("fairlead_test_packets_total", &["ns", "web"], 2.0 * scale);
            samples.add(
                "fairlead_test_packets_total",
                &["ns", "a\"b\\\n"],
                3.0 * scale,
            );
        })
    };
    metrics.register(read(1.0).unwrap()).unwrap();
    let text = metrics.text().unwrap();
    let expected = "# HELP fairlead_test_packets_total Packets\n\
        # TYPE fairlead_test_packets_total counter\n\
        fairlead_test_packets_total{namespace=\"ns\",service=\"a\\\"b\\\\\\n\"} 3\n\
        fairlead_test_packets_total{namespace=\"ns\",service=\"web\"} 2\n";
    assert!(text.contains(expected), "{text}");
    // Without a value there is nothing to tell.
    assert!(!text.contains("fairlead_test_flows"));
    assert!(metrics.register(read(2.0).unwrap()).is_err());
}

#[test]
fn the_process_is_the_one_that_runs() {
    let metrics = parse(
        &Metrics::new(Mode::Nftables, &[Family::V4])
            .unwrap()
            .text()
            .unwrap(),
    );
    let value = |name: &str| metrics[name].samples[""];
    let now = Timestamp::now().as_duration().as_secs_f64();
    let started = value("process_start_time_seconds");
    assert!(
        (now - 3600.0..=now + 1.0).contains(&started),
        "{started} of {now}"
    );
    assert!(value("process_cpu_seconds_total") > 0.0);
    assert!(value("process_threads") >= 1.0);
    let (open, most) = (value("process_open_fds"), value("process_max_fds"));
    assert!((3.0..=most).contains(&open), "{open} of {most}");
    let resident = value("process_resident_memory_bytes");
    let peak = value("fairlead_memory_peak_resident_bytes");
    let space = value("process_virtual_memory_bytes");
    assert!(
        resident > 1e6 && resident <= peak && peak <= space,
        "{resident} {peak} {space}"
    );
    assert!(space <= value("process_virtual_memory_max_bytes"));
    let allocated = value("fairlead_memory_allocated_bytes");
    assert!(allocated > 0.0 && allocated <= space, "{allocated}");
}

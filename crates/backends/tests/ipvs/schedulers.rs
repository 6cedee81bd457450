//! Who chooses, and what is done where the kernel does not have whom a Service asks for.

use fairlead_core::address::Protocol;
use fairlead_core::report::Unmet;
use fairlead_core::scheduling::{Scheduler, Scheduling};
use fairlead_core::settings::{IpvsSettings, Settings};
use fairlead_kernel::ipvs::fake::FakeIpvs;

use crate::any::never;
use crate::build::{name, service, slice};
use crate::node::{Fakes, Node, settings};

fn scheduler(node: &mut Node, at: &str) -> String {
    let saved = node.ipvs().saved();
    let start = format!("-A -t {at} -s ");
    let mut lines = saved.lines();
    lines
        .find_map(|line| line.strip_prefix(&start))
        .unwrap()
        .to_owned()
}

fn with_default(default: Scheduler, schedulers: &[&str]) -> Node {
    let fakes = Fakes {
        ipvs: FakeIpvs::with_schedulers(schedulers),
        ..Fakes::default()
    };
    let mut node = Node::new(fakes, never);
    node.model.set_settings(Settings {
        ipvs: IpvsSettings {
            scheduling: Scheduling::from(default),
            ..IpvsSettings::default()
        },
        ..settings()
    });
    node
}

#[test]
fn a_service_has_the_scheduler_that_it_asks_for() {
    let mut node = Node::settled(Fakes::default(), []);
    for scheduler_of in Scheduler::in_ipvs() {
        let text = scheduler_of.name();
        node.change([service("web", "10.96.0.1").tcp(80).scheduler(text).into()]);
        let expected = match scheduler_of {
            Scheduler::Mh => "mh -b mh-port",
            _ => text,
        };
        assert_eq!(scheduler(&mut node, "10.96.0.1:80"), expected);
    }
    node.change([service("web", "10.96.0.1")
        .tcp(80)
        .scheduler("sh,sh-fallback,sh-port")
        .into()]);
    assert_eq!(
        scheduler(&mut node, "10.96.0.1:80"),
        "sh -b sh-fallback,sh-port"
    );
    node.change([service("web", "10.96.0.1").tcp(80).into()]);
    assert_eq!(scheduler(&mut node, "10.96.0.1:80"), "rr");
}

#[test]
fn another_setting_is_one_message_and_all_else_stays() {
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        let web = || service("web", "10.96.0.1").port("", protocol, 80);
        let slice = slice("web-a", "web").port("", protocol, 8080);
        let endpoints = slice.endpoints(&["10.1.0.1", "10.1.0.2"]);
        let mut node = Node::settled(Fakes::default(), [web().into(), endpoints.into()]);
        for (service, messages, expected) in [
            (web(), 0, "-s rr"),
            (web().scheduler("lc"), 1, "-s lc"),
            (web().scheduler("sh"), 1, "-s sh"),
            (web().scheduler("sh,sh-port"), 1, "-s sh -b sh-port"),
            (web().sticky(Some(60)), 1, "-s rr -p 60"),
            (web().sticky(Some(90)), 1, "-s rr -p 90"),
            (web(), 1, "-s rr"),
        ] {
            let report = node.change([service.into()]);
            let saved = node.ipvs().saved();
            assert_eq!(report.messages, messages, "{saved}");
            assert!(saved.lines().next().unwrap().ends_with(expected), "{saved}");
            assert_eq!(node.reals("10.96.0.1:80"), ["10.1.0.1", "10.1.0.2"]);
        }
    }
}

#[test]
fn a_scheduler_that_is_missing_is_told_and_the_default_is_used() {
    let mut node = with_default(Scheduler::Wlc, &["rr", "wlc"]);
    node.apply([
        service("web", "10.96.0.1").tcp(80).scheduler("lc").into(),
        service("other", "10.96.0.2").tcp(80).into(),
    ]);
    let report = node.sync().unwrap();
    assert_eq!(scheduler(&mut node, "10.96.0.1:80"), "wlc");
    assert_eq!(scheduler(&mut node, "10.96.0.2:80"), "wlc");
    let why = "scheduler lc: the kernel has no module ip_vs_lc; wlc is used".to_owned();
    let told = vec![(name("web"), Unmet::Scheduler(why))];
    assert_eq!((report.unheeded, report.excluded.len()), (told.clone(), 0));
    // It is told as long as it is so, and not asked for again with every change.
    let report = node.change([service("third", "10.96.0.3").tcp(80).into()]);
    assert_eq!((report.unheeded, report.full), (told, false));
    let report = node.change([service("web", "10.96.0.1").tcp(80).scheduler("rr").into()]);
    assert_eq!(report.unheeded, []);
}

#[test]
fn where_the_default_is_missing_too_it_is_rr() {
    let mut node = with_default(Scheduler::Wlc, &["rr"]);
    node.apply([service("web", "10.96.0.1").tcp(80).scheduler("lc").into()]);
    node.sync().unwrap();
    assert_eq!(scheduler(&mut node, "10.96.0.1:80"), "rr");
}

#[test]
fn a_scheduler_that_came_later_is_used_at_the_next_routine() {
    let mut node = with_default(Scheduler::Rr, &["rr"]);
    node.apply([service("web", "10.96.0.1").tcp(80).scheduler("lc").into()]);
    node.sync().unwrap();
    let saved = node.ipvs().saved();
    *node.ipvs() = FakeIpvs::new();
    node.engine.routine();
    node.sync().unwrap();
    assert_eq!(node.ipvs().saved(), saved.replace("-s rr", "-s lc"));
}

//! Who chooses among the endpoints of a Service, as its annotation has it.

mod build;

use build::{ServiceText, cluster, cluster_with, deleted, name, service, texts};
use fairlead_core::address::Family::{V4, V6};
use fairlead_core::api::Kind;
use fairlead_core::report::Unmet;
use fairlead_core::scheduling::Scheduler;
use fairlead_core::settings::Settings;

fn web() -> ServiceText {
    service("web", "10.96.0.1").tcp(80)
}

const UNKNOWN: &str = "Service ns/web: metadata.annotations[fairlead.dev/scheduler]: there is no scheduler \"least\"; \
                       there are rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, p2c; the default is used";

#[test]
fn a_service_says_who_chooses() {
    assert_eq!(cluster().with(web()).only("web").scheduling, None);
    for scheduler in Scheduler::ALL {
        let cluster = cluster().with(web().scheduler(scheduler.name()));
        assert_eq!(cluster.only("web").scheduling, Some(scheduler.into()));
    }
    let cluster = cluster().with(web().scheduler(" sh,sh-port "));
    let scheduling = cluster.only("web").scheduling.unwrap();
    assert!(scheduling.port && !scheduling.fallback);
}

#[test]
fn what_is_no_scheduler_is_reported_once_and_the_default_is_used() {
    let mut cluster = cluster();
    let both = web().families(&[V4, V6], &["10.96.0.1", "fd00::1"]);
    assert_eq!(texts(cluster.tell(both.scheduler("least"))), [UNKNOWN]);
    let scheduling = cluster.ports("web").iter().map(|port| port.scheduling);
    assert_eq!(scheduling.collect::<Vec<_>>(), [None, None]);
    for nothing in ["", " "] {
        assert_eq!(texts(cluster.tell(web().scheduler(nothing))), [""; 0]);
    }
}

#[test]
fn what_is_asked_for_in_vain_is_known_until_the_service_says_otherwise() {
    let mut cluster = cluster();
    let unheeded = |cluster: &build::Cluster| cluster.0.unheeded().clone();
    cluster.tell(web().scheduler("least"));
    let why = UNKNOWN.trim_start_matches("Service ns/web: ").to_owned();
    assert_eq!(
        unheeded(&cluster),
        [(name("web"), Unmet::Scheduler(why))].into()
    );
    cluster.tell(web().scheduler("lc"));
    assert_eq!(unheeded(&cluster), [].into());
    cluster.tell(web().scheduler("least"));
    cluster.tell(web());
    assert_eq!(unheeded(&cluster), [].into());
    cluster.tell(web().scheduler("least"));
    cluster.tell(deleted(Kind::Service, "web"));
    assert_eq!(unheeded(&cluster), [].into());
}

#[test]
fn where_nobody_can_choose_nobody_is_asked() {
    let settings = |by_service| Settings {
        scheduling_by_service: by_service,
        ..Settings::default()
    };
    let mut cluster = cluster_with(settings(false));
    assert_eq!(texts(cluster.tell(web().scheduler("least"))), [""; 0]);
    assert_eq!(cluster.0.unheeded().len(), 0);
    cluster.tell(web());
    cluster.take_dirty();
    cluster.tell(web().scheduler("lc"));
    assert_eq!(cluster.take_dirty(), [""; 0]);
    assert_eq!(cluster.only("web").scheduling, None);
    cluster.0.set_settings(settings(true));
    assert!(
        !cluster.0.settings().scheduling_by_service,
        "Services were read without"
    );
}

#[test]
fn another_scheduler_is_a_change_of_its_service() {
    let mut cluster = cluster()
        .with(web())
        .with(service("api", "10.96.0.2").tcp(80));
    cluster.take_dirty();
    cluster.tell(web().scheduler("lc"));
    assert_eq!(cluster.take_dirty(), ["ns/web"]);
    cluster.tell(web().scheduler("lc"));
    assert_eq!(cluster.take_dirty(), [""; 0]);
}

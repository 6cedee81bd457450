//! What waits for a sync, and since when.

mod build;

use build::{SliceText, cluster, deleted, service, slice, web_1, with_web};
use fairlead_core::address::ByFamily;
use fairlead_core::address::Family::{V4, V6};
use fairlead_core::api::{AddressType, Kind};
use fairlead_core::model::Census;

#[test]
fn a_service_that_is_as_it_was_waits_for_nothing() {
    let web = || service("web", "10.96.0.1").tcp(80);
    let mut cluster = cluster().with(web()).with(web());
    let pending = |cluster: &build::Cluster| cluster.0.progress().pending_services();
    assert_eq!(pending(&cluster), 1);
    cluster.tell(deleted(Kind::Service, "web"));
    assert_eq!(pending(&cluster), 0);
    cluster.tell(web());
    cluster.0.settle();
    assert_eq!(pending(&cluster), 0);

    cluster.tell(web().external("192.0.2.1"));
    cluster.tell(web().external("192.0.2.2"));
    assert_eq!(pending(&cluster), 1);
    cluster.tell(web());
    assert_eq!(pending(&cluster), 0);
    assert_eq!(cluster.0.progress().told().services, 7);
}

#[test]
fn every_change_of_a_slice_waits() {
    let mut cluster = with_web().with(web_1()).with(web_1());
    assert_eq!(cluster.0.progress().pending_slices(), 1);
    cluster.tell(web_1().endpoints(&["10.1.0.2"]));
    cluster.tell(web_1());
    assert_eq!(cluster.0.progress().pending_slices(), 3);
    cluster.tell(deleted(Kind::EndpointSlice, "web-1"));
    cluster.tell(deleted(Kind::EndpointSlice, "web-1"));
    assert_eq!(cluster.0.progress().pending_slices(), 4);
    let told = cluster.0.progress().told().slices;
    assert_eq!((told.v4, told.v6), (5, 0));
    cluster.0.settle();
    assert_eq!(cluster.0.progress().pending_slices(), 0);
}

#[test]
fn names_are_not_counted() {
    let cluster = with_web().with(slice("web-1", "web").tcp(80).of_type(AddressType::Fqdn));
    assert_eq!(cluster.0.progress().told().slices, ByFamily::default());
    assert_eq!(cluster.0.progress().pending_slices(), 0);
}

#[test]
fn changes_of_endpoints_are_timed_from_when_they_were_triggered() {
    let mut cluster = with_web();
    cluster.0.set_started(100);
    cluster.tell(web_1().triggered(100));
    cluster.tell(web_1().endpoints(&["10.1.0.2"]).triggered(101));
    // The same again is no change, whatever it says of when.
    cluster.tell(web_1().endpoints(&["10.1.0.2"]).triggered(102));
    cluster.tell(web_1().endpoints(&["10.1.0.3"]));
    cluster.tell(web_6("fd01::1").triggered(103));
    assert_eq!(settle(&mut cluster), [(V4, 101), (V6, 103)]);
    assert_eq!(settle(&mut cluster), []);
}

#[test]
fn a_slice_that_goes_takes_what_its_service_collected_along() {
    let mut cluster = with_web()
        .with(web_1().triggered(1))
        .with(
            slice("web-2", "web")
                .endpoints(&["10.1.0.9"])
                .tcp(80)
                .triggered(2),
        )
        .with(web_6("fd01::1").triggered(3))
        .with(service("api", "10.96.0.2").tcp(80))
        .with(
            slice("api-1", "api")
                .tcp(80)
                .endpoints(&["10.1.0.5"])
                .triggered(4),
        );
    cluster.tell(deleted(Kind::EndpointSlice, "web-1"));
    assert_eq!(settle(&mut cluster), [(V4, 4), (V6, 3)]);

    // What comes after it went is timed again.
    cluster.tell(web_1().triggered(5));
    cluster.tell(deleted(Kind::EndpointSlice, "web-1"));
    cluster.tell(web_1().triggered(6));
    assert_eq!(settle(&mut cluster), [(V4, 6)]);
    cluster.tell(deleted(Kind::EndpointSlice, "web-1"));
    assert_eq!(settle(&mut cluster), []);

    // One that is said to be for no proxy any more has gone as well.
    cluster.tell(web_6("fd01::2").triggered(5));
    cluster.tell(web_6("fd01::3").headless());
    assert_eq!(settle(&mut cluster), []);
}

#[test]
fn what_no_sync_programs_does_not_pile_up() {
    let mut cluster = with_web();
    for n in 0..1000 {
        cluster.tell(
            web_1()
                .endpoints(&["10.1.0.2"][..n % 2])
                .triggered(1 + n as i128),
        );
    }
    let triggers = settle(&mut cluster);
    assert_eq!(cluster.0.progress().pending_slices(), 0);
    // The first have waited longest.
    let first: Vec<_> = (1..=64).map(|time| (V4, time)).collect();
    assert_eq!(triggers, first);
}

#[test]
fn the_census_knows_what_there_is() {
    let mut cluster = with_web()
        .with(web_1().endpoints(&["10.1.0.2 unready", "10.1.0.3"]))
        .with(web_6("fd01::1"))
        .with(service("none", "None").tcp(80))
        .with(slice("none-1", "none").tcp(80).endpoints(&["10.1.0.9"]));
    let count = |census: &Census| {
        let endpoints = [V4, V6].map(|family| census.endpoints(family));
        (census.services(), endpoints)
    };
    assert_eq!(count(cluster.0.census()), (1, [4, 1]));

    cluster.tell(service("web", "10.96.0.1").tcp(0));
    cluster.tell(web_1().endpoints(&["?"]));
    cluster.tell(deleted(Kind::EndpointSlice, "none-1"));
    assert_eq!(count(cluster.0.census()), (0, [1, 1]));
    let flawed = |cluster: &build::Cluster| Kind::ALL.map(|kind| cluster.0.census().flawed(kind));
    assert_eq!(flawed(&cluster), [1, 1, 0, 0]);
    cluster.tell(service("web", "10.96.0.1").tcp(80));
    cluster.tell(deleted(Kind::EndpointSlice, "web-1"));
    assert_eq!(flawed(&cluster), [0; 4]);
}

fn web_6(address: &str) -> SliceText {
    slice("web-6", "web").tcp(8080).endpoints(&[address])
}

fn settle(cluster: &mut build::Cluster) -> Vec<(fairlead_core::address::Family, i128)> {
    let mut triggers = cluster.0.settle();
    triggers.sort_unstable();
    triggers
}

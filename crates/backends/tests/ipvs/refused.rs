//! What the kernel refuses keeps nobody else waiting.

use fairlead_core::api::Change;
use fairlead_kernel::ipvs::fake::FakeIpvs;
use fairlead_kernel::link::DeviceOp;

use crate::build::{name, service, slice};
use crate::node::{Fakes, HOST, Node};

fn web(n: u8) -> Change {
    service(&format!("web-{n}"), &format!("10.96.0.{n}"))
        .tcp(80)
        .into()
}

#[test]
fn an_address_that_the_device_cannot_hold_leaves_its_service_out() {
    let mut fakes = Fakes::default();
    let op = DeviceOp::Hold("10.96.0.2".parse().unwrap());
    fakes.device.refuse.insert(op, 12);
    let mut node = Node::settled(fakes, []);
    node.apply([web(1), web(2), web(3)]);
    let report = node.sync().unwrap();
    let told: Vec<_> = report
        .excluded
        .iter()
        .map(|it| it.service.clone())
        .collect();
    assert_eq!(told, [name("web-2")]);
    assert!(
        report.excluded[0].why.contains("add address 10.96.0.2"),
        "{report:?}"
    );
    assert_eq!(node.held(), ["10.96.0.1", "10.96.0.3"]);
    // Half an hour of trouble is over.
    node.device().refuse.clear();
    node.wait(31);
    assert_eq!(node.sync().unwrap().excluded.len(), 0);
    assert_eq!(node.held(), ["10.96.0.1", "10.96.0.2", "10.96.0.3"]);
}

#[test]
fn nobody_is_to_blame_for_the_device() {
    let mut node = Node::settled(Fakes::default(), [web(1)]);
    let there = node.ipvs().saved();
    node.device().addresses = None;
    node.device().refuse.insert(DeviceOp::Create, 12);
    node.engine.distrust();
    node.apply([web(2)]);
    let failed = node.sync().unwrap_err().to_string();
    assert!(failed.contains("create the device"), "{failed}");
    assert!(node.ipvs().saved().starts_with(&there));
    node.device().refuse.clear();
    assert_eq!(node.sync().unwrap().excluded.len(), 0);
    assert_eq!(node.held(), ["10.96.0.1", "10.96.0.2"]);
}

#[test]
fn who_has_a_virtual_server_is_to_blame_for_it() {
    let port = service("a-port", "10.96.0.1").tcp(80).node_port(30080);
    let address = service("address", "10.96.0.2").tcp(30080).external(HOST[0]);
    let of = |service: &str, ip: &str| {
        slice(&format!("{service}-a"), service)
            .tcp(8080)
            .endpoints(&[ip])
    };
    let mut node = Node::settled(
        Fakes::default(),
        [port.into(), of("a-port", "10.1.0.1").into()],
    );
    // No real server can have this address.
    node.apply([address.into(), of("address", "0.0.0.0").into()]);
    let report = node.sync().unwrap();
    let told: Vec<_> = report
        .excluded
        .iter()
        .map(|it| it.service.clone())
        .collect();
    assert_eq!(told, [name("address")]);
    assert_eq!(node.reals("192.0.2.10:30080"), ["10.1.0.1"]);
}

#[test]
fn without_any_scheduler_no_service_is_served_and_each_is_told() {
    let fakes = Fakes {
        ipvs: FakeIpvs::with_schedulers(&[]),
        ..Fakes::default()
    };
    let mut node = Node::settled(fakes, []);
    node.apply([web(1), web(2)]);
    assert_eq!(node.sync().unwrap().excluded.len(), 2);
}

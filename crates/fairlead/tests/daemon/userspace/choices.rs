//! Whom a client gets, and how long it waits for that.

use std::collections::BTreeSet;
use std::time::Duration;

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{start, treats_callers, visit, web};
use crate::rig::Folder;
use crate::tests;
use crate::watch::Running;

tests! {
    the_steps_are_those_that_were_given,
    a_client_keeps_its_endpoint_at_every_address_of_a_service,
}

const WEB: &str = "10.96.57.1:80";

const FOUR: [&str; 4] = ["10.244.2.4", "10.244.2.5", "10.244.2.6", "10.244.2.7"];

fn the_steps_are_those_that_were_given() -> Result<(), Failed> {
    const STEPS: [u64; 3] = [150, 300, 600];
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.57.1", 8080, &FOUR))?;
    let flags = ["--userspace-dial-timeouts=150ms,300ms,600ms"];
    let proxy = start(&lab, &mut folder, &flags)?;
    treats_callers(&lab, "10.244.2.4/30", "drop")?;
    let begin = Running::start();
    let met = visit(&lab, Client::Pod, WEB);
    let took = begin.elapsed();
    let error = met.expect_err("nobody is there");
    let message = error.message().unwrap_or_default();
    assert!(message.contains("reset"), "{message}");
    let all = Duration::from_millis(STEPS.iter().sum());
    // There would be 3.75 s without the flag, and 2.4 s if each took as long as the last.
    if took + begin.stood() < all || took > all * 2 {
        return Err(proxy.failed(&format!("{took:?}, and not {all:?}")));
    }
    proxy.end(Signal::SIGTERM)
}

/// In nftables mode it is remembered by the address that it asked.
fn a_client_keeps_its_endpoint_at_every_address_of_a_service() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let [mut web, endpoints] = web("web", "10.96.57.1", 8080, &FOUR);
    web["spec"] = json!({
        "type": "NodePort", "clusterIP": "10.96.57.1", "externalIPs": ["203.0.113.57"],
        "ports": [{"port": 80, "nodePort": 30057}], "sessionAffinity": "ClientIP",
    });
    let mut folder = Folder::new(&[web, endpoints])?;
    let proxy = start(&lab, &mut folder, &[])?;
    for client in [Client::Pod, Client::Outside, Client::OutsideAllowed] {
        let visits = [WEB, "203.0.113.57:80", "192.0.2.10:30057"]
            .repeat(4)
            .into_iter()
            .map(|to| Ok(visit(&lab, client, to)?.endpoint));
        let met: BTreeSet<String> = visits.collect::<Result<_, Failed>>()?;
        if met.len() != 1 {
            return Err(proxy.failed(&format!("{client} met {met:?}")));
        }
    }
    proxy.end(Signal::SIGTERM)
}

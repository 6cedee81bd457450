//! A Service that iptables refuses does not keep the others waiting.

use std::net::IpAddr;
use std::time::Instant;

use fairlead_backends::engine::Engine;
use fairlead_backends::iptables::Iptables;
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::model::Model;
use fairlead_kernel::iptables::fake::FakeIptables;
use fairlead_kernel::iptables::handle::{
    Applied, ApplyError, CallError, Iptables as Handle, ObservedTable, Refusal,
};
use fairlead_kernel::iptables::ruleset::{self, Batch, Table, TableId};
use fairlead_kernel::iptables::text;

use crate::build::{service, slice};
use crate::node::{Node, empty, settings};

/// Refuses every operation whose line has the text.
struct Picky {
    iptables: FakeIptables,
    refuses: &'static str,
}

impl Handle for Picky {
    fn apply(&mut self, batches: &[Batch]) -> Result<Applied, ApplyError> {
        for (batch, of) in batches.iter().enumerate() {
            for (op, operation) in of.ops.iter().enumerate() {
                let what = text::op_line(operation, of.table.family).to_string();
                if what.contains(self.refuses) {
                    let why = "Memory allocation problem".to_owned();
                    return Err(ApplyError::Refused(Refusal {
                        batch,
                        op,
                        what,
                        why,
                        done: 0,
                    }));
                }
            }
        }
        self.iptables.apply(batches)
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.iptables.observe(table)
    }
}

fn web(endpoint: &str) -> [Change; 2] {
    let slice = slice("web-1", "web").tcp(8080).endpoints(&[endpoint]);
    [
        Change::Service(service("web", "10.96.0.8").tcp(80).node_port(30080).0),
        Change::EndpointSlice(slice.0),
    ]
}

/// The Services that are left out, and the tables.
fn without(refuses: &'static str) -> (Vec<String>, String) {
    let mut model = Model::new(settings());
    for (at, ip, endpoint) in [
        ("good", "10.96.0.1", "10.1.0.1"),
        ("bad", "10.96.0.9", "10.1.0.9"),
    ] {
        model.apply(Change::Service(service(at, ip).tcp(80).0));
        let slice = slice(&format!("{at}-1"), at)
            .tcp(8080)
            .endpoints(&[endpoint]);
        model.apply(Change::EndpointSlice(slice.0));
    }
    let picky = Picky {
        iptables: empty(),
        refuses,
    };
    let mut engine = Engine::new(Iptables::default(), picky, &Family::BOTH);
    let host = [IpAddr::from([192, 0, 2, 10])];
    let synced = engine.sync(&mut model, &host, Instant::now()).unwrap();
    let told = synced
        .report
        .excluded
        .iter()
        .map(ToString::to_string)
        .collect();
    (told, engine.kernel().iptables.save(ruleset::Family::Ip))
}

#[test]
fn a_rule_of_its_own_chain_names_the_service() {
    let (told, save) = without("--to-destination 10.1.0.9:8080");
    assert!(
        told[0].starts_with("Service ns/bad is not served"),
        "{told:?}"
    );
    assert!(
        told[0].contains("10.1.0.9:8080: Memory allocation problem"),
        "{told:?}"
    );
    assert!(
        save.contains("10.1.0.1:8080") && !save.contains("10.1.0.9"),
        "{save}"
    );
}

#[test]
fn a_rule_of_a_shared_chain_names_the_service() {
    let (told, save) = without("-A KUBE-SERVICES -d 10.96.0.9/32");
    assert!(
        told[0].starts_with("Service ns/bad is not served"),
        "{told:?}"
    );
    assert!(
        save.contains("10.96.0.1/32") && !save.contains("10.96.0.9/32"),
        "{save}"
    );
}

/// What is not there cannot be changed, for whichever Service: none of them is to blame.
#[test]
fn after_somebody_flushed_a_table_a_service_that_changes_is_not_left_out() {
    for table in Table::ALL {
        let mut node = Node::settled(empty(), web("10.1.0.1"));
        node.iptables().flush(TableId {
            family: ruleset::Family::Ip,
            table,
        });
        node.apply(web("10.1.0.2"));
        node.apply([Change::Service(service("new", "10.96.0.7").tcp(80).0)]);
        let report = node.sync().unwrap();
        assert!(report.excluded.is_empty(), "{:?}", report.excluded);
        assert!(node.save().contains("10.1.0.2:8080"));
    }
}

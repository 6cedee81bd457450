//! A Service that the kernel refuses does not keep the others waiting.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use fairlead_backends::engine::{Engine, SyncError};
use fairlead_backends::nftables::Nftables;
use fairlead_core::address::Family;
use fairlead_core::api::Change;
use fairlead_core::model::Model;
use fairlead_core::report::Report;
use fairlead_core::settings::Settings;
use fairlead_kernel::nft::fake::FakeNft;
use fairlead_kernel::nft::handle::{
    CallError, CommitError, Committed, Nft, ObservedTable, Refusal,
};
use fairlead_kernel::nft::ruleset::{Batch, Op, TableId};

use crate::build::{HERE, name, service, slice};

/// A kernel with no memory left for elements whose key begins so.
struct Picky {
    kernel: FakeNft,
    refuses: &'static [u8],
}

impl Picky {
    fn refusals(&self, batches: &[Batch]) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        for (batch, ops) in batches.iter().enumerate() {
            for (op, what) in ops.ops.iter().enumerate() {
                let Op::AddElements { set, elements } = what else {
                    continue;
                };
                let hated = |key: &[u8]| !self.refuses.is_empty() && key.starts_with(self.refuses);
                let element = elements.iter().position(|e| hated(e.key.as_slice()));
                refusals.extend(element.map(|element| Refusal {
                    batch,
                    op,
                    element: Some(element),
                    what: format!("add element {set}"),
                    errno: 12,
                    message: None,
                }));
            }
        }
        refusals
    }
}

impl Nft for Picky {
    fn commit(&mut self, batches: &[Batch]) -> Result<Committed, CommitError> {
        let refusals = self.refusals(batches);
        match refusals.is_empty() {
            true => self.kernel.commit(batches),
            false => Err(CommitError::Refused(refusals)),
        }
    }

    fn observe(&mut self, table: TableId) -> Result<Option<ObservedTable>, CallError> {
        self.kernel.observe(table)
    }
}

struct Node {
    model: Model,
    engine: Engine<Nftables, Picky>,
    now: Instant,
}

impl Node {
    fn new(refuses: &'static [u8]) -> Node {
        let picky = Picky {
            kernel: FakeNft::new(),
            refuses,
        };
        let settings = Settings {
            node_name: HERE.to_owned(),
            ..Settings::default()
        };
        Node {
            model: Model::new(settings),
            engine: Engine::new(Nftables, picky, &[Family::V4]),
            now: Instant::now(),
        }
    }

    /// Tells of a Service with one endpoint.
    fn serve(&mut self, at: &str, ip: &str, endpoint: &str) {
        let slice_name = format!("{at}-1");
        self.model.apply(Change::Service(service(at, ip).tcp(80).0));
        let slice = slice(&slice_name, at).tcp(8080).endpoints(&[endpoint]);
        self.model.apply(Change::EndpointSlice(slice.0));
    }

    fn sync(&mut self) -> Result<Report, SyncError> {
        let host = [IpAddr::from([192, 0, 2, 10])];
        self.engine
            .sync(&mut self.model, &host, self.now)
            .map(|synced| synced.report)
    }

    /// Syncs, and says which Services are left out.
    fn left_out(&mut self) -> Vec<String> {
        let report = self.sync().unwrap();
        let names = report.excluded.iter().map(|left| left.service.to_string());
        names.collect()
    }

    fn has(&mut self, text: &str) -> bool {
        self.engine.kernel().kernel.dump().contains(text)
    }
}

const BAD: &[u8] = &[10, 96, 0, 9];

#[test]
fn the_others_are_served_and_it_is_said() {
    let mut node = Node::new(BAD);
    node.serve("good", "10.96.0.1", "10.1.0.1");
    node.serve("bad", "10.96.0.9", "10.1.0.9");
    let report = node.sync().unwrap();
    let told = report.excluded[0].to_string();
    assert!(told.starts_with("Service ns/bad is not served"), "{told}");
    assert!(told.contains("Cannot allocate memory"), "{told}");
    assert!(node.has("10.96.0.1 ") && !node.has("10.96.0.9 "));
    node.serve("later", "10.96.0.2", "10.1.0.2");
    assert_eq!(node.left_out(), ["ns/bad"]);
    assert!(node.has("10.96.0.2 "));
}

#[test]
fn it_is_tried_again_when_it_changes() {
    let mut node = Node::new(BAD);
    node.serve("bad", "10.96.0.9", "10.1.0.9");
    assert_eq!(node.left_out(), ["ns/bad"]);
    node.serve("bad", "10.96.0.10", "10.1.0.9");
    assert_eq!(node.left_out(), [""; 0]);
    assert!(node.has("10.96.0.10 "));
}

#[test]
fn it_is_tried_again_after_a_while() {
    let mut node = Node::new(BAD);
    node.serve("bad", "10.96.0.9", "10.1.0.9");
    assert_eq!(node.left_out(), ["ns/bad"]);
    node.engine.kernel().refuses = &[];
    assert_eq!(node.left_out(), ["ns/bad"]);
    let due = node.engine.wants_sync_at().unwrap();
    node.now = due.max(node.now + Duration::from_secs(31));
    assert_eq!(node.left_out(), [""; 0]);
    assert!(node.has("10.96.0.9 "));
}

#[test]
fn one_that_goes_away_is_forgotten() {
    let mut node = Node::new(BAD);
    node.serve("bad", "10.96.0.9", "10.1.0.9");
    assert_eq!(node.left_out(), ["ns/bad"]);
    let gone = Change::Deleted(fairlead_core::api::Kind::Service, name("bad"));
    node.model.apply(gone);
    assert_eq!(node.left_out(), [""; 0]);
}

#[test]
fn a_kernel_that_refuses_everything_is_a_failure() {
    let mut node = Node::new(&[10, 96]);
    for n in 1..=30 {
        node.serve(&format!("s{n}"), &format!("10.96.0.{n}"), "10.1.0.1");
    }
    assert!(matches!(node.sync(), Err(SyncError::Apply(_))));
    node.engine.kernel().refuses = &[];
    assert_eq!(node.left_out(), [""; 0]);
    assert!(node.has("10.96.0.30 "));
}

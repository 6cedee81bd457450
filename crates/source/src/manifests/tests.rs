//! The book as a whole: contents and times in, changes and problems out.

mod documents;
mod keeping;
mod random;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead_core::api::Change;

use super::book::Book;

/// A book whose files and times are given by the test.
struct Desk {
    book: Book,
    start: Instant,
}

impl Desk {
    fn new() -> Desk {
        Desk {
            book: Book::default(),
            start: Instant::now(),
        }
    }

    /// Takes a whole file and returns what is said, in short.
    fn take(&mut self, file: &str, contents: &str, at: u64) -> Vec<String> {
        self.take_bytes(file, contents.as_bytes(), true, at)
            .iter()
            .map(short)
            .collect()
    }

    fn take_bytes(&mut self, file: &str, contents: &[u8], complete: bool, at: u64) -> Vec<Change> {
        let mut said = Vec::new();
        let now = self.start + Duration::from_millis(at);
        self.book
            .take(&path(file), contents, complete, now, &mut |change| {
                said.push(change);
            });
        said
    }

    fn settle(&mut self, at: u64) -> Vec<String> {
        let mut said = Vec::new();
        let now = self.start + Duration::from_millis(at);
        self.book
            .objects
            .settle(now, |_| false, &mut |change| said.push(short(&change)));
        said
    }

    fn news(&mut self) -> Vec<String> {
        self.book
            .take_news()
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

fn path(file: &str) -> Arc<Path> {
    Path::new(file).into()
}

fn short(change: &Change) -> String {
    match change {
        Change::Service(service) => {
            let ports: Vec<_> = service
                .ports
                .iter()
                .map(|port| port.port.to_string())
                .collect();
            format!("{} {}", service.name, ports.join(","))
        }
        Change::EndpointSlice(slice) => format!("slice {} {}", slice.name, slice.endpoints.len()),
        Change::Node(node) => format!("node {}", node.name),
        Change::ServiceCidr(cidr) => format!("cidr {} {}", cidr.name, cidr.cidrs.join(",")),
        Change::Deleted(kind, name) => format!("-{kind} {name}"),
        Change::Synced(kind) => format!("synced {kind}"),
    }
}

fn service(name: &str, port: impl std::fmt::Display) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {name}\nspec:\n  ports:\n  - port: {port}\n"
    )
}

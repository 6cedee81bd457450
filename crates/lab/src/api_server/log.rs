//! What was asked of the server.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::resource::Resource;

/// A request, and what came of it.
#[derive(Debug, Clone)]
pub struct Request {
    /// When it came.
    pub at: Instant,
    /// The HTTP method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// What comes after the question mark, as it came.
    pub query: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The HTTP status of the answer. `None`: not answered.
    pub status: Option<u16>,
}

impl Request {
    /// The value of a parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Whether it asks for a watch.
    pub fn is_watch(&self) -> bool {
        self.parameter("watch")
            .is_some_and(|value| value != "false" && value != "0")
    }
}

/// A watch that is open.
#[derive(Debug, Clone)]
pub struct OpenWatch {
    /// Of what.
    pub resource: Resource,
    /// In which namespace; `None`: in all.
    pub namespace: Option<String>,
    /// The query, as it came.
    pub query: String,
    /// For how long.
    pub age: Duration,
}

/// How many requests are remembered: a test that runs for hours is to need no more memory than
/// one that ends at once.
const REMEMBERED: usize = 10_000;

/// The last requests, numbered.
#[derive(Debug, Default)]
pub(super) struct Log {
    requests: VecDeque<Request>,
    forgotten: usize,
}

impl Log {
    /// Returns its number.
    pub(super) fn add(&mut self, request: Request) -> usize {
        if self.requests.len() == REMEMBERED {
            self.requests.pop_front();
            self.forgotten += 1;
        }
        self.requests.push_back(request);
        self.forgotten + self.requests.len() - 1
    }

    /// Says what came of a request.
    pub(super) fn answered(&mut self, number: usize, status: u16) {
        let index = number.checked_sub(self.forgotten);
        if let Some(request) = index.and_then(|index| self.requests.get_mut(index)) {
            request.status = Some(status);
        }
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.requests.iter().cloned().collect()
    }

    pub(super) fn clear(&mut self) {
        self.forgotten += self.requests.len();
        self.requests.clear();
    }
}

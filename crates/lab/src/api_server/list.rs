//! Lists, in pages.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::json;

use super::object::Object;
use super::options::{Match, Options};
use super::resource::Resource;
use super::status::Status;
use super::store::{Store, text};

/// A list, or a page of one.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) resource: Resource,
    pub(super) version: u64,
    pub(super) items: VecDeque<Arc<Object>>,
    /// The token of the next page.
    go_on: Option<String>,
    /// How many items come after this page, where that is known.
    remaining: Option<usize>,
    /// Whether its beginning has been written.
    begun: bool,
    /// Whether it is written.
    ended: bool,
}

/// Where a list goes on.
struct Continue {
    /// `None`: at any version.
    version: Option<u64>,
    /// The key of the last item so far.
    after: String,
}

/// A version that is not there yet: the client may wait for it.
#[derive(Debug)]
pub(super) enum NotYet {
    Refused(Status),
    Later(u64),
}

impl From<Status> for NotYet {
    fn from(status: Status) -> NotYet {
        NotYet::Refused(status)
    }
}

/// Lists what is wanted, no more than `most` at a time of what the client wants in pages.
pub(super) fn list(
    store: &Store,
    resource: Resource,
    options: &Options,
    most: usize,
) -> Result<Page, NotYet> {
    let begin = begin(store, options)?;
    let version = begin.version.unwrap_or(store.version());
    let Some(snapshot) = store.at(resource, version) else {
        return Err(expired(store, options, &begin).into());
    };
    // A list of any version is answered from memory, and whole.
    let whole = options.limit == 0 || (options.version == Some(0) && options.go_on.is_none());
    let limit = if whole {
        usize::MAX
    } else {
        options.limit.min(most)
    };
    let wanted = |object: &&Arc<Object>| options.selection.holds(object);
    let mut wanted = snapshot.after(&begin.after).filter(wanted);
    let items: VecDeque<Arc<Object>> = wanted.by_ref().take(limit).cloned().collect();
    let rest = if whole { 0 } else { wanted.count() };
    let last = items.back().map(|last| last.key()).unwrap_or_default();
    Ok(Page {
        resource,
        version,
        items,
        go_on: (rest > 0).then(|| token(version, &last)),
        remaining: (rest > 0 && !options.selection.selects()).then_some(rest),
        begun: false,
        ended: false,
    })
}

/// At which version and after which key a list begins.
fn begin(store: &Store, options: &Options) -> Result<Continue, NotYet> {
    if let Some(token) = &options.go_on {
        if options.version.is_some_and(|version| version != 0) {
            let message = "specifying resource version is not allowed when using continue";
            return Err(Status::bad_request(message).into());
        }
        let read = Continue::read(token);
        return read.ok_or_else(|| Status::bad_request("continue key is not valid").into());
    }
    let version = options.version.unwrap_or(0);
    if version > store.version() {
        return Err(NotYet::Later(version));
    }
    // Without a word on how it is meant, a version is exact if the list comes in pages.
    let exact = match options.version_match {
        Some(kind) => kind == Match::Exact,
        None => options.limit > 0 && version > 0,
    };
    Ok(Continue {
        version: exact.then_some(version),
        after: String::new(),
    })
}

fn expired(store: &Store, options: &Options, begin: &Continue) -> Status {
    match options.go_on {
        Some(_) => {
            let token = json!({"v": "meta.k8s.io/v1", "rv": -1, "start": begin.after});
            Status::expired_continue(BASE64_URL_SAFE_NO_PAD.encode(token.to_string()))
        }
        None => Status::too_old(begin.version.unwrap_or(0), store.oldest()),
    }
}

fn token(version: u64, after: &str) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": version, "start": after});
    BASE64_URL_SAFE_NO_PAD.encode(token.to_string())
}

impl Continue {
    fn read(token: &str) -> Option<Continue> {
        let json = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
        let token: serde_json::Value = serde_json::from_slice(&json).ok()?;
        Some(Continue {
            version: token["rv"].as_u64(),
            after: text(&token, "/start")?.to_owned(),
        })
    }
}

/// About how much of a list is written at a time.
const CHUNK: usize = 64 << 10;

/// Its JSON, a part at a time, so that a large list is not in memory twice.
impl Iterator for Page {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut chunk = Vec::with_capacity(CHUNK + CHUNK / 4);
        if !self.begun {
            chunk.extend_from_slice(self.head().as_bytes());
        }
        while chunk.len() < CHUNK
            && let Some(object) = self.items.pop_front()
        {
            if std::mem::replace(&mut self.begun, true) {
                chunk.push(b',');
            }
            object.write_item(&mut chunk);
        }
        if self.items.is_empty() {
            chunk.extend_from_slice(b"]}");
            self.ended = true;
        }
        Some(chunk.into())
    }
}

impl Page {
    fn head(&self) -> String {
        let (kind, version) = (self.resource.kind(), self.resource.api_version());
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if let Some(token) = &self.go_on {
            metadata["continue"] = token.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        format!(r#"{{"kind":"{kind}List","apiVersion":"{version}","metadata":{metadata},"items":["#)
    }
}

//! Random histories of changes and faults: what was told ends up as what the server has, and
//! nothing is ever told to be gone that was not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::conversation::Conversation;
use super::super::patience::Pauses;
use super::super::reflector::{Ask, End, Page};
use super::super::telling::Said;

/// Objects on a page; more than one page is the point.
const PAGE: usize = 3;

/// What happens between two requests, or to one.
#[derive(Debug, Clone)]
enum Step {
    Write(u8, u8),
    Delete(u8),
    /// The server forgets its history.
    Compact,
    /// The server learns of streaming lists, forgets about them or refuses them.
    Streaming(Streaming),
    /// The next request is made, and this goes wrong.
    Ask(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Streaming {
    On,
    Refused,
    Unknown,
}

#[derive(Debug, Clone)]
enum Fault {
    None,
    Unreached,
    Status(u16),
    /// The answer breaks off after this part of it, of 256.
    Cut(u8),
    /// An ERROR event comes after this part of the lines.
    Error(u8, u16),
    /// One object has a number where text belongs.
    Misshapen(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let code = prop::sample::select(vec![400, 401, 403, 404, 410, 422, 429, 500, 503, 504]);
    let fault = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Unreached),
        2 => code.clone().prop_map(Fault::Status),
        3 => any::<u8>().prop_map(Fault::Cut),
        2 => (any::<u8>(), code).prop_map(|(part, code)| Fault::Error(part, code)),
        1 => any::<u8>().prop_map(Fault::Misshapen),
    ];
    let streaming =
        prop::sample::select(vec![Streaming::On, Streaming::Refused, Streaming::Unknown]);
    let step = prop_oneof![
        5 => (0..12_u8, any::<u8>()).prop_map(|(name, ip)| Step::Write(name, ip)),
        3 => (0..12_u8).prop_map(Step::Delete),
        1 => Just(Step::Compact),
        1 => streaming.prop_map(Step::Streaming),
        6 => fault.prop_map(Step::Ask),
    ];
    prop::collection::vec(step, 0..80)
}

struct Server {
    objects: BTreeMap<String, Value>,
    /// Events by revision, oldest first.
    history: Vec<(u64, Value)>,
    revision: u64,
    compacted: u64,
    streaming: Streaming,
    /// What comes after the pages that were given out.
    tokens: BTreeMap<String, (u64, Vec<Value>)>,
    ever_deleted: BTreeSet<String>,
}

impl Server {
    fn new() -> Server {
        Server {
            objects: BTreeMap::new(),
            history: Vec::new(),
            revision: 1,
            compacted: 0,
            streaming: Streaming::On,
            tokens: BTreeMap::new(),
            ever_deleted: BTreeSet::new(),
        }
    }

    fn write(&mut self, name: u8, ip: u8) {
        self.revision += 1;
        let name = format!("service-{name}");
        let object = json!({
            "metadata": { "name": name, "namespace": "shop", "resourceVersion": self.revision.to_string() },
            "spec": { "clusterIP": format!("10.0.0.{ip}"), "ports": [{ "port": 80 }] },
        });
        let known = self.objects.insert(name, object.clone()).is_some();
        let kind = if known { "MODIFIED" } else { "ADDED" };
        self.remember(kind, &object);
    }

    fn delete(&mut self, name: u8) {
        let name = format!("service-{name}");
        if let Some(mut object) = self.objects.remove(&name) {
            self.revision += 1;
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            self.remember("DELETED", &object);
            self.ever_deleted.insert(name);
        }
    }

    fn remember(&mut self, kind: &str, object: &Value) {
        let event = json!({ "type": kind, "object": object });
        self.history.push((self.revision, event));
    }

    fn compact(&mut self) {
        self.compacted = self.revision;
        self.history.clear();
        self.tokens.clear();
    }

    /// Status and lines.
    fn answer(&mut self, ask: &Ask) -> Result<Vec<Value>, u16> {
        match ask {
            Ask::Stream if self.streaming == Streaming::Refused => Err(422),
            Ask::Stream => {
                let added = |object: &Value| json!({ "type": "ADDED", "object": object });
                let mut lines: Vec<_> = self.objects.values().map(added).collect();
                let mut metadata = json!({ "resourceVersion": self.revision.to_string() });
                if self.streaming == Streaming::On {
                    metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
                }
                lines.push(json!({ "type": "BOOKMARK", "object": { "metadata": metadata } }));
                Ok(lines)
            }
            Ask::Page(Page::First) => Ok(self.page(self.revision, self.all(), PAGE)),
            Ask::Page(Page::Whole) => Ok(self.page(self.revision, self.all(), usize::MAX)),
            Ask::Page(Page::Next(token)) => {
                let (revision, rest) = self.tokens.get(token).cloned().ok_or(410_u16)?;
                Ok(self.page(revision, rest, PAGE))
            }
            Ask::Watch(revision) => {
                let revision = revision.parse::<u64>().map_err(|_| 400_u16)?;
                if revision < self.compacted {
                    return Err(410);
                }
                let since = self.history.iter().filter(|(at, _)| *at > revision);
                Ok(since.map(|(_, event)| event.clone()).collect())
            }
        }
    }

    fn all(&self) -> Vec<Value> {
        self.objects.values().cloned().collect()
    }

    fn page(&mut self, revision: u64, mut items: Vec<Value>, limit: usize) -> Vec<Value> {
        let rest = items.split_off(items.len().min(limit));
        let mut metadata = json!({ "resourceVersion": revision.to_string() });
        if !rest.is_empty() {
            let token = format!("{revision}-{}", rest.len());
            metadata["continue"] = json!(token);
            self.tokens.insert(token, (revision, rest));
        }
        vec![json!({ "kind": "ServiceList", "metadata": metadata, "items": items })]
    }
}

/// One who listens to the server.
struct Listener {
    conversation: Conversation,
    told: BTreeMap<String, String>,
    synced: usize,
    clock: Instant,
}

impl Listener {
    fn ask(&mut self, server: &mut Server, fault: &Fault) {
        let ask = self.conversation.ask(self.clock);
        let mut said = Said::default();
        let end = self.exchange(&ask, server, fault, &mut said);
        if let Some(end) = end {
            let pause = self.conversation.ended(end, self.clock, 0.5, &mut said);
            self.clock += pause;
        }
        for change in said.changes {
            self.take(change, server);
        }
    }

    fn exchange(
        &mut self,
        ask: &Ask,
        server: &mut Server,
        fault: &Fault,
        said: &mut Said,
    ) -> Option<End> {
        let lived = Duration::from_secs(2);
        let refused = |code, event| End::Refused {
            code,
            retry_after: None,
            event,
        };
        let answer = match fault {
            Fault::Unreached => {
                return Some(End::Broken {
                    lived: Duration::ZERO,
                });
            }
            Fault::Status(code) => return Some(refused(*code, false)),
            _ => server.answer(ask),
        };
        let mut lines = match answer {
            Ok(lines) => lines,
            // As the real server does, once in the stream and once instead of it.
            Err(410) if matches!(ask, Ask::Watch(_)) => {
                vec![json!({ "type": "ERROR", "object": { "code": 410, "message": "too old" } })]
            }
            Err(code) => return Some(refused(code, false)),
        };
        spoil(&mut lines, fault, matches!(ask, Ask::Page(_)));
        let mut text = String::new();
        for line in &lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        if let Fault::Cut(part) = fault {
            text.truncate(text.len() * usize::from(*part) / 256);
        }
        for chunk in text.as_bytes().chunks(97) {
            if let Err(heard) = self.conversation.hear(chunk, said) {
                return Some(heard.end);
            }
        }
        match self.conversation.close(lived, said) {
            Ok(_) if matches!(fault, Fault::Cut(_)) && !matches!(ask, Ask::Page(_)) => {
                Some(End::Broken { lived })
            }
            Ok(end) => end,
            Err(cut) => Some(cut.end),
        }
    }

    fn take(&mut self, change: Change, server: &Server) {
        match change {
            Change::Service(service) => {
                let name = service.name.name.to_string();
                self.told.insert(name, service.cluster_ip);
            }
            Change::Deleted(Kind::Service, name) => {
                let known = self.told.remove(&*name.name).is_some();
                assert!(known, "{name} was never told");
                let deleted = server.ever_deleted.contains(&*name.name);
                assert!(deleted, "{name} was never deleted");
            }
            Change::Synced(Kind::Service) => self.synced += 1,
            other => panic!("{other:?}"),
        }
    }
}

/// What a fault does to the lines of an answer.
fn spoil(lines: &mut Vec<Value>, fault: &Fault, page: bool) {
    match fault {
        Fault::Error(part, code) if !page => {
            lines.truncate(lines.len() * usize::from(*part) / 256);
            lines.push(json!({ "type": "ERROR", "object": { "code": code } }));
        }
        Fault::Misshapen(part) => {
            let objects = match page {
                true => lines[0]["items"].as_array_mut(),
                false => Some(lines),
            };
            let Some(objects) = objects.filter(|objects| !objects.is_empty()) else {
                return;
            };
            let one = objects.len() * usize::from(*part) / 256;
            let object = match page {
                true => &mut objects[one],
                false => &mut objects[one]["object"],
            };
            if object["spec"].is_object() {
                object["spec"]["clusterIP"] = json!(7);
            }
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn what_was_told_is_what_the_server_has(steps in steps()) {
        let mut server = Server::new();
        let mut listener = Listener {
            conversation: Conversation::new(Kind::Service, Pauses::default()),
            told: BTreeMap::new(),
            synced: 0,
            clock: Instant::now(),
        };
        let mut misshapen = false;
        for step in &steps {
            match step {
                Step::Write(name, ip) => server.write(*name, *ip),
                Step::Delete(name) => server.delete(*name),
                Step::Compact => server.compact(),
                Step::Streaming(streaming) => server.streaming = *streaming,
                Step::Ask(fault) => {
                    misshapen |= matches!(fault, Fault::Misshapen(_));
                    listener.ask(&mut server, fault);
                }
            }
        }
        // An object that could not be read is only told when it is heard of again.
        if misshapen {
            (0..12).for_each(|name| server.write(name, 1));
        }
        // A list may have to be begun anew; none takes more requests than there are pages.
        for _ in 0..12 {
            listener.ask(&mut server, &Fault::None);
        }
        let has: BTreeMap<_, _> = server.objects.iter().map(|(name, object)| {
            let ip = object["spec"]["clusterIP"].as_str().unwrap_or_default();
            (name.clone(), ip.to_owned())
        }).collect();
        prop_assert_eq!(listener.told, has);
        prop_assert_eq!(listener.synced, 1);
        prop_assert!(listener.conversation.is_synced());
    }
}

//! Events: what kubectl shows about the Node and about Services.
//!
//! An event that repeats within six minutes is counted on the one that is there (`series`), as
//! client-go does. Events are worth little: some attempts are made, and then they are dropped,
//! which is told.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fairlead_core::api::ObjectName;
use http::Method;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::backoff::Backoff;
use super::link::{Call, retry_after, segment};
use super::news::{News, Trouble};
use super::talk::{Talk, chance};

/// The name that events bear, so that what looks for those of kube-proxy finds them.
const CONTROLLER: &str = "kube-proxy";

/// Events that may wait to be sent.
const WAITING: usize = 64;

/// How long repetitions are counted, as client-go does.
const SERIES: Duration = Duration::from_mins(6);

/// Attempts for an event, as client-go makes: with the usual pauses, two minutes or more, in which an
/// API server is started again.
const ATTEMPTS: usize = 12;

/// Longest note that the API takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Something that happened, for people who ask the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Event {
    /// Whether it is as it should be.
    pub kind: EventKind,
    /// Why, in one word: `Starting`.
    pub reason: &'static str,
    /// What was being done: `StartKubeProxy`.
    pub action: &'static str,
    /// The same for people.
    pub note: String,
    /// What it is about.
    pub regarding: Regarding,
}

/// `type` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Not as it should be.
    Warning,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Regarding {
    /// The node that we are on.
    Node,
    /// A Service.
    Service(ObjectName),
}

/// Takes events. What it takes is sent when there is time for it.
#[derive(Debug, Clone)]
pub struct Recorder(mpsc::Sender<Event>);

impl Recorder {
    /// Takes an event; never waits. When too many are waiting already it is lost, and false says so.
    pub fn record(&self, event: Event) -> bool {
        self.0.try_send(event).is_ok()
    }

    pub(super) fn pair() -> (Recorder, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Recorder(sender), receiver)
    }
}

/// An event at the server that repetitions are counted on.
struct Series {
    namespace: String,
    name: String,
    count: u32,
    last: Instant,
}

/// Sends events for as long as it is polled.
pub(super) async fn send(mut events: mpsc::Receiver<Event>, talk: Rc<Talk>) {
    let mut series: HashMap<Event, Series> = HashMap::new();
    let mut trouble = Trouble::new(talk.patience.told);
    while let Some(event) = events.recv().await {
        let now = Instant::now();
        series.retain(|_, series| now.saturating_duration_since(series.last) < SERIES);
        let Err(why) = record(&talk, &event, &mut series, now).await else {
            trouble.recovered(now);
            continue;
        };
        if trouble.failed(&why, now) {
            let reason = event.reason;
            let text = format!("the event {reason} is dropped: {why}");
            talk.tell(News::warning(text)).await;
        }
    }
}

/// Counts an event on its series. Without one, or if the server has forgotten it, the event begins
/// one, as at client-go.
async fn record(
    talk: &Talk,
    event: &Event,
    series: &mut HashMap<Event, Series>,
    now: Instant,
) -> Result<(), String> {
    if let Some(mut known) = series.remove(event) {
        known.count += 1;
        known.last = now;
        if attempt(talk, &repeated(&known)).await? {
            series.insert(event.clone(), known);
            return Ok(());
        }
    }
    let (call, known) = first(event, &talk.node, now);
    if attempt(talk, &call).await? {
        series.insert(event.clone(), known);
    }
    Ok(())
}

/// How an attempt ended.
enum Outcome {
    Taken,
    /// Gone by now, with the series that it was.
    Gone,
    Refused(String),
    /// To be tried again, at the earliest after what the server asked for.
    Failed(String, Option<Duration>),
}

/// Sends a request until it is taken, or refused for good, or it has failed a few times. Returns
/// whether the event is there to be counted on.
async fn attempt(talk: &Talk, call: &Call) -> Result<bool, String> {
    let mut backoff = Backoff::new(talk.patience.pauses);
    let mut tried = 1;
    loop {
        match once(talk, call).await {
            Outcome::Taken => return Ok(true),
            Outcome::Gone => return Ok(false),
            Outcome::Failed(_, asked) if tried < ATTEMPTS => {
                sleep(backoff.pause_at_least(asked, chance())).await;
            }
            Outcome::Refused(why) | Outcome::Failed(why, _) => return Err(why),
        }
        tried += 1;
    }
}

async fn once(talk: &Talk, call: &Call) -> Outcome {
    let answer = match talk.link.send(call, talk.patience.answer).await {
        Ok(answer) => answer,
        Err(unreached) => return Outcome::Failed(unreached.0, None),
    };
    let code = answer.status().as_u16();
    let verb = match call.method {
        Method::POST => "create",
        _ => "patch",
    };
    let why = format!("{verb} was refused with {code}");
    match code {
        200..=299 => Outcome::Taken,
        401 => Outcome::Failed(why, None),
        403 => Outcome::Refused(format!(
            "may not {verb} events.events.k8s.io; grant create and patch on events, see deploy/"
        )),
        404 | 409 => Outcome::Gone,
        400..=428 => Outcome::Refused(why),
        _ => Outcome::Failed(why, retry_after(answer.headers())),
    }
}

fn first(event: &Event, node: &str, now: Instant) -> (Call, Series) {
    let time = Timestamp::now();
    let (kind, namespace, name, uid) = match &event.regarding {
        // A Node event bears the node's name as its UID, as kube-proxy's do.
        Regarding::Node => ("Node", "", node, node),
        Regarding::Service(service) => ("Service", &*service.namespace, &*service.name, ""),
    };
    let known = Series {
        namespace: if namespace.is_empty() {
            "default"
        } else {
            namespace
        }
        .to_owned(),
        name: format!("{name}.{:x}", time.as_nanosecond()),
        count: 1,
        last: now,
    };
    let body = json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": { "name": known.name, "namespace": known.namespace },
        "eventTime": micros(time),
        "reportingController": CONTROLLER,
        "reportingInstance": node,
        "action": event.action,
        "reason": event.reason,
        "type": match event.kind {
            EventKind::Normal => "Normal",
            EventKind::Warning => "Warning",
        },
        "note": &event.note[..event.note.floor_char_boundary(LONGEST_NOTE)],
        "regarding": { "kind": kind, "namespace": namespace, "name": name, "uid": uid },
    });
    let call = Call {
        method: Method::POST,
        resource: "events",
        path: path(&known.namespace, None),
        body: body.to_string().into_bytes(),
        content_type: "application/json",
    };
    (call, known)
}

fn repeated(known: &Series) -> Call {
    let last = micros(Timestamp::now());
    let body = json!({ "series": { "count": known.count, "lastObservedTime": last } });
    Call {
        method: Method::PATCH,
        resource: "events",
        path: path(&known.namespace, Some(&known.name)),
        body: body.to_string().into_bytes(),
        content_type: "application/merge-patch+json",
    }
}

fn path(namespace: &str, name: Option<&str>) -> String {
    let namespace = segment(namespace);
    let all = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    match name {
        Some(name) => format!("{all}/{}", segment(name)),
        None => all,
    }
}

/// A metav1.MicroTime.
fn micros(time: Timestamp) -> String {
    format!("{time:.6}")
}

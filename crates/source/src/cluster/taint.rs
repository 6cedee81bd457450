//! Takes a taint off our Node, once the node can do what the taint says it cannot.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http::Method;
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::answer::Status;
use super::backoff::Backoff;
use super::link::{Call, retry_after, segment};
use super::news::{News, Trouble};
use super::talk::{Talk, chance};

/// A Node with images and annotations; far more than they have.
const LARGEST_NODE: usize = 8 << 20;

/// How long to wait before asking again for what is forbidden.
const FORBIDDEN: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct Node {
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
struct Spec {
    taints: Option<Vec<Value>>,
}

/// How an attempt ended.
enum Outcome {
    Removed,
    Missing,
    /// Someone else changed the taints meanwhile.
    Conflict,
    Forbidden(String),
    /// To be tried again, at the earliest after what the server asked for.
    Failed(String, Option<Duration>),
}

struct Answer {
    code: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

/// Removes the taints with this key, however long it takes, and tells the outcome.
pub(super) async fn remove(key: String, talk: Rc<Talk>) {
    let mut backoff = Backoff::new(talk.patience.pauses);
    let mut trouble = Trouble::new(talk.patience.told);
    loop {
        let node = &talk.node;
        let (why, pause) = match attempt(&key, &talk).await {
            Outcome::Removed => {
                let text = format!("the taint {key} is removed from node {node}");
                return talk.tell(News::info(text)).await;
            }
            Outcome::Missing => return,
            Outcome::Conflict => (None, backoff.pause(chance())),
            Outcome::Forbidden(why) => (Some(why), FORBIDDEN.mul_f64(1.0 + chance())),
            Outcome::Failed(why, asked) => (Some(why), backoff.pause_at_least(asked, chance())),
        };
        if let Some(why) = why
            && trouble.failed(&why, Instant::now())
        {
            let text = format!("the taint {key} stays on node {node}: {why}; trying again");
            talk.tell(News::warning(text)).await;
        }
        sleep(pause).await;
    }
}

async fn attempt(key: &str, talk: &Talk) -> Outcome {
    let path = format!("/api/v1/nodes/{}", segment(&talk.node));
    let answer = match exchange(&Call::get("nodes", &path), talk).await {
        Ok(answer) => answer,
        Err(why) => return Outcome::Failed(why, None),
    };
    if answer.code != 200 {
        return refused("get", &answer);
    }
    let node: Node = match serde_json::from_slice(&answer.body) {
        Ok(node) => node,
        Err(error) => return Outcome::Failed(format!("the Node cannot be read: {error}"), None),
    };
    let Some(change) = patch(key, node.spec.taints) else {
        return Outcome::Missing;
    };
    let call = Call {
        method: Method::PATCH,
        resource: "nodes",
        path,
        body: change.to_string().into_bytes(),
        content_type: "application/json-patch+json",
    };
    match exchange(&call, talk).await {
        Ok(Answer { code: 200, .. }) => Outcome::Removed,
        // A test that fails makes the whole patch invalid.
        Ok(Answer {
            code: 409 | 422, ..
        }) => Outcome::Conflict,
        Ok(answer) => refused("patch", &answer),
        Err(why) => Outcome::Failed(why, None),
    }
}

/// The taints without those of this key, provided they are still as they were read.
fn patch(key: &str, taints: Option<Vec<Value>>) -> Option<Value> {
    let found = taints?;
    let has_key = |taint: &&Value| taint.get("key").and_then(Value::as_str) == Some(key);
    let rest: Vec<_> = found.iter().filter(|taint| !has_key(taint)).collect();
    (rest.len() < found.len()).then(|| {
        json!([
            { "op": "test", "path": "/spec/taints", "value": found },
            { "op": "replace", "path": "/spec/taints", "value": rest },
        ])
    })
}

async fn exchange(call: &Call, talk: &Talk) -> Result<Answer, String> {
    let patience = talk.patience.answer;
    let answer = talk.link.send(call, patience).await.map_err(|why| why.0)?;
    let code = answer.status().as_u16();
    let retry_after = retry_after(answer.headers());
    let body = Limited::new(answer.into_body(), LARGEST_NODE).collect();
    match timeout(patience, body).await {
        Ok(Ok(body)) => Ok(Answer {
            code,
            retry_after,
            body: body.to_bytes().to_vec(),
        }),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the answer was not complete within {patience:?}")),
    }
}

fn refused(verb: &str, answer: &Answer) -> Outcome {
    let status = Status::read(&answer.body);
    let (code, why) = (answer.code, status.message());
    match code {
        403 => Outcome::Forbidden(format!(
            "may not {verb} nodes: {why}; grant get and patch on nodes, see deploy/"
        )),
        404 => Outcome::Failed(format!("there is no such node: {why}"), None),
        _ => Outcome::Failed(
            format!("{verb} was refused: {why} ({code})"),
            answer.retry_after.or(status.retry_after()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_holds_for_the_taints_as_they_were_read() {
        let taint = |key: &str, effect: &str| json!({ "key": key, "effect": effect });
        let (ours, other) = (taint("not-ready", "NoSchedule"), taint("gpu", "NoExecute"));
        let found = vec![ours.clone(), other.clone(), taint("not-ready", "NoExecute")];
        let expected = json!([
            { "op": "test", "path": "/spec/taints", "value": found },
            { "op": "replace", "path": "/spec/taints", "value": [other] },
        ]);
        assert_eq!(patch("not-ready", Some(found)), Some(expected));
        assert_eq!(patch("not-ready", Some(vec![other])), None);
        assert_eq!(patch("not-ready", None), None);
    }
}

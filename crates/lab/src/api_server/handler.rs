//! One request and its answer.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, USER_AGENT};
use hyper::http::request::Parts;
use hyper::{Request, Response};

use super::answer::Answer;
use super::asked::{Asked, Verb};
use super::faults::Point;
use super::link::Reset;
use super::log::{self, OpenWatch};
use super::options::Options;
use super::reply::{Pace, Reply};
use super::resource::Target;
use super::shared::Shared;
use super::status::Status;
use super::watch::Watch;
use super::writes::{self, Write};
use super::{faulty, lines};

/// The most that a client may send, as in the real server (3 MiB).
const LARGEST: usize = 3 << 20;

/// One client's connection, as far as answers depend on it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) reset: Reset,
    /// Whether it has shown a certificate of ours.
    pub(super) certified: bool,
    /// How slowly it is answered, if not at once.
    pub(super) pace: Option<Pace>,
}

/// Answers a request. An error breaks the connection off.
pub(super) async fn handle(
    shared: Arc<Shared>,
    mut client: Client,
    request: Request<Incoming>,
) -> io::Result<Response<Reply>> {
    let (head, body) = request.into_parts();
    let asked = Asked::of(&head);
    let number = note(&shared, &head);
    shared.awake().await;
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    // From before the fault, so that no healing after it is missed.
    let heals = shared.heals.subscribe();
    let fault = shared.strike(&asked, Point::Answer);
    client.pace = fault.as_ref().and_then(Pace::of);
    faulty::wait(fault.as_ref(), heals).await;
    let answer = match faulty::instead(fault.as_ref(), &shared, &client, &asked)? {
        Some(answer) => answer,
        None => answer(&shared, &client, &asked, &head, &body).await,
    };
    let answer = match fault {
        Some(fault) => faulty::spoilt(answer, fault, &client),
        None => answer,
    };
    shared.change(|state| state.log.answered(number, answer.code));
    Ok(answer.http())
}

/// Writes it in the log.
fn note(shared: &Shared, head: &Parts) -> usize {
    let request = log::Request {
        at: Instant::now(),
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        user_agent: header(&head.headers, USER_AGENT).to_owned(),
        status: None,
    };
    shared.change(|state| state.log.add(request))
}

fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// What the server answers.
async fn answer(
    shared: &Arc<Shared>,
    client: &Client,
    asked: &Asked,
    head: &Parts,
    body: &Bytes,
) -> Answer {
    if !is_known(shared, client, &head.headers) {
        return Status::unauthorized().into();
    }
    let Some(target) = &asked.target else {
        return other_path(&asked.path);
    };
    let query = head.uri.query().unwrap_or_default();
    let answered = match asked.verb {
        Verb::List => list(shared, target, query).await,
        Verb::Watch => follow(shared, client, asked, target, query),
        Verb::Get => writes::get(shared, target).map(|json| Answer::json(200, json)),
        _ => {
            let write = Write {
                target,
                verb: asked.verb,
                content_type: header(&head.headers, CONTENT_TYPE),
                body,
            };
            writes::write(shared, &write).map(|(code, json)| Answer::json(code, json))
        }
    };
    answered.unwrap_or_else(Answer::from)
}

fn is_known(shared: &Shared, client: &Client, headers: &HeaderMap) -> bool {
    if client.certified || !shared.settings.authenticate {
        return true;
    }
    let token = header(headers, AUTHORIZATION).strip_prefix("Bearer ");
    token.is_some_and(|token| token == shared.state().token)
}

fn other_path(path: &str) -> Answer {
    match path {
        "/livez" | "/readyz" | "/healthz" => Answer::text(200, "ok"),
        "/version" => Answer::json(200, VERSION),
        _ => Answer::text(404, "404 page not found\n"),
    }
}

/// What version 1.36 says of itself.
const VERSION: &str = concat!(
    r#"{"major":"1","minor":"36","emulationMajor":"1","emulationMinor":"36","#,
    r#""minCompatibilityMajor":"1","minCompatibilityMinor":"35","gitVersion":"v1.36.2","#,
    r#""gitCommit":"0000000000000000000000000000000000000000","gitTreeState":"clean","#,
    r#""buildDate":"2026-01-01T00:00:00Z","goVersion":"go1.26.0","compiler":"gc","#,
    r#""platform":"linux/amd64"}"#,
);

async fn list(shared: &Shared, target: &Target, query: &str) -> Result<Answer, Status> {
    let options = Options::parse(query, target, shared.settings.streaming_lists)?;
    let page = shared.list(target.resource, &options).await?;
    Ok(Answer {
        body: Reply::List(Box::new(page)),
        ..Answer::json(200, "")
    })
}

fn follow(
    shared: &Arc<Shared>,
    client: &Client,
    asked: &Asked,
    target: &Target,
    query: &str,
) -> Result<Answer, Status> {
    let options = Options::parse(query, target, shared.settings.streaming_lists)?;
    let (writer, body) = Reply::pieces(client);
    match shared.follow(target.resource, &options) {
        Ok(beginning) => {
            let opened = shared.open(OpenWatch {
                resource: target.resource,
                namespace: target.namespace.clone(),
                query: query.to_owned(),
                age: Duration::ZERO,
            });
            let watch = Watch::new(shared.clone(), asked.clone(), options, &beginning, writer);
            tokio::spawn(async move {
                watch.run(beginning).await;
                drop(opened);
            });
        }
        // The real server has opened the watch by the time it finds out.
        Err(status) if status.code == 410 && !shared.settings.gone_as_http => {
            tokio::spawn(async move { writer.write(lines::error(&status)).await });
        }
        Err(status) => return Err(status),
    }
    Ok(Answer {
        body,
        ..Answer::json(200, "")
    })
}

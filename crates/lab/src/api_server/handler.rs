//! One request and its answer.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::sleep;

use super::faults::{Asked, Fault, Point, Verb};
use super::lines;
use super::link::Reset;
use super::log::{self, OpenWatch};
use super::options::Options;
use super::reply::{Reply, Writer};
use super::resource::Target;
use super::shared::Shared;
use super::spoil;
use super::status::Status;
use super::watch::Watch;
use super::writes::{self, Write};

/// The most that a client may send, as in the real server (3 MiB).
const LARGEST: usize = 3 << 20;

/// One client's connection, as far as answers depend on it.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) reset: Reset,
    /// Whether it has shown a certificate of ours.
    pub(super) certified: bool,
}

/// An answer before it is HTTP.
struct Answer {
    code: u16,
    content_type: &'static str,
    retry_after: Option<u64>,
    body: Reply,
}

impl Answer {
    fn json(code: u16, body: impl Into<Bytes>) -> Answer {
        Answer {
            code,
            content_type: "application/json",
            retry_after: None,
            body: Reply::whole(body),
        }
    }

    fn text(code: u16, body: &'static str) -> Answer {
        Answer {
            content_type: "text/plain; charset=utf-8",
            ..Answer::json(code, body)
        }
    }
}

impl From<Status> for Answer {
    fn from(status: Status) -> Answer {
        Answer::json(status.code, status.json())
    }
}

/// Answers a request. An error breaks the connection off.
pub(super) async fn handle(
    shared: Arc<Shared>,
    client: Client,
    request: Request<Incoming>,
) -> io::Result<Response<Reply>> {
    let (head, body) = request.into_parts();
    let asked = asked(&head);
    let number = note(&shared, &head);
    shared.awake().await;
    let body = Limited::new(body, LARGEST).collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    // From before the fault, so that no healing after it is missed.
    let heals = shared.heals.subscribe();
    let fault = shared.strike(&asked, Point::Answer);
    wait(fault.as_ref(), heals).await;
    let answer = match instead(fault.as_ref(), &shared, &client, &asked)? {
        Some(answer) => answer,
        None => answer(&shared, &client, &asked, &head, &body).await,
    };
    let answer = match fault {
        Some(fault) => spoilt(answer, fault, &client),
        None => answer,
    };
    shared.change(|state| state.log.answered(number, answer.code));
    Ok(as_http(answer))
}

fn asked(head: &Parts) -> Asked {
    let path = head.uri.path();
    let target = Target::of_path(path);
    let many = target.as_ref().is_some_and(|target| target.name.is_none());
    let verb = match head.method {
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE => Verb::Delete,
        _ if many && is_watch(head) => Verb::Watch,
        _ if many => Verb::List,
        _ => Verb::Get,
    };
    Asked {
        verb,
        path: path.to_owned(),
        target,
    }
}

fn is_watch(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .any(|(key, value)| key == "watch" && (value == "true" || value == "1"))
}

/// Writes it in the log.
fn note(shared: &Shared, head: &Parts) -> usize {
    let request = log::Request {
        at: std::time::Instant::now(),
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

/// Makes the client wait, if that is the fault.
async fn wait(fault: Option<&Fault>, mut heals: watch::Receiver<()>) {
    match fault {
        Some(Fault::Hang) => drop(heals.changed().await),
        Some(Fault::Stall(time)) => sleep(*time).await,
        _ => {}
    }
}

/// What a fault answers in place of the server.
fn instead(
    fault: Option<&Fault>,
    shared: &Shared,
    client: &Client,
    asked: &Asked,
) -> io::Result<Option<Answer>> {
    Ok(match fault {
        Some(Fault::Reset) => {
            client.reset.order();
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Some(Fault::Close) => return Err(io::ErrorKind::ConnectionAborted.into()),
        Some(Fault::Error { code, retry_after }) => Some(Answer {
            retry_after: *retry_after,
            ..Status::of_code(*code, *retry_after).into()
        }),
        Some(Fault::PlainError { code, retry_after }) => Some(Answer {
            retry_after: *retry_after,
            ..Answer::text(*code, "Too many requests, please try again later.\n")
        }),
        Some(Fault::Forbidden) => Some(forbidden(shared, client, asked).into()),
        Some(Fault::Garbage) => Some(Answer::json(200, spoil::GARBAGE)),
        Some(Fault::Html) => Some(Answer {
            content_type: "text/html",
            ..Answer::text(200, spoil::HTML)
        }),
        _ => None,
    })
}

fn forbidden(shared: &Shared, client: &Client, asked: &Asked) -> Status {
    let user = user(shared, client);
    let Some(target) = &asked.target else {
        return Status::forbidden_path(user, asked.verb.name(), &asked.path);
    };
    let (namespace, name) = (target.namespace.as_deref(), target.name.as_deref());
    Status::forbidden(user, asked.verb.name(), target.resource, namespace, name)
}

/// Who the client is, had it shown what it has to.
fn user(shared: &Shared, client: &Client) -> &'static str {
    match (client.certified, shared.settings.authenticate) {
        (true, _) => super::CERTIFIED_USER,
        (false, true) => super::TOKEN_USER,
        (false, false) => "system:anonymous",
    }
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
    let (writer, body) = Reply::pieces(client.reset.clone());
    match shared.follow(target.resource, &options) {
        Ok(beginning) => {
            let opened = shared.open(OpenWatch {
                resource: target.resource,
                namespace: target.namespace.clone(),
                query: query.to_owned(),
                age: std::time::Duration::ZERO,
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

/// Does to an answer what a fault does to one.
fn spoilt(mut answer: Answer, fault: Fault, client: &Client) -> Answer {
    if fault == Fault::WrongContentType {
        answer.content_type = "application/octet-stream";
        return answer;
    }
    if !matches!(
        fault,
        Fault::Misshapen | Fault::Long(_) | Fault::Cut | Fault::Slow { .. }
    ) {
        return answer;
    }
    answer.body = match (answer.body.collect(), fault) {
        (Ok(body), Fault::Misshapen) => Reply::whole(spoil::misshapen(&body)),
        (Ok(body), Fault::Long(bytes)) => Reply::whole(spoil::long(&body, bytes)),
        (Ok(body), Fault::Slow { bytes, pause }) => {
            let (writer, reply) = Reply::pieces(client.reset.clone());
            tokio::spawn(dribble(writer, body, bytes.max(1), pause));
            reply
        }
        (Ok(body), _) => {
            let (writer, reply) = Reply::pieces(client.reset.clone());
            tokio::spawn(async move {
                if writer.write(body.slice(..body.len() / 2)).await.is_ok() {
                    writer.reset().await;
                }
            });
            reply
        }
        (Err(watch), _) => watch,
    };
    answer
}

async fn dribble(writer: Writer, mut body: Bytes, bytes: usize, pause: std::time::Duration) {
    while !body.is_empty() {
        sleep(pause).await;
        let piece = body.split_to(bytes.min(body.len()));
        if writer.write(piece).await.is_err() {
            return;
        }
    }
}

fn as_http(answer: Answer) -> Response<Reply> {
    let mut response = Response::new(answer.body);
    *response.status_mut() = StatusCode::from_u16(answer.code).unwrap_or_default();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

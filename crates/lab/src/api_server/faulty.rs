//! The deed: what a fault does to an answer, or in its place.

use std::io;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::sleep;

use super::answer::Answer;
use super::asked::Asked;
use super::faults::Fault;
use super::handler::Client;
use super::reply::Reply;
use super::shared::Shared;
use super::spoil;
use super::status::Status;
use super::{CERTIFIED_USER, TOKEN_USER};

/// Makes the client wait, if that is the fault.
pub(super) async fn wait(fault: Option<&Fault>, mut heals: watch::Receiver<()>) {
    match fault {
        Some(Fault::Hang) => drop(heals.changed().await),
        Some(Fault::Stall(time)) => sleep(*time).await,
        _ => {}
    }
}

/// What a fault answers in place of the server.
pub(super) fn instead(
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
            ..Answer::text(*code, plain(*code))
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

/// The line of text that comes with a status.
fn plain(code: u16) -> &'static str {
    match code {
        429 => "Too many requests, please try again later.\n",
        502 => "Bad Gateway\n",
        503 => "Service Unavailable\n",
        504 => "Gateway Timeout\n",
        _ => "This request caused apiserver to panic. Look in the logs for details.\n",
    }
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
        (true, _) => CERTIFIED_USER,
        (false, true) => TOKEN_USER,
        (false, false) => "system:anonymous",
    }
}

/// Does to an answer what a fault does to one.
pub(super) fn spoilt(mut answer: Answer, fault: Fault, client: &Client) -> Answer {
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
        (Ok(body), Fault::Slow { .. }) => slow(body, client),
        (Ok(body), _) => cut(&body, client),
        // A watch, which has its faults line by line.
        (Err(watch), _) => watch,
    };
    answer
}

fn slow(body: Bytes, client: &Client) -> Reply {
    let (writer, reply) = Reply::pieces(client);
    tokio::spawn(async move { writer.write(body).await });
    reply
}

fn cut(body: &Bytes, client: &Client) -> Reply {
    let (writer, reply) = Reply::pieces(client);
    let half = body.slice(..body.len() / 2);
    tokio::spawn(async move {
        if writer.write(half).await.is_ok() {
            writer.reset().await;
        }
    });
    reply
}

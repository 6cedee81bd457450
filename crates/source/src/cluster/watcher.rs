//! Carries out the conversation about one kind: sends what the reflector asks, reads what comes.

use std::rc::Rc;
use std::time::{Duration, Instant};

use fairlead_core::api::Kind;
use http::Response;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::answer::Status;
use super::causes;
use super::conversation::{Break, Conversation};
use super::link::{self, Call};
use super::news::{News, Trouble};
use super::reflector::{Ask, End};
use super::resource::{Resource, verb};
use super::talk::{Talk, chance, rounded};
use super::telling::Said;

/// Watches are ended by the server after a time between this and twice as long, as client-go asks
/// for, so that the nodes' watches spread over the servers there are.
const WATCH: Duration = Duration::from_mins(5);

/// How much later than that a watch is given up that the server has forgotten to end.
const GRACE: Duration = Duration::from_secs(30);

/// As much of a refusal is read as a Status ever has.
const REFUSAL: usize = 64 << 10;

const NO_ANSWER: End = End::Broken {
    lived: Duration::ZERO,
};

/// Follows a kind for as long as it is polled.
pub(super) async fn follow(kind: Kind, talk: Rc<Talk>) {
    let mut watcher = Watcher {
        resource: Resource::of(kind, &talk.node),
        conversation: Conversation::new(kind, talk.patience.pauses),
        trouble: Trouble::new(talk.patience.told),
        dropped: talk.link.dropped(),
        said: Said::default(),
        talk,
    };
    loop {
        let pause = watcher.once().await;
        watcher.tell().await;
        sleep(pause).await;
    }
}

struct Watcher {
    resource: Resource,
    conversation: Conversation,
    trouble: Trouble,
    dropped: watch::Receiver<u64>,
    said: Said,
    talk: Rc<Talk>,
}

/// How a request failed.
enum Failure {
    /// The server is out of reach, which is told for all kinds together.
    Unreached(String),
    /// The pulse found the server silent, and has told it.
    Silent,
    /// This request did, and why.
    Failed(Break),
}

impl Watcher {
    /// Asks once, and says how long to wait before asking again.
    async fn once(&mut self) -> Duration {
        let asked = Instant::now();
        let ask = self.conversation.ask(asked);
        self.dropped.mark_unchanged();
        let end = match self.carry_out(&ask, asked).await {
            Ok(None) => return Duration::ZERO,
            Ok(Some(end)) => end,
            Err(failure) => self.failed(&ask, failure, asked).await,
        };
        let now = Instant::now();
        let pause = self.conversation.ended(end, now, chance(), &mut self.said);
        let synced = self.conversation.is_synced();
        self.talk.board.set(self.resource.kind, |status| {
            status.connected = false;
            status.synced = synced;
        });
        pause
    }

    async fn carry_out(&mut self, ask: &Ask, asked: Instant) -> Result<Option<End>, Failure> {
        let ends = WATCH.mul_f64(1.0 + chance());
        let call = Call::get(
            self.resource.plural,
            self.resource.query(ask, ends.as_secs()),
        );
        let mut dropped = self.dropped.clone();
        let answer = tokio::select! {
            answer = self.talk.link.send(&call, self.talk.patience.answer) => answer,
            _ = dropped.changed() => return Err(Failure::Silent),
        };
        let answer = answer.map_err(|unreached| Failure::Unreached(unreached.0))?;
        self.talk.reached().await;
        if answer.status() != 200 {
            return Err(Failure::Failed(self.refused(answer).await));
        }
        if matches!(ask, Ask::Watch(_)) {
            self.recovered();
        }
        self.heard();
        self.read(ask, answer.into_body(), asked, ends + GRACE)
            .await
    }

    /// Reads an answer piece by piece.
    async fn read(
        &mut self,
        ask: &Ask,
        mut body: Body,
        asked: Instant,
        ends: Duration,
    ) -> Result<Option<End>, Failure> {
        let mut dropped = self.dropped.clone();
        loop {
            let lived = asked.elapsed();
            let frame = tokio::select! {
                frame = timeout(self.patience(ask, ends, lived), body.frame()) => frame,
                _ = dropped.changed() => return Err(Failure::Silent),
            };
            let lived = asked.elapsed();
            match frame {
                Err(_) if self.conversation.is_streaming() => return Ok(Some(End::Ignored)),
                Err(_) => return Err(broke("it went silent", lived)),
                Ok(Some(Err(error))) => return Err(broke(&causes::innermost(&error), lived)),
                Ok(Some(Ok(frame))) => {
                    let Some(chunk) = frame.data_ref() else {
                        continue;
                    };
                    let heard = self.conversation.hear(chunk, &mut self.said);
                    self.heard();
                    self.tell().await;
                    heard.map_err(Failure::Failed)?;
                }
                Ok(None) => {
                    let end = self.conversation.close(lived, &mut self.said);
                    return end.map_err(Failure::Failed);
                }
            }
        }
    }

    /// How long the next piece may take. Whether a server is alive whose watches are silent is for
    /// the pulse to find out; a watch alone is known to be dead by the bookmarks that it lacks.
    fn patience(&self, ask: &Ask, ends: Duration, lived: Duration) -> Duration {
        match ask {
            Ask::Page(_) => self.talk.patience.answer,
            _ if self.conversation.is_streaming() => self.talk.patience.list,
            _ => {
                let left = ends.saturating_sub(lived);
                match self.conversation.has_bookmarks() {
                    true => left.min(self.talk.patience.bookmarks),
                    false => left,
                }
            }
        }
    }

    async fn refused(&self, answer: Response<Body>) -> Break {
        let code = answer.status().as_u16();
        let retry_after = link::retry_after(answer.headers());
        let body = Limited::new(answer.into_body(), REFUSAL).collect();
        let body = match timeout(self.talk.patience.answer, body).await {
            Ok(Ok(body)) => body.to_bytes().to_vec(),
            _ => Vec::new(),
        };
        let status = Status::read(&body);
        Break {
            end: End::Refused {
                code,
                retry_after: retry_after.or(status.retry_after()),
                event: false,
            },
            why: status.message().to_owned(),
        }
    }

    /// Takes note of a failure and tells it if it is news.
    async fn failed(&mut self, ask: &Ask, failure: Failure, asked: Instant) -> End {
        let (end, text) = match failure {
            Failure::Unreached(why) => {
                self.talk.unreached(&why).await;
                self.note_failure(why);
                return NO_ANSWER;
            }
            Failure::Silent => {
                self.note_failure("the server went silent".to_owned());
                return NO_ANSWER;
            }
            Failure::Failed(broken) => (broken.end, self.words(ask, &broken)),
        };
        let Some(text) = text else { return end };
        let unserved = self.conversation.is_unserved(end);
        if self.trouble.failed(&text, asked) {
            self.said.news.push(match unserved {
                true => News::info(text.clone()),
                false => News::warning(text.clone()),
            });
        }
        if !unserved {
            self.note_failure(text);
        }
        end
    }

    fn note_failure(&self, text: String) {
        self.talk.board.set(self.resource.kind, |status| {
            status.failure = Some(text);
        });
    }

    /// What to say of a failure; `None` for what happens in the course of things.
    fn words(&self, ask: &Ask, broken: &Break) -> Option<String> {
        let (plural, verb, why) = (self.resource.plural, verb(ask), &broken.why);
        let End::Refused { code, event, .. } = broken.end else {
            let once = matches!(broken.end, End::Broken { lived } if lived > GRACE);
            return (!once && !matches!(broken.end, End::Ignored))
                .then(|| format!("the {verb} of {plural} broke off: {why}; trying again"));
        };
        Some(match code {
            // A streaming list that is refused is asked for in pages at once, and a version that
            // is too old is what lists are for.
            400 | 403 | 405 | 415 | 422 if *ask == Ask::Stream && !event => return None,
            410 => return None,
            404 if self.conversation.is_unserved(broken.end) => format!(
                "the server has no {plural} (networking.k8s.io/v1): the ranges of cluster IPs are not known; asked again now and then"
            ),
            401 => format!(
                "who we are is not accepted ({verb} {plural}): {why}; credentials are read again (token, client certificate or exec plugin)"
            ),
            403 => format!(
                "may not {verb} {plural}: {why}; grant list and watch on {plural}, see deploy/"
            ),
            404 => format!("the server has no {plural}: {why}; is it a Kubernetes API server?"),
            429 | 503 => {
                format!("the server is too busy to {verb} {plural}: {why} ({code}); trying again")
            }
            _ => format!("the {verb} of {plural} failed: {why} ({code}); trying again"),
        })
    }

    /// The server said something.
    fn heard(&mut self) {
        let synced = self.conversation.is_synced();
        let now = Instant::now();
        self.talk.board.set(self.resource.kind, |status| {
            status.heard = Some(now);
            status.connected = true;
            status.synced = synced;
            status.failure = None;
        });
        if synced && !self.conversation.is_streaming() {
            self.recovered();
        }
    }

    fn recovered(&mut self) {
        if let Some(after) = self.trouble.recovered(Instant::now()) {
            let plural = self.resource.plural;
            let text = format!("{plural} are watched again after {}", rounded(after));
            self.said.news.push(News::info(text));
        }
    }

    async fn tell(&mut self) {
        self.talk.outbox.send(&mut self.said).await;
    }
}

fn broke(why: &str, lived: Duration) -> Failure {
    Failure::Failed(Break {
        end: End::Broken { lived },
        why: why.to_owned(),
    })
}

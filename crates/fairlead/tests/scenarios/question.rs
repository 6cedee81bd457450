//! A question as text, `[in MODES ]CLIENTS -> ADDRESS:PORT/PROTOCOL => EXPECTED`, and its answer judged.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Failure, Lab, LabError, Series, Source, is_local_pod};
use serde::Deserialize;

use crate::modes::Modes;
use crate::rig::Mode;

/// How often a client asks for each endpoint that it should meet: one of two is missed by chance
/// once in four billion times.
const TRIES: usize = 16;

/// How often each client of a crowd asks.
const TRIES_IN_CROWD: usize = 3;

/// Pods on the node, enough of them that two endpoints both get some.
const CROWD: std::ops::Range<u8> = 200..232;

/// A client, or more than one, and whom they should meet at an address.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Question {
    text: String,
    /// The modes in which it is asked.
    modes: Modes,
    /// Each asks for itself, and is judged for itself.
    pub(crate) askers: Vec<Asker>,
    protocol: Protocol,
    to: SocketAddr,
    expected: Expected,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    /// One client.
    One(Client),
    /// Many pods on the node, taken together.
    Crowd,
}

/// Whom a client should meet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// All of these endpoints and no others.
    All(BTreeSet<SocketAddr>, Option<Source>),
    /// One of these endpoints, always the same one.
    OneOf(BTreeSet<SocketAddr>, Option<Source>),
    /// Whom it met when it last asked.
    Same,
    /// Nobody, for this reason.
    Failure(Failure),
    /// Nobody, for whatever reason.
    Nobody,
}

/// What the clients behind an asker met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer(Vec<Series>);

impl Question {
    /// What tells it from all questions that are not the same again: the address.
    pub(crate) fn target(&self) -> (Protocol, SocketAddr) {
        (self.protocol, self.to)
    }

    /// Whether it is asked in this mode.
    pub(crate) fn is_asked_in(&self, mode: Mode) -> bool {
        self.modes.have(mode)
    }

    /// Asks for one of the askers.
    pub(crate) fn ask(&self, lab: &Lab, asker: Asker) -> Result<Answer, LabError> {
        let tries = match (asker, &self.expected) {
            (Asker::Crowd, _) => TRIES_IN_CROWD,
            (_, Expected::All(endpoints, _)) => TRIES * endpoints.len(),
            _ => TRIES,
        };
        let ask = |client| lab.ask(client, self.protocol, self.to, tries);
        asker
            .clients(self.to)
            .into_iter()
            .map(ask)
            .collect::<Result<_, _>>()
            .map(Answer)
    }

    /// Whether an answer is as expected; `before` is what the asker met when it last asked.
    pub(crate) fn accepts(&self, answer: &Answer, before: Option<&Answer>, mode: Mode) -> bool {
        let Answer(series) = answer;
        let errors = answer.errors();
        match &self.expected {
            Expected::All(endpoints, source) => {
                let sources = self.sources_in(mode, endpoints, *source);
                errors.is_empty()
                    && answer.endpoints() == *endpoints
                    && sources.is_none_or(|expected| answer.sources() == expected)
            }
            Expected::OneOf(endpoints, source) => {
                let sources = self.sources_in(mode, endpoints, *source);
                errors.is_empty()
                    && series.iter().all(|series| series.by_endpoint.len() == 1)
                    && answer.endpoints().is_subset(endpoints)
                    && sources.is_none_or(|expected| answer.sources().is_subset(&expected))
            }
            Expected::Same => before.is_some_and(|before| {
                errors.is_empty() && answer.by_client().eq(before.by_client())
            }),
            Expected::Failure(failure) => {
                answer.endpoints().is_empty() && errors == BTreeSet::from([failure.clone()])
            }
            Expected::Nobody => answer.endpoints().is_empty(),
        }
    }

    /// Whether its answer depends on who else asks, where endpoints take turns: two clients could
    /// each meet every second one.
    pub(crate) fn minds_others(&self, mode: Mode) -> bool {
        let meets_many =
            matches!(&self.expected, Expected::All(endpoints, _) if endpoints.len() > 1);
        meets_many && mode.takes_turns()
    }

    /// What these endpoints see of the client together. Behind a relay they see the node, but for
    /// those that were asked themselves, and pods of this node where it lets them see the client.
    fn sources_in(
        &self,
        mode: Mode,
        endpoints: &BTreeSet<SocketAddr>,
        source: Option<Source>,
    ) -> Option<BTreeSet<Source>> {
        let source = source?;
        let seen_by = |endpoint: &SocketAddr| match mode {
            Mode::Userspace(_) if endpoints.contains(&self.to) => source,
            Mode::Userspace(Source::Kept) if is_local_pod(endpoint.ip()) => source,
            Mode::Userspace(_) => Source::Masqueraded,
            _ => source,
        };
        Some(endpoints.iter().map(seen_by).collect())
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Asker {
    fn clients(self, to: SocketAddr) -> Vec<Client> {
        let pod = |n: u8| -> IpAddr {
            match to {
                SocketAddr::V4(_) => [10, 244, 1, n].into(),
                SocketAddr::V6(_) => [0xfd00, 0x10, 0x244, 1, 0x8000, 0, 0, n.into()].into(),
            }
        };
        match self {
            Asker::One(client) => vec![client],
            Asker::Crowd => CROWD.map(|n| Client::Hairpin(pod(n))).collect(),
        }
    }
}

impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Asker::One(Client::Hairpin(address)) => write!(f, "pod {address}"),
            Asker::One(client) => client.fmt(f),
            Asker::Crowd => f.write_str("crowd"),
        }
    }
}

impl Answer {
    fn by_client(&self) -> impl Iterator<Item = BTreeSet<SocketAddr>> {
        self.0
            .iter()
            .map(|series| series.by_endpoint.keys().copied().collect())
    }

    fn endpoints(&self) -> BTreeSet<SocketAddr> {
        self.by_client().flatten().collect()
    }

    fn errors(&self) -> BTreeSet<Failure> {
        self.0
            .iter()
            .flat_map(|series| series.outcome().errors)
            .collect()
    }

    /// Whether somebody answers, and now and then nobody does in time.
    pub(crate) fn came_late(&self) -> bool {
        !self.endpoints().is_empty() && self.errors() == BTreeSet::from([Failure::Timeout])
    }

    /// What endpoints saw of the clients.
    fn sources(&self) -> BTreeSet<Source> {
        let outcomes = self.0.iter().map(Series::outcome);
        outcomes.flat_map(|outcome| outcome.source).collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, series) in self.0.iter().enumerate() {
            let separator = if n > 0 { " | " } else { "" };
            write!(f, "{separator}{}", series.outcome())?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Question {
    type Error = String;

    fn try_from(text: String) -> Result<Question, String> {
        let (modes, question) = match text.strip_prefix("in ") {
            Some(rest) => Modes::before(rest)?,
            None => (Modes::default(), &*text),
        };
        let parts = question.split_once(" -> ").and_then(|(askers, rest)| {
            let (target, expected) = rest.split_once(" => ")?;
            let (to, protocol) = target.split_once('/')?;
            Some((askers, to, protocol, expected))
        });
        let (askers, to, protocol, expected) = parts.ok_or_else(|| {
            format!("{text:?} is not CLIENTS -> ADDRESS:PORT/PROTOCOL => EXPECTED")
        })?;
        let in_it = |error| format!("{error} in {text:?}");
        Ok(Question {
            modes,
            askers: list(askers, asker).map_err(in_it)?,
            protocol: match protocol {
                "TCP" => Protocol::Tcp,
                "UDP" => Protocol::Udp,
                other => return Err(in_it(format!("{other:?} is neither TCP nor UDP"))),
            },
            to: endpoint(to).map_err(in_it)?,
            expected: self::expected(expected).map_err(in_it)?,
            text,
        })
    }
}

fn asker(text: &str) -> Result<Asker, String> {
    Ok(Asker::One(match text {
        "crowd" => return Ok(Asker::Crowd),
        "pod" => Client::Pod,
        "node" => Client::Node,
        "outside" => Client::Outside,
        "outside-allowed" => Client::OutsideAllowed,
        other => {
            let address = other
                .strip_prefix("pod ")
                .and_then(|text| text.parse().ok());
            Client::Hairpin(address.ok_or_else(|| format!("{other:?} is no client"))?)
        }
    }))
}

fn expected(text: &str) -> Result<Expected, String> {
    Ok(match text {
        "refused" => Expected::Failure(Failure::Refused),
        "dropped" => Expected::Failure(Failure::Timeout),
        "prohibited" => Expected::Failure(Failure::Prohibited),
        "nobody" => Expected::Nobody,
        "the same" => Expected::Same,
        endpoints => {
            let (endpoints, one) = match endpoints.strip_prefix("one of ") {
                Some(rest) => (rest, true),
                None => (endpoints, false),
            };
            let (endpoints, source) = match endpoints.rsplit_once(", ") {
                Some((rest, "kept")) => (rest, Some(Source::Kept)),
                Some((rest, "masqueraded")) => (rest, Some(Source::Masqueraded)),
                _ => (endpoints, None),
            };
            let endpoints = list(endpoints, endpoint)?.into_iter().collect();
            if one {
                Expected::OneOf(endpoints, source)
            } else {
                Expected::All(endpoints, source)
            }
        }
    })
}

fn endpoint(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is not ADDRESS:PORT"))
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(", ").map(parse).collect()
}

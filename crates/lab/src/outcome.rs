//! What a series of connections met, in the recorded format, and how two records differ.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::LabError;

/// Outcomes by the name of the question.
pub type Outcomes = BTreeMap<String, Outcome>;

/// What a series of connections met. Counts and order are chance and are not recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The endpoints that answered, each `address port`; or, where session affinity makes the
    /// choice chance, how many: `1 sticky`.
    pub endpoints: BTreeSet<String>,
    /// Which source addresses they saw.
    pub source: BTreeSet<Source>,
    /// What went wrong.
    pub errors: BTreeSet<Failure>,
}

/// Whose address an endpoint saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The client's own.
    Kept,
    /// Another: the node's.
    Masqueraded,
}

/// Why a connection met nobody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Failure {
    /// A TCP reset to the first packet, or ICMP port unreachable.
    Refused,
    /// Nobody said anything in time.
    Timeout,
    /// ICMP host or network unreachable, or no route.
    Unreachable,
    /// ICMP administratively prohibited, or a rule of the client's own host.
    Prohibited,
    /// A TCP reset to an established connection.
    Reset,
    /// The connection ended without an answer.
    Closed,
    /// Another error of the socket, as the system puts it.
    #[serde(untagged)]
    Other(String),
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Source::Kept => "kept",
            Source::Masqueraded => "masqueraded",
        })
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Refused => "refused",
            Failure::Timeout => "timeout",
            Failure::Unreachable => "unreachable",
            Failure::Prohibited => "prohibited",
            Failure::Reset => "reset",
            Failure::Closed => "closed",
            Failure::Other(error) => error,
        })
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.endpoints.is_empty() {
            f.write_str("nobody")?;
        }
        list(f, "", &self.endpoints)?;
        list(f, "; source ", &self.source)?;
        list(f, "; errors: ", &self.errors)
    }
}

fn list<T: Display>(f: &mut fmt::Formatter<'_>, title: &str, items: &BTreeSet<T>) -> fmt::Result {
    for (i, item) in items.iter().enumerate() {
        write!(f, "{}{item}", if i == 0 { title } else { ", " })?;
    }
    Ok(())
}

/// Reads a recorded `*.outcomes.json`.
pub fn read(path: &Path) -> Result<Outcomes, LabError> {
    read_json(path)
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, LabError> {
    let text = fs::read(path).map_err(LabError::file(path))?;
    serde_json::from_slice(&text).map_err(|error| LabError::Json {
        path: path.to_owned(),
        error,
    })
}

/// A question that was not answered as it was expected to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The name of the question.
    pub question: String,
    /// What was expected; `None` when the question was not.
    pub expected: Option<Outcome>,
    /// What was met; `None` when nobody asked.
    pub got: Option<Outcome>,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.question)?;
        for (title, outcome) in [("expected", &self.expected), ("got", &self.got)] {
            match outcome {
                Some(outcome) => writeln!(f, "  {title:<8}  {outcome}")?,
                None => writeln!(f, "  {title:<8}  not to be asked")?,
            }
        }
        Ok(())
    }
}

/// Every question that two records answer differently, by name.
pub fn compare(expected: &Outcomes, got: &Outcomes) -> Vec<Difference> {
    let questions: BTreeSet<&String> = expected.keys().chain(got.keys()).collect();
    let pairs = questions.into_iter().map(|question| Difference {
        question: question.clone(),
        expected: expected.get(question).cloned(),
        got: got.get(question).cloned(),
    });
    pairs.filter(|pair| pair.expected != pair.got).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORDED: &str = r#"{
        "a": {"endpoints": ["10.244.1.130 8080", "10.244.2.5 8080"], "errors": [], "source": ["kept"]},
        "b": {"endpoints": [], "errors": ["refused", "File too large (os error 27)"], "source": []}
    }"#;

    #[test]
    fn the_recorded_format_is_read_and_written() {
        let outcomes: Outcomes = serde_json::from_str(RECORDED).unwrap();
        let errors = [
            Failure::Refused,
            Failure::Other("File too large (os error 27)".into()),
        ];
        assert_eq!(outcomes["b"].errors, BTreeSet::from(errors));
        assert_eq!(outcomes["a"].source, BTreeSet::from([Source::Kept]));
        let written = serde_json::to_string(&outcomes).unwrap();
        assert_eq!(
            serde_json::from_str::<Outcomes>(&written).unwrap(),
            outcomes
        );
    }

    #[test]
    fn a_difference_says_what_was_expected_and_what_was_met() {
        let expected: Outcomes = serde_json::from_str(RECORDED).unwrap();
        assert_eq!(compare(&expected, &expected), []);

        let mut got = expected.clone();
        got.remove("b");
        got.get_mut("a").unwrap().source = BTreeSet::from([Source::Masqueraded]);
        let text: String = compare(&expected, &got)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            text,
            "a\n  expected  10.244.1.130 8080, 10.244.2.5 8080; source kept\
             \n  got       10.244.1.130 8080, 10.244.2.5 8080; source masqueraded\
             \nb\n  expected  nobody; errors: refused, File too large (os error 27)\
             \n  got       not to be asked\n"
        );
    }
}

//! The modes that something is said of.

use serde::Deserialize;

use crate::rig::Mode;

/// Names of modes; none stands for all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Modes(Vec<&'static str>);

impl Modes {
    /// Whether it is said of this mode.
    pub(crate) fn have(&self, mode: Mode) -> bool {
        self.0.is_empty() || self.0.contains(&mode.name())
    }

    /// Reads the modes that a text begins with, `nftables, iptables rest`, and returns the rest.
    pub(crate) fn before(text: &str) -> Result<(Modes, &str), String> {
        let mut names = Vec::new();
        let mut rest = text;
        loop {
            let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
            let (word, goes_on) = match word.strip_suffix(',') {
                Some(word) => (word, true),
                None => (word, false),
            };
            names.push(name(word)?);
            rest = behind;
            if !goes_on {
                return Ok((Modes(names), rest));
            }
        }
    }
}

impl TryFrom<String> for Modes {
    type Error = String;

    fn try_from(text: String) -> Result<Modes, String> {
        match Modes::before(&text)? {
            (modes, "") => Ok(modes),
            (_, rest) => Err(format!("{rest:?} is not a mode")),
        }
    }
}

fn name(text: &str) -> Result<&'static str, String> {
    let names = Mode::ALL.map(Mode::name);
    let known = names.into_iter().find(|name| *name == text);
    known.ok_or_else(|| format!("{text:?} is not a mode"))
}

//! The proxy modes: which there are, which are built, and what no mode at all means.

use std::fmt;

/// Modes that are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// nf_tables, by netlink.
    Nftables,
    /// kube-proxy's own rules of iptables.
    Iptables,
    /// The kernel's load balancer, with nf_tables for what it cannot do.
    Ipvs,
    /// A relay of our own, with nf_tables for what it has not to carry.
    Userspace,
}

impl Mode {
    /// All that are built. The first is meant where no mode is given.
    pub(crate) const ALL: [Mode; 4] = [Mode::Nftables, Mode::Iptables, Mode::Ipvs, Mode::Userspace];

    /// The mode of this name; the first if there is none, which [`refusal`] tells.
    pub(crate) fn of(word: &str) -> Mode {
        match meaning(word) {
            Meaning::Built(mode) => mode,
            _ => Mode::ALL[0],
        }
    }

    /// The name in `mode:` and `--proxy-mode`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Nftables => "nftables",
            Mode::Iptables => "iptables",
            Mode::Ipvs => "ipvs",
            Mode::Userspace => "userspace",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which of the kernel's two iptables is written: each has tables of its own, and both apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IptablesVariant {
    /// The one that has rules already, as others on this node use it.
    Auto,
    /// The dialect of nf_tables.
    Nft,
    /// The old one.
    Legacy,
}

impl IptablesVariant {
    const ALL: [IptablesVariant; 3] = [
        IptablesVariant::Auto,
        IptablesVariant::Nft,
        IptablesVariant::Legacy,
    ];

    /// The word in `--iptables-variant`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            IptablesVariant::Auto => "auto",
            IptablesVariant::Nft => "nft",
            IptablesVariant::Legacy => "legacy",
        }
    }

    /// The variant of this name.
    pub(crate) fn of(word: &str) -> Option<IptablesVariant> {
        IptablesVariant::ALL
            .into_iter()
            .find(|variant| variant.name() == word)
    }
}

/// The words in `--ipvs-fallback`, and what runs by each where the kernel has no IPVS.
const FALLBACKS: [(&str, Option<Mode>); 3] = [
    ("nftables", Some(Mode::Nftables)),
    ("iptables", Some(Mode::Iptables)),
    ("none", None),
];

/// What runs where the kernel has no IPVS, by the word in `--ipvs-fallback`.
pub(super) fn fallback(word: &str) -> Result<Option<Mode>, String> {
    let known = FALLBACKS.into_iter().find(|(name, _)| *name == word);
    let (_, mode) =
        known.ok_or_else(|| format!("{word:?} is none of nftables, iptables and none"))?;
    Ok(mode)
}

/// What a word is as a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A mode that runs.
    Built(Mode),
    /// A mode that is not built yet.
    NotYet,
    /// The mode of kube-proxy on Windows.
    Windows,
    /// None.
    Unknown,
}

/// What is meant by a word. None at all is the first mode: kube-proxy has iptables there, and
/// nftables does the same with less.
pub(crate) fn meaning(word: &str) -> Meaning {
    let named = |mode: &&Mode| mode.name() == word;
    match Mode::ALL.iter().find(named) {
        Some(mode) => Meaning::Built(*mode),
        None => match word {
            "" => Meaning::Built(Mode::ALL[0]),
            "ebpf" => Meaning::NotYet,
            "kernelspace" => Meaning::Windows,
            _ => Meaning::Unknown,
        },
    }
}

/// Whether a word names userspace mode, in which some fields and flags count that nowhere else do.
pub(super) fn is_userspace(word: &str) -> bool {
    word == Mode::Userspace.name()
}

/// Whether a word names a mode that runs.
#[cfg(test)]
pub(crate) fn is_built(word: &str) -> bool {
    matches!(meaning(word), Meaning::Built(_))
}

/// Why a mode cannot be run; `None` if it can.
pub(crate) fn refusal(word: &str) -> Option<String> {
    let [names @ .., last] = Mode::ALL.map(Mode::name);
    let names = names.join(", ");
    let write = format!("set it to {names} or {last}, or leave it empty");
    match meaning(word) {
        Meaning::Built(_) => None,
        Meaning::NotYet => Some(format!("mode {word} is not available yet; {write}")),
        Meaning::Windows => Some(format!("mode {word} is for Windows; {write}")),
        Meaning::Unknown => Some(format!("there is no mode {word:?}; {write}")),
    }
}

//! The proxy modes: which there are, which are built, and what no mode at all means.

/// Modes that are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// nf_tables, by netlink.
    Nftables,
}

impl Mode {
    /// All that are built. The first is meant where no mode is given.
    pub(crate) const ALL: [Mode; 1] = [Mode::Nftables];

    /// The name in `mode:` and `--proxy-mode`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Nftables => "nftables",
        }
    }
}

/// What a word is as a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A mode that runs.
    Built(Mode),
    /// A mode of kube-proxy, or one that it had, that is not built yet.
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
            "iptables" | "ipvs" | "ebpf" | "userspace" => Meaning::NotYet,
            "kernelspace" => Meaning::Windows,
            _ => Meaning::Unknown,
        },
    }
}

/// Whether a word names a mode that runs.
#[cfg(test)]
pub(crate) fn is_built(word: &str) -> bool {
    matches!(meaning(word), Meaning::Built(_))
}

/// Why a mode cannot be run; `None` if it can.
pub(crate) fn refusal(word: &str) -> Option<String> {
    let names: Vec<_> = Mode::ALL.iter().map(|mode| mode.name()).collect();
    let write = format!("set it to {}, or leave it empty", names.join(", "));
    match meaning(word) {
        Meaning::Built(_) => None,
        Meaning::NotYet => Some(format!("mode {word} is not available yet; {write}")),
        Meaning::Windows => Some(format!("mode {word} is for Windows; {write}")),
        Meaning::Unknown => Some(format!("there is no mode {word:?}; {write}")),
    }
}

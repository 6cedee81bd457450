//! The modes that Fairlead can do its work in.

use std::fmt;

use fairlead_lab::Source;
use fairlead_lab::conformance::{USERSPACE, USERSPACE_CLIENT};
use fairlead_lab::iptables::Variant;

/// A mode, with what can be chosen in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Nftables,
    Iptables(Variant),
    Ipvs,
    /// With whom endpoints of the node see.
    Userspace(Source),
}

impl Mode {
    pub(crate) const ALL: [Mode; 6] = [
        Mode::Nftables,
        Mode::Iptables(Variant::Nft),
        Mode::Iptables(Variant::Legacy),
        Mode::Ipvs,
        Mode::Userspace(Source::Masqueraded),
        Mode::Userspace(Source::Kept),
    ];

    /// Whether any host's kernel can do it. IPVS is a module that many have not.
    pub(crate) fn is_for_any_host(self) -> bool {
        self != Mode::Ipvs
    }

    /// Whether endpoints take turns, whoever asks.
    #[allow(dead_code, reason = "for scenarios alone")]
    pub(crate) fn takes_turns(self) -> bool {
        matches!(self, Mode::Ipvs | Mode::Userspace(_))
    }

    /// As kube-proxy calls it, which has no variants.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Nftables => "nftables",
            Mode::Iptables(_) => "iptables",
            Mode::Ipvs => "ipvs",
            Mode::Userspace(_) => "userspace",
        }
    }

    /// What the recorded cases call it.
    pub(crate) fn record(self) -> &'static str {
        match self {
            Mode::Userspace(Source::Masqueraded) => USERSPACE,
            Mode::Userspace(Source::Kept) => USERSPACE_CLIENT,
            other => other.name(),
        }
    }

    /// Tells Fairlead not to wait between two syncs.
    pub(crate) fn at_once(self) -> String {
        match self {
            Mode::Ipvs => "--ipvs-min-sync-period=0s",
            Mode::Nftables | Mode::Iptables(_) | Mode::Userspace(_) => "--min-sync-period=0s",
        }
        .to_owned()
    }

    /// What Fairlead has to be told.
    pub(crate) fn flags(self) -> Vec<String> {
        let mut flags = vec![format!("--proxy-mode={}", self.name())];
        match self {
            Mode::Iptables(variant) => flags.push(format!("--iptables-variant={variant}")),
            Mode::Userspace(Source::Kept) => {
                flags.push("--userspace-source-address=client".to_owned());
            }
            _ => {}
        }
        flags
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Iptables(variant) => write!(f, "iptables-{variant}"),
            other => f.write_str(other.record()),
        }
    }
}

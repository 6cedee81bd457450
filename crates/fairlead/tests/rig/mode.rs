//! The modes that Fairlead can do its work in.

use std::fmt;

use fairlead_lab::iptables::Variant;

/// A mode, with what can be chosen in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Nftables,
    Iptables(Variant),
    Ipvs,
}

impl Mode {
    pub(crate) const ALL: [Mode; 4] = [
        Mode::Nftables,
        Mode::Iptables(Variant::Nft),
        Mode::Iptables(Variant::Legacy),
        Mode::Ipvs,
    ];

    /// Whether any host's kernel can do it. IPVS is a module that many have not.
    pub(crate) fn is_for_any_host(self) -> bool {
        self != Mode::Ipvs
    }

    /// As kube-proxy calls it, which has no variants.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Nftables => "nftables",
            Mode::Iptables(_) => "iptables",
            Mode::Ipvs => "ipvs",
        }
    }

    /// Tells Fairlead not to wait between two syncs.
    pub(crate) fn at_once(self) -> String {
        match self {
            Mode::Ipvs => "--ipvs-min-sync-period=0s",
            Mode::Nftables | Mode::Iptables(_) => "--min-sync-period=0s",
        }
        .to_owned()
    }

    /// What Fairlead has to be told.
    pub(crate) fn flags(self) -> Vec<String> {
        let mut flags = vec![format!("--proxy-mode={}", self.name())];
        if let Mode::Iptables(variant) = self {
            flags.push(format!("--iptables-variant={variant}"));
        }
        flags
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Iptables(variant) => write!(f, "iptables-{variant}"),
            other => f.write_str(other.name()),
        }
    }
}

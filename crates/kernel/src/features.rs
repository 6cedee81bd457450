//! What this kernel and this process's rights offer, found without running anything.

use std::fmt;
use std::fs;
use std::path::Path;

use thiserror::Error;

use crate::error::CallError;
use crate::netlink::{Protocol, Request, Socket};
use crate::sysctl::Sysctls;

/// The oldest kernel on which kube-proxy runs its nftables mode unless it is told not to check
/// (<https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables>). Older
/// ones lack what its rules use, or get it wrong.
pub const NFTABLES_MINIMUM: KernelVersion = KernelVersion {
    major: 5,
    minor: 13,
};

/// The modules that the rules of a service proxy need, with the options of the kernel's
/// configuration that they come from. Each loads by itself when it is first used, if it is
/// installed; a rule whose module is missing is refused with `ENOENT`.
pub const NF_TABLES_MODULES: &str = "nf_tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_IPV4, \
    CONFIG_NF_TABLES_IPV6), nft_chain_nat and nft_nat (CONFIG_NFT_NAT), nft_ct (CONFIG_NFT_CT), \
    nft_fib_ipv4 and nft_fib_ipv6 (CONFIG_NFT_FIB_IPV4, CONFIG_NFT_FIB_IPV6), \
    nft_masq (CONFIG_NFT_MASQ), nft_numgen (CONFIG_NFT_NUMGEN), nft_reject_ipv4 and \
    nft_reject_ipv6 (CONFIG_NFT_REJECT)";

/// What there is to work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// The kernel's release, as `uname -r` prints it.
    pub release: String,
    /// What the release begins with, if it begins as a version does.
    pub version: Option<KernelVersion>,
    /// IPv6 is in the kernel and not switched off for this network namespace.
    pub ipv6: bool,
    /// This process may change the network (`CAP_NET_ADMIN`, capabilities(7)).
    pub net_admin: bool,
    /// nf_tables answers.
    pub nf_tables: Result<(), NoNfTables>,
}

impl Features {
    /// Asks the kernel, in the network namespace of the calling thread.
    pub fn probe(sysctls: &impl Sysctls) -> Self {
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self {
            version: KernelVersion::parse(&release),
            release,
            ipv6: ipv6_is_usable(sysctls),
            net_admin: has_capability(&status, CAP_NET_ADMIN),
            nf_tables: nf_tables_answers(),
        }
    }
}

/// Why nf_tables cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoNfTables {
    /// The kernel speaks no netlink for netfilter at all.
    #[error(
        "{0}: this kernel has no netfilter over netlink; it needs CONFIG_NETFILTER_NETLINK \
         (`modprobe nfnetlink`)"
    )]
    NoNetfilter(CallError),
    /// The kernel has no nf_tables.
    #[error("{0}: this kernel has no nf_tables; it needs the modules {NF_TABLES_MODULES}")]
    NoNfTables(CallError),
    /// This process may not use it.
    #[error("{0}: needs CAP_NET_ADMIN in the user namespace that owns the network namespace")]
    NotPermitted(CallError),
    /// Something else.
    #[error(transparent)]
    Call(CallError),
}

/// The first two numbers of a kernel's release, which is what features are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The 5 of 5.13.
    pub major: u32,
    /// The 13 of 5.13.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads the beginning of a release, such as `6.1.0-13-amd64` or `6.18-rc1`.
    pub fn parse(release: &str) -> Option<Self> {
        let (major, rest) = release.split_once('.')?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        Some(Self {
            major: major.parse().ok()?,
            minor: rest[..end].parse().ok()?,
        })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

fn ipv6_is_usable(sysctls: &impl Sysctls) -> bool {
    // What cannot be read was not switched off, as kube-proxy sees it.
    let is_off = sysctls
        .read("net/ipv6/conf/all/disable_ipv6")
        .is_ok_and(|value| value == "1");
    // `/proc/net` is the namespace of the process's first thread, not of this one.
    !is_off && Path::new("/proc/thread-self/net/if_inet6").exists()
}

/// `CAP_NET_ADMIN` (linux/capability.h).
const CAP_NET_ADMIN: u32 = 12;

/// Reads the effective capabilities of a `/proc/PID/status` (proc_pid_status(5)).
fn has_capability(status: &str, capability: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << capability) != 0)
}

/// Asks for the ruleset's generation, which every nf_tables has and which loads the module.
fn nf_tables_answers() -> Result<(), NoNfTables> {
    let mut socket = Socket::open(Protocol::Netfilter).map_err(refusal_of_socket)?;
    let request = Request {
        kind: (libc::NFNL_SUBSYS_NFTABLES << 8 | libc::NFT_MSG_GETGEN) as u16,
        flags: 0,
        call: "NFT_MSG_GETGEN",
        object: "nf_tables",
    };
    let nfgenmsg = [libc::AF_UNSPEC as u8, libc::NFNETLINK_V0 as u8, 0, 0];
    socket
        .request(&request, |body| body.raw(&nfgenmsg))
        .map_err(refusal_of_request)
}

fn refusal_of_socket(error: CallError) -> NoNfTables {
    match error.errno {
        libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT => NoNfTables::NoNetfilter(error),
        _ => NoNfTables::Call(error),
    }
}

fn refusal_of_request(error: CallError) -> NoNfTables {
    match error.errno {
        // `nfnetlink_rcv_msg` says so for a subsystem that nothing registered.
        libc::EINVAL | libc::EOPNOTSUPP => NoNfTables::NoNfTables(error),
        libc::EPERM => NoNfTables::NotPermitted(error),
        _ => NoNfTables::Call(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_begin_with_a_version() {
        for (release, version) in [
            ("5.13", Some((5, 13))),
            ("6.1.0-13-amd64", Some((6, 1))),
            ("6.18-rc1", Some((6, 18))),
            ("5.15.167.4-microsoft-standard-WSL2", Some((5, 15))),
            ("4.18.0-553.el8_10.x86_64", Some((4, 18))),
            ("6", None),
            ("six.one", None),
            ("6.", None),
            ("", None),
            ("99999999999.1", None),
        ] {
            let expected = version.map(|(major, minor)| KernelVersion { major, minor });
            assert_eq!(KernelVersion::parse(release), expected, "{release}");
        }
    }

    #[test]
    fn versions_are_ordered_by_number_not_by_text() {
        let older = KernelVersion::parse("5.4.0").unwrap();
        assert!(older < NFTABLES_MINIMUM, "{older}");
        assert!(KernelVersion::parse("6.1.0").unwrap() > NFTABLES_MINIMUM);
    }

    #[test]
    fn capabilities_are_read_from_the_effective_set() {
        let status = "Name:\tx\nCapPrm:\t0000000000001000\nCapEff:\t0000000000002000\n";
        assert!(!has_capability(status, CAP_NET_ADMIN));
        assert!(has_capability(
            &status.replace("2000", "1000"),
            CAP_NET_ADMIN
        ));
        assert!(!has_capability("", CAP_NET_ADMIN));
        assert!(!has_capability("CapEff:\tnonsense", CAP_NET_ADMIN));
    }

    #[test]
    fn a_refusal_says_what_the_kernel_lacks() {
        let error = |errno| CallError {
            call: "c",
            object: "o".into(),
            errno,
        };
        let said = refusal_of_request(error(libc::EINVAL)).to_string();
        assert!(said.contains("nft_numgen (CONFIG_NFT_NUMGEN)"), "{said}");
        let said = refusal_of_socket(error(libc::EPROTONOSUPPORT)).to_string();
        assert!(said.contains("CONFIG_NETFILTER_NETLINK"), "{said}");
        let said = refusal_of_request(error(libc::EPERM)).to_string();
        assert!(said.contains("CAP_NET_ADMIN"), "{said}");
    }
}

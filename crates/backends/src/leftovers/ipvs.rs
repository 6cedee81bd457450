//! What ipvs mode left, kube-proxy's or ours: sets that its rules looked into, virtual servers, and
//! the device that has their addresses.

use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use fairlead_kernel::error::CallError;
use fairlead_kernel::ipset::{Destroyed, Ipset};
use fairlead_kernel::ipvs::handle::{Ipvs, Op};

use super::LeftoversError;

/// The sets of kube-proxy's ipvs mode, without what their names begin with.
const SETS: [&str; 17] = [
    "LOOP-BACK",
    "CLUSTER-IP",
    "EXTERNAL-IP",
    "EXTERNAL-IP-LOCAL",
    "LOAD-BALANCER",
    "LOAD-BALANCER-FW",
    "LOAD-BALANCER-LOCAL",
    "LOAD-BALANCER-SOURCE-IP",
    "LOAD-BALANCER-SOURCE-CIDR",
    "NODE-PORT-TCP",
    "NODE-PORT-LOCAL-TCP",
    "NODE-PORT-UDP",
    "NODE-PORT-LOCAL-UDP",
    "NODE-PORT-SCTP-HASH",
    "NODE-PORT-LOCAL-SCTP-HASH",
    "HEALTH-CHECK-NODE-PORT",
    "IPVS-IPS",
];

/// What their names begin with, in each IP family.
const FAMILIES: [&str; 2] = ["KUBE-", "KUBE-6-"];

/// Longer names are cut (`IPSET_MAXNAMELEN`, with the zero at the end).
const LONGEST: usize = 31;

/// How long the kernel may hold on to a set after the last rule went: nf_tables takes its rules
/// apart some time after the transaction (`nf_tables_trans_destroy_work`).
const PATIENCE: Duration = Duration::from_secs(2);

/// How long to wait before a set is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// Destroys kube-proxy's sets. False if there are none.
pub(super) fn destroy_sets(sets: &mut Ipset) -> Result<bool, LeftoversError> {
    let mut left = sets.names()?;
    left.retain(|name| is_kube_proxys(name));
    if left.is_empty() {
        return Ok(false);
    }
    let until = Instant::now() + PATIENCE;
    loop {
        left = still_in_use(sets, left)?;
        if left.is_empty() {
            return Ok(true);
        }
        if Instant::now() >= until {
            return Err(LeftoversError::SetsInUse(left.join(", ")));
        }
        thread::sleep(PAUSE);
    }
}

/// Destroys those that can be, and returns the others.
fn still_in_use(sets: &mut Ipset, names: Vec<String>) -> Result<Vec<String>, CallError> {
    let mut left = Vec::new();
    for name in names {
        if sets.destroy(&name)? == Destroyed::InUse {
            left.push(name);
        }
    }
    Ok(left)
}

fn is_kube_proxys(name: &str) -> bool {
    SETS.iter().any(|set| {
        let of_family = |family: &&str| {
            let mut whole = format!("{family}{set}");
            whole.truncate(LONGEST);
            whole == name
        };
        FAMILIES.iter().any(of_family)
    })
}

/// Removes all virtual servers but those with addresses in networks that are others'. False if
/// there are none.
pub(super) fn remove_servers(
    ipvs: &mut impl Ipvs,
    others: &[IpNet],
) -> Result<bool, LeftoversError> {
    let ops = removals(ipvs, others)?;
    if ops.is_empty() {
        return Ok(false);
    }
    let refused = ipvs.apply(&ops)?.refused;
    // What somebody else removed meanwhile was refused too.
    let left = match refused.is_empty() {
        true => 0,
        false => removals(ipvs, others)?.len(),
    };
    match refused.first().filter(|_| left > 0) {
        None => Ok(true),
        Some(first) => Err(LeftoversError::Servers {
            left,
            first: CallError {
                call: "IPVS",
                object: ops[first.op].to_string(),
                errno: first.errno,
            },
        }),
    }
}

fn removals(ipvs: &mut impl Ipvs, others: &[IpNet]) -> Result<Vec<Op>, CallError> {
    let is_others = |address| others.iter().any(|net| net.contains(&address));
    let servers = ipvs.servers()?.into_iter().map(|server| server.address);
    Ok(servers
        .filter(|server| !is_others(server.address))
        .map(Op::RemoveServer)
        .collect())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use fairlead_kernel::ipvs::fake::FakeIpvs;
    use fairlead_kernel::ipvs::handle::{Applied, Refusal};
    use fairlead_kernel::ipvs::server::{
        Flags, ObservedReal, Protocol, RealServer, SchedulerName, Timeouts, VirtualAddress,
        VirtualServer,
    };

    use super::*;

    const ADDRESSES: [&str; 4] = ["10.96.0.1", "10.96.0.2", "192.0.2.10", "fd00::1"];

    fn with_servers() -> FakeIpvs {
        let mut ipvs = FakeIpvs::new();
        let ops = ADDRESSES.map(|address| {
            Op::AddServer(VirtualServer {
                address: server(address),
                scheduler: SchedulerName::new("rr").unwrap(),
                flags: Flags::default(),
                persistence: None,
            })
        });
        let real = RealServer {
            address: SocketAddr::from(([10, 244, 0, 1], 80)),
            weight: 1,
        };
        let ops = [&ops[..], &[Op::AddReal(server(ADDRESSES[0]), real)]].concat();
        assert_eq!(ipvs.apply(&ops).unwrap().refused, []);
        ipvs
    }

    fn server(address: &str) -> VirtualAddress {
        VirtualAddress {
            address: address.parse().unwrap(),
            protocol: Protocol::Tcp,
            port: 80,
        }
    }

    fn left(ipvs: &mut FakeIpvs) -> Vec<IpAddr> {
        let servers = ipvs.servers().unwrap().into_iter();
        let mut left: Vec<_> = servers.map(|server| server.address.address).collect();
        left.sort();
        left
    }

    #[test]
    fn all_servers_go_but_others() {
        let mut ipvs = with_servers();
        let others = ["192.0.2.0/24", "fd00::/64"].map(|net: &str| net.parse().unwrap());
        assert!(remove_servers(&mut ipvs, &others).unwrap());
        let expected: [IpAddr; 2] = ["192.0.2.10", "fd00::1"].map(|ip| ip.parse().unwrap());
        assert_eq!(left(&mut ipvs), expected);
        assert!(!remove_servers(&mut ipvs, &others).unwrap());
        assert!(remove_servers(&mut ipvs, &[]).unwrap());
        assert_eq!(left(&mut ipvs), [] as [IpAddr; 0]);
    }

    /// Refuses the first removal; someone else has the server gone, or not.
    struct Refusing {
        ipvs: FakeIpvs,
        gone: bool,
    }

    impl Ipvs for Refusing {
        fn apply(&mut self, ops: &[Op]) -> Result<Applied, CallError> {
            let rest = if self.gone { ops } else { &ops[1..] };
            let mut applied = self.ipvs.apply(rest)?;
            applied.refused.push(Refusal { op: 0, errno: 16 });
            Ok(applied)
        }

        fn servers(&mut self) -> Result<Vec<VirtualServer>, CallError> {
            self.ipvs.servers()
        }

        fn reals(&mut self, of: VirtualAddress) -> Result<Vec<ObservedReal>, CallError> {
            self.ipvs.reals(of)
        }

        fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), CallError> {
            self.ipvs.set_timeouts(timeouts)
        }
    }

    #[test]
    fn a_server_that_stays_is_told_and_one_that_others_removed_is_not() {
        let refusing = |gone| Refusing {
            ipvs: with_servers(),
            gone,
        };
        assert!(remove_servers(&mut refusing(true), &[]).unwrap());
        let mut ipvs = refusing(false);
        let error = remove_servers(&mut ipvs, &[]).unwrap_err().to_string();
        assert!(error.starts_with("1 virtual servers are left"), "{error}");
        assert!(error.contains("remove TCP"), "{error}");
        assert_eq!(left(&mut ipvs.ipvs).len(), 1);
    }

    #[test]
    fn its_sets_are_known_by_their_whole_names() {
        for name in [
            "KUBE-LOOP-BACK",
            "KUBE-6-LOOP-BACK",
            "KUBE-LOAD-BALANCER-SOURCE-CIDR",
            "KUBE-6-LOAD-BALANCER-SOURCE-CID",
            "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
            "KUBE-6-NODE-PORT-LOCAL-SCTP-HAS",
            "KUBE-6-IPVS-IPS",
        ] {
            assert!(is_kube_proxys(name), "{name}");
        }
        for name in [
            "KUBE-6-LOAD-BALANCER-SOURCE-CIDR",
            "KUBE-CLUSTER-IP-2",
            "KUBE-",
            "LOOP-BACK",
            "cali40all-ipam-pools",
        ] {
            assert!(!is_kube_proxys(name), "{name}");
        }
    }
}

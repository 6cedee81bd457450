//! IPVS in memory, as strict as the kernel's (net/netfilter/ipvs/ip_vs_ctl.c).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::handle::{Applied, Ipvs, Op, Refusal};
use super::server::{
    Flags, ObservedReal, RealServer, SchedulerName, Timeouts, VirtualAddress, VirtualServer,
};
use super::text;
use crate::error::CallError;

/// What the kernel's sources have.
const SCHEDULERS: [&str; 13] = [
    "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf",
];

/// The longest timeout in seconds where the kernel counts 250 times in one (`CONFIG_HZ`).
const LONGEST: u32 = i32::MAX.cast_unsigned() / 250;

/// The flags that IPVS has for itself: persistent and hashed.
const OWN_FLAGS: u32 = 0x3;

/// Virtual servers in memory.
#[derive(Debug, Clone)]
pub struct FakeIpvs {
    servers: BTreeMap<VirtualAddress, (VirtualServer, Vec<ObservedReal>)>,
    schedulers: Vec<SchedulerName>,
    timeouts: Timeouts,
}

impl FakeIpvs {
    /// Nothing, with all schedulers that there are.
    pub fn new() -> FakeIpvs {
        FakeIpvs::with_schedulers(&SCHEDULERS)
    }

    /// Nothing, with these schedulers. Names that cannot be are left out.
    pub fn with_schedulers(names: &[&str]) -> FakeIpvs {
        FakeIpvs {
            servers: BTreeMap::new(),
            schedulers: names
                .iter()
                .copied()
                .filter_map(SchedulerName::new)
                .collect(),
            // ip_vs_proto_tcp.c, ip_vs_proto_udp.c
            timeouts: Timeouts {
                tcp: 15 * 60,
                tcp_fin: 2 * 60,
                udp: 5 * 60,
            },
        }
    }

    /// Sets how many connections a real server has. Says whether there is such a real server.
    pub fn set_connections(
        &mut self,
        of: VirtualAddress,
        real: SocketAddr,
        active: u32,
        inactive: u32,
    ) -> bool {
        let found = self.servers.get_mut(&of).and_then(|(_, reals)| {
            let mut reals = reals.iter_mut();
            reals.find(|found| found.server.address == real)
        });
        let Some(found) = found else { return false };
        (found.active, found.inactive) = (active, inactive);
        true
    }

    /// How long connections are remembered now.
    pub fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    /// All that there is, as `ipvsadm -Sn` prints it, in the order of addresses.
    pub fn saved(&self) -> String {
        let mut all = Vec::new();
        for (server, reals) in self.servers.values() {
            let mut reals: Vec<RealServer> = reals.iter().map(|real| real.server).collect();
            reals.sort_by_key(|real| real.address);
            all.push((server, reals));
        }
        text::saved(all.iter().map(|(server, reals)| (*server, &reals[..])))
    }

    fn carry_out(&mut self, op: &Op) -> Result<(), i32> {
        // The kernel looks for the virtual server before anything else.
        let is_there = self.servers.contains_key(&op.server());
        match op {
            Op::AddServer(_) if is_there => return Err(libc::EEXIST),
            Op::AddServer(_) => {}
            _ if !is_there => return Err(libc::ESRCH),
            _ => {}
        }
        match op {
            Op::AddServer(server) => {
                let server = self.accept(server)?;
                self.servers.insert(server.address, (server, Vec::new()));
            }
            Op::EditServer(server) => {
                let server = self.accept(server)?;
                if let Some((found, _)) = self.servers.get_mut(&server.address) {
                    *found = server;
                }
            }
            Op::RemoveServer(of) => {
                self.servers.remove(of);
            }
            Op::AddReal(of, real) => self.add_real(*of, *real)?,
            Op::EditReal(of, real) => self.edit_real(*of, *real)?,
            Op::RemoveReal(of, real) => self.remove_real(*of, *real)?,
        }
        Ok(())
    }

    /// The virtual server as it will be found, if the kernel has its scheduler.
    fn accept(&self, server: &VirtualServer) -> Result<VirtualServer, i32> {
        match self.schedulers.contains(&server.scheduler) {
            true => Ok(VirtualServer {
                flags: Flags(server.flags.0 & !OWN_FLAGS),
                ..*server
            }),
            false => Err(libc::ENOENT),
        }
    }

    fn add_real(&mut self, of: VirtualAddress, server: RealServer) -> Result<(), i32> {
        check(of, server)?;
        let reals = self.reals_of(of)?;
        if reals
            .iter()
            .any(|real| real.server.address == server.address)
        {
            return Err(libc::EEXIST);
        }
        if !is_one_host(server.address.ip()) {
            return Err(libc::EINVAL);
        }
        reals.push(ObservedReal {
            server,
            translated: true,
            active: 0,
            inactive: 0,
        });
        Ok(())
    }

    fn edit_real(&mut self, of: VirtualAddress, server: RealServer) -> Result<(), i32> {
        check(of, server)?;
        let place = self.place(of, server.address)?;
        self.reals_of(of)?[place].server = server;
        Ok(())
    }

    fn remove_real(&mut self, of: VirtualAddress, real: SocketAddr) -> Result<(), i32> {
        let place = self.place(of, real)?;
        self.reals_of(of)?.remove(place);
        Ok(())
    }

    fn place(&mut self, of: VirtualAddress, address: SocketAddr) -> Result<usize, i32> {
        let mut reals = self.reals_of(of)?.iter();
        reals
            .position(|real| real.server.address == address)
            .ok_or(libc::ENOENT)
    }

    fn reals_of(&mut self, of: VirtualAddress) -> Result<&mut Vec<ObservedReal>, i32> {
        let found = self.servers.get_mut(&of).map(|(_, reals)| reals);
        found.ok_or(libc::ESRCH)
    }
}

impl Default for FakeIpvs {
    fn default() -> FakeIpvs {
        FakeIpvs::new()
    }
}

impl Ipvs for FakeIpvs {
    fn apply(&mut self, ops: &[Op]) -> Result<Applied, CallError> {
        let mut applied = Applied {
            messages: ops.len(),
            ..Applied::default()
        };
        for (op, operation) in ops.iter().enumerate() {
            let refused = self.carry_out(operation).err();
            let refused = refused.map(|errno| Refusal { op, errno });
            applied.refused.extend(refused);
        }
        Ok(applied)
    }

    fn servers(&mut self) -> Result<Vec<VirtualServer>, CallError> {
        Ok(self.servers.values().map(|(server, _)| *server).collect())
    }

    fn reals(&mut self, of: VirtualAddress) -> Result<Vec<ObservedReal>, CallError> {
        let found = self.servers.get(&of).map(|(_, reals)| reals.clone());
        Ok(found.unwrap_or_default())
    }

    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), CallError> {
        let Timeouts { tcp, tcp_fin, udp } = timeouts;
        if [tcp, tcp_fin, udp]
            .into_iter()
            .any(|wanted| wanted > LONGEST)
        {
            return Err(CallError {
                call: "IPVS_CMD_SET_CONFIG",
                object: "a fake".to_owned(),
                errno: libc::EINVAL,
            });
        }
        let set = |found: &mut u32, wanted: u32| {
            if wanted > 0 {
                *found = wanted;
            }
        };
        set(&mut self.timeouts.tcp, tcp);
        set(&mut self.timeouts.tcp_fin, tcp_fin);
        set(&mut self.timeouts.udp, udp);
        Ok(())
    }
}

/// What the kernel looks at before it looks for the real server.
fn check(of: VirtualAddress, real: RealServer) -> Result<(), i32> {
    // Only a tunnel leads from one family into the other.
    if of.address.is_ipv4() != real.address.is_ipv4() {
        return Err(libc::EINVAL);
    }
    // The kernel's weights have a sign.
    match i32::try_from(real.weight) {
        Ok(_) => Ok(()),
        Err(_) => Err(libc::ERANGE),
    }
}

/// Whether a new real server may have this address (`ip_vs_new_dest`). The kernel refuses the
/// node's broadcast addresses too, and takes a link-local one that is the node's own.
fn is_one_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let broadcast = address.is_unspecified() || address.is_broadcast();
            !broadcast && !address.is_multicast()
        }
        IpAddr::V6(address) => {
            let none = address == Ipv6Addr::UNSPECIFIED || address.to_ipv4_mapped().is_some();
            !none && !address.is_multicast() && !address.is_unicast_link_local()
        }
    }
}

//! Virtual and real servers as ipvsadm(8) writes them: `ipvsadm -Sn` prints this, `ipvsadm -R`
//! reads it.

use std::fmt::Write;
use std::net::SocketAddr;

use super::handle::Op;
use super::server::{Flags, Protocol, RealServer, VirtualAddress, VirtualServer};

/// The scheduler's flags by place (`IP_VS_SVC_F_SCHED1` to `IP_VS_SVC_F_SCHED3`).
const SCHEDULER_FLAGS: [Flags; 3] = [Flags::FALLBACK, Flags::PORT, Flags(0x20)];

/// `IP_VS_SVC_F_ONEPACKET`: a datagram is a connection.
const ONE_PACKET: u32 = 0x4;

/// Operations, a line each. `ipvsadm -R` carries them out.
pub fn script(ops: &[Op]) -> String {
    let mut text = String::new();
    for op in ops {
        let line = match op {
            Op::AddServer(server) => whole_server("-A", server),
            Op::EditServer(server) => whole_server("-E", server),
            Op::RemoveServer(of) => format!("-D {}", server_address(*of)),
            Op::AddReal(of, real) => whole_real("-a", *of, real),
            Op::EditReal(of, real) => whole_real("-e", *of, real),
            Op::RemoveReal(of, real) => {
                format!("-d {} -r {}", server_address(*of), real_address(*real))
            }
        };
        text += &line;
        text.push('\n');
    }
    text
}

/// Virtual servers with their real servers, in the order given, as `ipvsadm -Sn` prints them.
pub fn saved<'a>(
    servers: impl IntoIterator<Item = (&'a VirtualServer, &'a [RealServer])>,
) -> String {
    let mut ops = Vec::new();
    for (server, reals) in servers {
        ops.push(Op::AddServer(*server));
        let reals = reals.iter();
        ops.extend(reals.map(|real| Op::AddReal(server.address, *real)));
    }
    script(&ops)
}

fn whole_server(command: &str, server: &VirtualServer) -> String {
    let (address, scheduler) = (server_address(server.address), server.scheduler);
    let mut line = format!("{command} {address} -s {scheduler}");
    if let Some(seconds) = server.persistence {
        let _ = write!(line, " -p {seconds}");
    }
    if server.flags.0 & ONE_PACKET != 0 {
        line += " -o";
    }
    let flags = scheduler_flags(server);
    if !flags.is_empty() {
        let _ = write!(line, " -b {}", flags.join(","));
    }
    line
}

fn scheduler_flags(server: &VirtualServer) -> Vec<&'static str> {
    // Those that have names for some have no other.
    let names: &[&str] = match server.scheduler.as_str() {
        "sh" => &["sh-fallback", "sh-port"],
        "mh" => &["mh-fallback", "mh-port"],
        _ => &["flag-1", "flag-2", "flag-3"],
    };
    let flags = SCHEDULER_FLAGS.into_iter().zip(names);
    flags
        .filter(|(flag, _)| server.flags.0 & flag.0 != 0)
        .map(|(_, name)| *name)
        .collect()
}

fn whole_real(command: &str, of: VirtualAddress, real: &RealServer) -> String {
    let (of, address, weight) = (server_address(of), real_address(real.address), real.weight);
    format!("{command} {of} -r {address} -m -w {weight}")
}

fn server_address(of: VirtualAddress) -> String {
    let option = match of.protocol {
        Protocol::Tcp => "-t",
        Protocol::Udp => "-u",
        Protocol::Sctp => "--sctp-service",
    };
    format!(
        "{option} {}",
        real_address(SocketAddr::new(of.address, of.port))
    )
}

fn real_address(address: SocketAddr) -> String {
    address.to_string()
}

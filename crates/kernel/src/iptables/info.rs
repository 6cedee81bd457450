//! How large a legacy table is, without reading it: a question of microseconds.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::ruleset::{Family, Table};
use crate::error::CallError;

/// `IPT_SO_GET_INFO` and `IP6T_SO_GET_INFO` (linux/netfilter_ipv4/ip_tables.h,
/// linux/netfilter_ipv6/ip6_tables.h), which are the same number.
const GET_INFO: libc::c_int = 64;

/// `XT_TABLE_MAXNAMELEN` (linux/netfilter/x_tables.h).
const TABLE_NAME: usize = 32;

/// `struct ipt_getinfo`, which is also `struct ip6t_getinfo`.
#[repr(C)]
struct GetInfo {
    name: [u8; TABLE_NAME],
    valid_hooks: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    num_entries: u32,
    size: u32,
}

/// How large a legacy table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TableSize {
    /// Rules; beside them one entry for each built-in chain, two for every other, and one for
    /// the end.
    pub entries: u32,
    /// Their size in bytes.
    pub bytes: u32,
}

impl TableSize {
    /// Entries of a table in which there is nothing but the built-in chains.
    pub fn empty(table: Table) -> u32 {
        table.built_in().len() as u32 + 1
    }
}

/// A socket to the legacy tables of one family in the network namespace it was opened in.
#[derive(Debug)]
pub struct TableInfo {
    fd: OwnedFd,
    family: Family,
}

impl TableInfo {
    /// Opens a socket; it needs no rights until it is asked something.
    pub fn open(family: Family) -> Result<TableInfo, CallError> {
        let domain = match family {
            Family::Ip => AddressFamily::INET,
            Family::Ip6 => AddressFamily::INET6,
        };
        // Netfilter answers on sockets of any type; iptables uses a raw one, which needs
        // CAP_NET_RAW.
        let fd = rustix::net::socket_with(domain, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
            .map_err(|errno| CallError::from_io("socket", "legacy tables", &errno.into()))?;
        Ok(TableInfo { fd, family })
    }

    /// How large a table is; `None` when the kernel does not have it. It makes the kernel
    /// register the table if it can, so ask [`registered`] first. Needs `CAP_NET_ADMIN`.
    #[allow(unsafe_code)]
    pub fn size(&self, table: Table) -> Result<Option<TableSize>, CallError> {
        let mut info = GetInfo {
            name: [0; TABLE_NAME],
            valid_hooks: 0,
            hook_entry: [0; 5],
            underflow: [0; 5],
            num_entries: 0,
            size: 0,
        };
        for (to, from) in info.name.iter_mut().zip(table.name().bytes()) {
            *to = from;
        }
        let level = match self.family {
            Family::Ip => libc::SOL_IP,
            Family::Ip6 => libc::SOL_IPV6,
        };
        let mut length = size_of::<GetInfo>() as libc::socklen_t;
        let (fd, place) = (self.fd.as_raw_fd(), (&raw mut info).cast());
        // SAFETY: `place` points to a value of `length` bytes that lives until the end of this
        // function and whose fields may hold any bits.
        let result = unsafe { libc::getsockopt(fd, level, GET_INFO, place, &raw mut length) };
        if result == 0 {
            return Ok(Some(TableSize {
                entries: info.num_entries,
                bytes: info.size,
            }));
        }
        let error = CallError::last("getsockopt IPT_SO_GET_INFO", table.name());
        match error.errno {
            libc::ENOENT | libc::ENOPROTOOPT => Ok(None),
            _ => Err(error),
        }
    }
}

/// Whether the legacy variant of a table is in use in the network namespace of the calling
/// thread: the kernel lists tables that somebody asked for.
pub fn registered(family: Family, table: Table) -> Result<bool, CallError> {
    let path = match family {
        Family::Ip => "/proc/thread-self/net/ip_tables_names",
        Family::Ip6 => "/proc/thread-self/net/ip6_tables_names",
    };
    match fs::read_to_string(path) {
        Ok(names) => Ok(names.lines().any(|name| name == table.name())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CallError::from_io("read", path, &error)),
    }
}

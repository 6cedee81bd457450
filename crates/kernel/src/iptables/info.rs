//! What the kernel itself says of the legacy tables: how large one is, which takes microseconds,
//! and which chains it has.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::ruleset::{Family, Table};
use crate::error::CallError;
use crate::netlink::u32_at;

/// `IPT_SO_GET_INFO` and `IP6T_SO_GET_INFO` (linux/netfilter_ipv4/ip_tables.h,
/// linux/netfilter_ipv6/ip6_tables.h), which are the same number.
const GET_INFO: Question = (64, "getsockopt IPT_SO_GET_INFO");

/// `IPT_SO_GET_ENTRIES` and `IP6T_SO_GET_ENTRIES`.
const GET_ENTRIES: Question = (65, "getsockopt IPT_SO_GET_ENTRIES");

/// `IPT_SO_GET_REVISION_MATCH` and `IP6T_SO_GET_REVISION_MATCH`, which are not.
const GET_REVISION: [libc::c_int; 2] = [66, 68];

/// `struct xt_get_revision`: a name of `XT_EXTENSION_MAXNAMELEN` bytes and a number.
const REVISION: usize = 29 + 1;

type Question = (libc::c_int, &'static str);

/// `XT_TABLE_MAXNAMELEN` (linux/netfilter/x_tables.h), which every question begins with.
const TABLE_NAME: usize = 32;

/// `struct ipt_getinfo`: the name, eleven numbers about hooks, the entries and their size.
const INFO: usize = TABLE_NAME + 13 * size_of::<u32>();

/// `struct ipt_get_entries`: the name, the size, and the entries, which hold 64-bit numbers.
const ENTRIES: usize = (TABLE_NAME + size_of::<u32>()).next_multiple_of(align_of::<u64>());

/// How often a table that others change meanwhile is asked for anew before it is given up.
const ATTEMPTS: usize = 10;

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
    pub fn size(&self, table: Table) -> Result<Option<TableSize>, CallError> {
        let mut answer = [0; INFO];
        match self.ask(GET_INFO, table.name(), &mut answer) {
            Ok(()) => Ok(size_in(&answer)),
            Err(error) if [libc::ENOENT, libc::ENOPROTOOPT].contains(&error.errno) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The chains of a table that are not built in; none when the kernel does not have it. Reads
    /// all of the table, some hundred bytes a rule. Registers it as [`TableInfo::size`] does.
    ///
    /// # Errors
    /// `EAGAIN` when the table was changed again and again meanwhile.
    pub fn chains(&self, table: Table) -> Result<Vec<String>, CallError> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let Some(size) = self.size(table)? else {
                return Ok(Vec::new());
            };
            let mut answer = vec![0; ENTRIES + size.bytes as usize];
            answer[TABLE_NAME..TABLE_NAME + 4].copy_from_slice(&size.bytes.to_ne_bytes());
            match self.ask(GET_ENTRIES, table.name(), &mut answer) {
                Ok(()) => return Ok(chains_in(&answer[ENTRIES..], self.family)),
                // The table has another size now.
                Err(error) if error.errno == libc::EAGAIN && attempts < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether rules can have a match of this name; the kernel loads it if it can. Needs
    /// `CAP_NET_ADMIN`.
    pub fn has_match(&self, name: &str) -> Result<bool, CallError> {
        let option = match self.family {
            Family::Ip => GET_REVISION[0],
            Family::Ip6 => GET_REVISION[1],
        };
        let question = (option, "getsockopt IPT_SO_GET_REVISION_MATCH");
        match self.ask(question, name, &mut [0; REVISION]) {
            Ok(()) => Ok(true),
            // There is none, or not the first revision of it.
            Err(error) if [libc::ENOENT, libc::EPROTONOSUPPORT].contains(&error.errno) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Asks about what has a name; what is to be known beside it stands in `answer` already.
    #[allow(unsafe_code)]
    fn ask(
        &self,
        (option, call): Question,
        name: &str,
        answer: &mut [u8],
    ) -> Result<(), CallError> {
        for (to, from) in answer.iter_mut().zip(name.bytes()) {
            *to = from;
        }
        let level = match self.family {
            Family::Ip => libc::SOL_IP,
            Family::Ip6 => libc::SOL_IPV6,
        };
        let mut length = answer.len() as libc::socklen_t;
        let (fd, place) = (self.fd.as_raw_fd(), answer.as_mut_ptr().cast());
        // SAFETY: `place` points to `length` bytes that live until the end of this function and
        // may be anything.
        let result = unsafe { libc::getsockopt(fd, level, option, place, &raw mut length) };
        if result < 0 {
            return Err(CallError::last(call, name));
        }
        Ok(())
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

fn size_in(info: &[u8]) -> Option<TableSize> {
    Some(TableSize {
        entries: u32_at(info, INFO - 8)?,
        bytes: u32_at(info, INFO - 4)?,
    })
}

/// The names in the entries that begin a chain (`struct xt_error_target`): their target is called
/// `ERROR`, and so is the table's end.
fn chains_in(mut entries: &[u8], family: Family) -> Vec<String> {
    // Where `struct ipt_entry` or `struct ip6t_entry` has `target_offset` and `next_offset`.
    let offsets = match family {
        Family::Ip => 88,
        Family::Ip6 => 140,
    };
    let mut names = Vec::new();
    while let Some(both) = u32_at(entries, offsets) {
        let [a, b, c, d] = both.to_ne_bytes();
        let target = usize::from(u16::from_ne_bytes([a, b]));
        let next = usize::from(u16::from_ne_bytes([c, d]));
        let text = |at: usize| {
            let bytes = entries
                .get(target + at..)?
                .split(|byte| *byte == 0)
                .next()?;
            std::str::from_utf8(bytes).ok()
        };
        if text(2) == Some("ERROR") {
            names.extend(text(32).filter(|name| *name != "ERROR").map(str::to_owned));
        }
        if next == 0 {
            break;
        }
        entries = entries.get(next..).unwrap_or_default();
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_entries_are_read_without_panic(
            bytes in proptest::collection::vec(0..8_u8, 0..600),
            six in any::<bool>(),
        ) {
            let family = if six { Family::Ip6 } else { Family::Ip };
            prop_assert!(chains_in(&bytes, family).len() <= bytes.len());
        }
    }
}

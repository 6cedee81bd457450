//! Which of the two iptables a node uses.
//!
//! Rules of both are followed by the kernel, one variant's after the other's, so everybody on a
//! node had better write to the same one. Who comes into a node looks at what is there already,
//! as the images of Kubernetes do: kubelet leaves a chain in the variant that the node uses.

use super::info::{TableInfo, TableSize, registered};
use super::legacy::tools::is_what_iptables_is;
use super::nft::has_extensions;
use super::ruleset::{Family, Table};
use crate::error::CallError;
use crate::netlink::{Message, Request};
use crate::nft::observe::{is_of, name_table, request};
use crate::nft::ruleset::TableId;
use crate::nft::socket::NftSocket;
use crate::nft::wire;

/// One of the two iptables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Variant {
    /// A dialect of nf_tables: [`super::nft`].
    Nft,
    /// The older one: [`super::legacy`].
    Legacy,
}

/// What is known of both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The kernel has nf_tables, and iptables' extensions for it.
    pub nf_tables: bool,
    /// What nf_tables holds in tables that have iptables' names.
    pub nft: Held,
    /// What the legacy tables hold.
    pub legacy: Held,
    /// The program `iptables` is of the legacy variant here.
    pub program_is_legacy: bool,
}

/// What a variant holds, in both families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// Kubelet's chains are here.
    pub kubelet: bool,
    /// How many rules there are; a chain that is not built in counts as two, as it does in the
    /// legacy tables themselves.
    pub things: usize,
}

/// Chains that kubelet makes in the mangle table of the variant that it uses: the first for this
/// purpose, the other to notice when all is flushed.
const KUBELET: [&str; 2] = ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"];

const FAMILIES: [Family; 2] = [Family::Ip, Family::Ip6];

impl Variant {
    /// Its name in what `iptables --version` says.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Nft => "nf_tables",
            Variant::Legacy => "legacy",
        }
    }

    /// The one to use: where kubelet is, or else where there is more, or else what `iptables` is on
    /// this host, or else the newer one.
    pub fn choose(facts: &Facts) -> Variant {
        let Facts { nft, legacy, .. } = facts;
        let is_legacy = match (nft.kubelet, legacy.kubelet) {
            (true, _) => false,
            (false, true) => true,
            (false, false) if nft.things == legacy.things => facts.program_is_legacy,
            (false, false) => legacy.things > nft.things,
        };
        match is_legacy || !facts.nf_tables {
            true => Variant::Legacy,
            false => Variant::Nft,
        }
    }
}

impl Facts {
    /// Asks the kernel, in the network namespace of the calling thread. Runs nothing, and leaves
    /// legacy tables that are not in use unregistered.
    ///
    /// # Errors
    /// `EPERM` without `CAP_NET_ADMIN`.
    pub fn gather() -> Result<Facts, CallError> {
        let mut socket = NftSocket::open_if_known()?;
        let mut facts = Facts {
            nf_tables: match &mut socket {
                Some(socket) => has_extensions(socket)?,
                None => false,
            },
            program_is_legacy: is_what_iptables_is(),
            ..Facts::default()
        };
        for family in FAMILIES {
            for table in Table::ALL {
                if let Some(socket) = &mut socket {
                    facts.nft.add(nft(socket, family, table)?);
                }
                facts.legacy.add(legacy(family, table)?);
            }
        }
        Ok(facts)
    }
}

impl Held {
    fn add(&mut self, more: Held) {
        self.kubelet |= more.kubelet;
        self.things += more.things;
    }
}

fn is_kubelet(table: Table, chain: &str) -> bool {
    table == Table::Mangle && KUBELET.contains(&chain)
}

fn nft(socket: &mut NftSocket, family: Family, table: Table) -> Result<Held, CallError> {
    let name = table.name();
    let id = TableId { family, name };
    let mut held = Held::default();
    let chains = request(wire::NFT_MSG_GETCHAIN, "NFT_MSG_GETCHAIN", id);
    held.add(dump(socket, &chains, id, |held, message| {
        let name = message.attributes(wire::HEADER).find(wire::NFTA_CHAIN_NAME);
        let name = name.and_then(|name| name.str()).unwrap_or_default();
        held.kubelet |= is_kubelet(table, name);
        held.things += if table.built_in().contains(&name) {
            0
        } else {
            2
        };
    })?);
    let rules = request(wire::NFT_MSG_GETRULE, "NFT_MSG_GETRULE", id);
    held.add(dump(socket, &rules, id, |held, _| held.things += 1)?);
    Ok(held)
}

/// Reads things of a table, and no others; nothing when there is no such table.
fn dump(
    socket: &mut NftSocket,
    request: &Request<'_>,
    table: TableId,
    mut collect: impl FnMut(&mut Held, &Message<'_>),
) -> Result<Held, CallError> {
    let answer = socket.as_mut().dump(
        request,
        |body| name_table(body, table),
        |held: &mut Held, message| {
            if is_of(message, table) {
                collect(held, message);
            }
        },
    );
    match answer {
        Err(error) if error.errno == libc::ENOENT => Ok(Held::default()),
        answer => answer,
    }
}

fn legacy(family: Family, table: Table) -> Result<Held, CallError> {
    if !registered(family, table)? {
        return Ok(Held::default());
    }
    let info = TableInfo::open(family)?;
    let entries = info.size(table)?.unwrap_or_default().entries;
    // The chains of other tables are of no interest, and to read them takes long.
    let kubelet = table == Table::Mangle
        && info
            .chains(table)?
            .iter()
            .any(|chain| is_kubelet(table, chain));
    Ok(Held {
        kubelet,
        things: entries.saturating_sub(TableSize::empty(table)) as usize,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(kubelet: bool, things: usize) -> Held {
        Held { kubelet, things }
    }

    #[test]
    fn kubelet_counts_most_then_rules_then_what_the_kernel_has() {
        use Variant::{Legacy, Nft};
        let (nothing, some, many) = (held(false, 0), held(false, 3), held(false, 40));
        let kubelet = held(true, 2);
        for (nft, legacy, expected) in [
            (nothing, nothing, Nft),
            (some, nothing, Nft),
            (nothing, some, Legacy),
            (some, many, Legacy),
            (many, some, Nft),
            (some, some, Nft),
            (kubelet, nothing, Nft),
            (kubelet, many, Nft),
            (kubelet, kubelet, Nft),
            (many, kubelet, Legacy),
            (nothing, kubelet, Legacy),
        ] {
            let mut facts = Facts {
                nf_tables: true,
                nft,
                legacy,
                program_is_legacy: false,
            };
            assert_eq!(Variant::choose(&facts), expected, "{facts:?}");
            facts.program_is_legacy = true;
            let decides = !nft.kubelet && !legacy.kubelet && nft.things == legacy.things;
            let expected = if decides { Legacy } else { expected };
            assert_eq!(Variant::choose(&facts), expected, "{facts:?}");
            facts.nf_tables = false;
            assert_eq!(Variant::choose(&facts), Legacy, "{facts:?}");
        }
    }
}

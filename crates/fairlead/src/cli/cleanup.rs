//! `fairlead cleanup`.

use anyhow::{Context, ensure};

use fairlead_backends::engine::Engine;
use fairlead_backends::leftovers::Removal;
use fairlead_backends::nftables::Nftables;
use fairlead_core::address::Family;
use fairlead_kernel::nft::socket::NftSocket;

use super::print_out;
use crate::app;

/// Who set them, and what they were before, is not written anywhere.
const LEFT: &str = "kernel parameters that were set stay as they are: \
    net.ipv4.conf.all.route_localnet, net.netfilter.nf_conntrack_*";

/// Removes our tables and what kube-proxy left, and says what it found.
pub(super) fn run() -> anyhow::Result<()> {
    let socket = NftSocket::open_if_known()
        .context("cannot talk to nf_tables, which needs root or the capability CAP_NET_ADMIN")?;
    let engine = socket.map(|socket| Engine::new(Nftables, socket, &Family::BOTH));
    let ours = engine.map_or(Ok(false), |mut engine| engine.remove());
    let Removal { removed, failures } = app::remove_leftovers(None)?;
    let theirs = failures.into_iter();
    let mut failures: Vec<_> = theirs
        .map(|(place, error)| format!("{place}: {error}"))
        .collect();
    match ours {
        Ok(true) => print_out(&format!("removed fairlead's tables; {LEFT}\n"))?,
        Ok(false) => print_out("there is nothing of fairlead to remove\n")?,
        Err(error) => failures.push(format!("fairlead's tables: {error}")),
    }
    for place in removed {
        print_out(&format!("removed {place}\n"))?;
    }
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

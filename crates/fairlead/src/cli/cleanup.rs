//! `fairlead cleanup`.

use anyhow::Context;

use fairlead_backends::engine::Engine;
use fairlead_core::address::Family;
use fairlead_kernel::nft::socket::NftSocket;

use super::print_out;
use crate::app;

/// Who set them, and what they were before, is not written anywhere.
const LEFT: &str = "kernel parameters that were set stay as they are: \
    net.ipv4.conf.all.route_localnet, net.netfilter.nf_conntrack_*";

/// Removes our tables and what kube-proxy left, and says what it found.
pub(super) fn run() -> anyhow::Result<()> {
    let socket = NftSocket::open()
        .context("cannot talk to nf_tables, which needs root or the capability CAP_NET_ADMIN")?;
    let removed = Engine::new(socket, &Family::BOTH).remove()?;
    print_out(&match removed {
        true => format!("removed fairlead's tables; {LEFT}\n"),
        false => "there is nothing of fairlead to remove\n".to_owned(),
    })?;
    for place in app::remove_leftovers()? {
        print_out(&format!("removed what kube-proxy left: {place}\n"))?;
    }
    Ok(())
}

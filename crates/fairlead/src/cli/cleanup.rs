//! `fairlead cleanup`.

use anyhow::Context;

use fairlead_backends::engine::Engine;
use fairlead_core::address::Family;
use fairlead_kernel::nft::socket::NftSocket;

use crate::app;

/// Removes our tables and what kube-proxy left, and says what it found.
pub(super) fn run() -> anyhow::Result<()> {
    let socket = NftSocket::open()
        .context("cannot talk to nf_tables, which needs root or the capability CAP_NET_ADMIN")?;
    let removed = Engine::new(socket, &Family::BOTH).remove()?;
    println!(
        "{}",
        if removed {
            "removed fairlead's tables"
        } else {
            "there is nothing of fairlead to remove"
        }
    );
    for place in app::remove_leftovers()? {
        println!("removed what kube-proxy left: {place}");
    }
    Ok(())
}

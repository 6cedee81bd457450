//! From one mode to another, and to none.

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::{USERSPACE, routing, run_in, visit, web};
use crate::rig::{FAIRLEAD, Folder, Mode, Proxy};
use crate::tests;
use crate::watch::{eventually, on_node};

tests! {
    modes_take_over_from_each_other,
    cleanup_leaves_nothing_of_it,
}

const WEB: &str = "10.96.55.1:80";

fn modes_take_over_from_each_other() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.55.1", 8080, &["10.244.2.5"]))?;
    let without = routing(&lab)?;
    for mode in [Mode::Nftables, USERSPACE, Mode::Nftables] {
        let mut proxy = Proxy::start_in(mode, &lab, &folder, &[])?;
        proxy.settle(&mut folder)?;
        let failed = |error: Failed| proxy.failed(error.message().unwrap_or_default());
        for client in [Client::Pod, Client::Node] {
            visit(&lab, client, WEB).map_err(failed)?;
        }
        let is_userspace = mode == USERSPACE;
        eventually("packets go another way in this mode alone", || {
            Ok((routing(&lab)? != without) == is_userspace)
        })
        .map_err(failed)?;
        proxy.end(Signal::SIGTERM)?;
    }
    Ok(())
}

fn cleanup_leaves_nothing_of_it() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.55.1", 8080, &["10.244.2.5"]))?;
    let without = routing(&lab)?;
    super::start(&lab, &mut folder, &[])?.end(Signal::SIGTERM)?;
    assert_ne!(routing(&lab)?, without);
    let said = run_in(lab.node(), FAIRLEAD, &["cleanup"])?;
    assert!(said.contains("userspace"), "{said}");
    assert_eq!(routing(&lab)?, without, "{said}");
    assert_eq!(on_node(&lab, "nft list ruleset")?, "", "{said}");
    let said = run_in(lab.node(), FAIRLEAD, &["cleanup"])?;
    assert_eq!(said, "there is nothing of fairlead to remove\n");
    Ok(())
}

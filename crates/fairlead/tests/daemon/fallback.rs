//! What runs where ipvs mode is asked for and the kernel has no IPVS. On a host that has it, ipvs mode
//! runs, and there is nothing to see here: the rest is for `vm/`.

use std::path::Path;
use std::process::Command;

use fairlead_lab::Lab;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{get, on_node};

tests! {
    a_node_without_ipvs_is_served_by_nftables_mode,
    a_node_without_ipvs_is_served_by_the_mode_that_is_named,
    without_a_fallback_a_node_without_ipvs_is_an_error,
}

fn has_ipvs() -> bool {
    Path::new("/proc/net/ip_vs").exists()
}

/// What the mode that runs instead does not know.
fn asking_for_a_scheduler() -> Result<Folder, Failed> {
    let mut web = service(
        "web",
        &json!({"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}),
    );
    web["metadata"]["annotations"] = json!({"fairlead.dev/scheduler": "least"});
    Folder::new(&[web, slice("web", "TCP", 8080, &["10.244.2.5"])])
}

/// Runs ipvs mode with this flag; `None` if it does run. Else the pages /proxyMode and /metrics of
/// what does, its log, and the rules that there are.
fn fall_back(flag: &str) -> Result<Option<[String; 4]>, Failed> {
    let (lab, mut folder) = (Lab::new()?, asking_for_a_scheduler()?);
    let flags = ["--proxy-mode=ipvs", "--cluster-cidr=10.244.0.0/16", flag].map(str::to_owned);
    let mut proxy = Proxy::start(&lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    let page = |path| get(&lab, "127.0.0.1:10249", path);
    let seen = [
        page("/proxyMode"),
        page("/metrics"),
        proxy.log(),
        on_node(&lab, "nft list ruleset")?,
    ];
    proxy.end(Signal::SIGTERM)?;
    Ok(Some(seen).filter(|_| !has_ipvs()))
}

fn a_node_without_ipvs_is_served_by_nftables_mode() -> Result<(), Failed> {
    let Some([mode, metrics, log, rules]) = fall_back("--v=0")? else {
        return Ok(());
    };
    assert!(mode.ends_with("\r\n\r\nnftables"), "{mode}");
    for line in [
        "fairlead_proxy_mode{configured=\"ipvs\",running=\"nftables\"} 1",
        "fairlead_problems{kind=\"Service\"} 0",
        "fairlead_traffic_read_duration_seconds",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(!metrics.contains("fairlead_ipvs"), "{metrics}");
    assert!(log.contains("nftables mode runs in its place"), "{log}");
    assert!(!log.contains("fairlead.dev/scheduler"), "{log}");
    assert!(rules.contains("table ip fairlead"), "{rules}");
    Ok(())
}

fn a_node_without_ipvs_is_served_by_the_mode_that_is_named() -> Result<(), Failed> {
    let Some([mode, metrics, _, rules]) = fall_back("--ipvs-fallback=iptables")? else {
        return Ok(());
    };
    assert!(mode.ends_with("\r\n\r\niptables"), "{mode}");
    let line = "fairlead_proxy_mode{configured=\"ipvs\",running=\"iptables\"} 1";
    assert!(metrics.contains(line), "{metrics}");
    assert!(rules.contains("KUBE-SERVICES") && !rules.contains("table ip fairlead"));
    Ok(())
}

fn without_a_fallback_a_node_without_ipvs_is_an_error() -> Result<(), Failed> {
    let (lab, folder) = (Lab::new()?, asking_for_a_scheduler()?);
    for rest in [&["--once"][..], &["--init-only"]] {
        let mut command = Command::new(FAIRLEAD);
        command.args(["run", "--proxy-mode=ipvs", "--ipvs-fallback=none"]);
        command.args(["--hostname-override=node1", "--manifests"]);
        command.arg(folder.path()).args(rest);
        let ended = lab.run_on_node(&mut command);
        assert!(ended.is_err() || has_ipvs(), "{ended:?}");
    }
    Ok(())
}

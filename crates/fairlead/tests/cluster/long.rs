//! The long test: thousands of changes, with the API server failing now and then. Afterwards the
//! kernel has what a fresh start against the same server makes, and the process has grown no
//! larger.

use std::env;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fairlead_lab::api_server::Resource;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::fixture::Cluster;
use crate::footprint::Footprint;
use crate::rig::{FAIRLEAD, Proxy};
use crate::snapshot::{differences, snapshot};
use crate::tests;
use crate::watch::{eventually, on_node, within};
use crate::world::{Chance, World};

tests! {
    after_ten_thousand_changes_all_is_as_after_a_fresh_start,
}

const CHANGES: usize = 10_000;

/// After so many the process is as large as it gets.
const WARM: usize = 2_000;

/// Between two changes, so that they are many syncs and not one.
const PAUSE: Duration = Duration::from_millis(2);

/// So many of all requests and of all lines of watches go wrong. A watch that broke off is away
/// for a second or more, and each time for longer: with many more failures most changes would be
/// heard of in lists alone.
const CHAOS: f64 = 0.000_7;

/// How long it may take until all watches are under way again: their pauses grow to half a minute.
const RECOVERY: Duration = Duration::from_mins(1);

fn after_ten_thousand_changes_all_is_as_after_a_fresh_start() -> Result<(), Failed> {
    let seed = seed()?;
    println!("the long test's seed is {seed}; SEED={seed} repeats it");
    happens(seed).map_err(|error| {
        let message = error.message().unwrap_or_default();
        format!("seed {seed}: {message}").into()
    })
}

fn seed() -> Result<u64, Failed> {
    match env::var("SEED") {
        Ok(seed) => Ok(seed.parse()?),
        Err(_) => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
    }
}

fn happens(seed: u64) -> Result<(), Failed> {
    let cluster = Cluster::new()?;
    let proxy = cluster.proxy(&[
        "--iptables-min-sync-period=100ms",
        "--nodeport-addresses=primary",
    ])?;
    let mut world = World::new(seed);
    for _ in 0..WARM {
        world.change(&cluster.server)?;
        thread::sleep(PAUSE);
    }
    rest(&cluster, &proxy, &mut world)?;
    let before = Footprint::of(&cluster, &proxy)?;
    trouble(&cluster, &mut world, &mut Chance::new(!seed))?;
    rest(&cluster, &proxy, &mut world)?;
    let kept = kept(&cluster)?;
    let log = proxy.log();
    // Whether it asked at just the moment when the server was away is left to chance.
    let failures = ["broke off", "cannot be reached"];
    assert!(
        failures.iter().any(|failure| log.contains(failure)),
        "nothing failed: {log}"
    );
    assert!(
        kept.len() > 500,
        "there is next to nothing to compare: {kept:#?}"
    );
    before.holds(&cluster, &proxy)?;
    proxy.end(Signal::SIGTERM)?;
    on_node(&cluster.lab, &format!("{FAIRLEAD} cleanup"))?;
    let fresh = cluster.proxy(&["--nodeport-addresses=primary"])?;
    let mut differ = String::new();
    eventually("a fresh start makes the same", || {
        differ = differences(&kept, &snapshot(&cluster.lab)?);
        Ok(differ.is_empty())
    })
    .map_err(|_| format!("a fresh start makes something else (-: the long run, +: the fresh start):\n{differ}\n{}", fresh.log()))?;
    fresh.end(Signal::SIGTERM)
}

/// Changes with the API server failing now and then.
fn trouble(cluster: &Cluster, world: &mut World, chance: &mut Chance) -> Result<(), Failed> {
    let server = &cluster.server;
    server.chaos(chance.next(), CHAOS);
    for number in WARM..CHANGES {
        world.change(server)?;
        thread::sleep(PAUSE);
        match number % 2000 {
            500 => server.reset_connections(),
            1000 => server.compact(),
            1500 => server.go_down()?,
            1700 => server.go_on()?,
            _ => {}
        }
    }
    server.heal()?;
    Ok(())
}

/// Waits until everything that the server has is programmed.
fn rest(cluster: &Cluster, proxy: &Proxy<'_>, world: &mut World) -> Result<(), Failed> {
    // An object that cannot be read stays as it was, which a fresh start knows nothing of.
    world.mend(&cluster.server)?;
    let followed = [
        Resource::Services,
        Resource::EndpointSlices,
        Resource::Nodes,
        Resource::ServiceCidrs,
    ];
    within(RECOVERY, "all is watched", || {
        let watches = cluster.server.watches();
        let is_watched = |of| watches.iter().any(|watch| watch.resource == of);
        Ok(followed.into_iter().all(is_watched))
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    cluster.settle(proxy)
}

/// What the node has, once what is not used any more was taken away too: that takes a moment.
fn kept(cluster: &Cluster) -> Result<Vec<String>, Failed> {
    let mut kept = snapshot(&cluster.lab)?;
    eventually("nothing changes any more", || {
        thread::sleep(Duration::from_secs(2));
        let now = snapshot(&cluster.lab)?;
        let same = now == kept;
        kept = now;
        Ok(same)
    })?;
    Ok(kept)
}

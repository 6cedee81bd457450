//! Clients that take all they can get, and clients that take nothing.

// Counts are whole numbers, which floats hold as they are.
#![allow(clippy::float_cmp)]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::Duration;

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use super::endpoint::Endpoint;
use super::{run_in, start, visit, web};
use crate::metrics::value;
use crate::rig::{Folder, Proxy};
use crate::tests;
use crate::watch::eventually;

tests! {
    a_service_that_is_flooded_leaves_room_for_others,
    clients_that_do_not_read_cost_no_memory_and_keep_nobody_waiting,
}

const OTHER: &str = "10.96.54.2:80";

fn a_service_that_is_flooded_leaves_room_for_others() -> Result<(), Failed> {
    const FLOOD: u16 = 300;
    let lab = Lab::new()?;
    let _endpoint = Endpoint::start(&lab, 5)?;
    let mut folder = Folder::new(&web(
        "flooded",
        "10.96.54.1",
        Endpoint::PORT,
        &["10.244.2.5"],
    ))?;
    for object in web("other", "10.96.54.2", 8080, &["10.244.2.6"]) {
        folder.apply(&object)?;
    }
    let proxy = start(&lab, &mut folder, &["--userspace-max-connections=100"])?;
    let failed = |error: Failed| proxy.failed(error.message().unwrap_or_default());
    let connect = || (0..FLOOD).map(|_| TcpStream::connect("10.96.54.1:80"));
    let flood = lab.node().run(|| connect().collect::<Vec<_>>())?;
    let of = |metric: &str, rest: &str| {
        let labels = format!("namespace=\"default\",service=\"flooded\"{rest}");
        value(&lab, &format!("fairlead_userspace_{metric}{{{labels}}}"))
    };
    eventually("all were considered", || {
        let carried = of("connections_total", "")?;
        let refused = of("refused_total", ",reason=\"share\"")?;
        Ok(carried + refused == f64::from(FLOOD))
    })
    .map_err(failed)?;
    assert_eq!(of("connections", "")?, 80.0, "four fifths");
    for _ in 0..30 {
        visit(&lab, Client::Pod, OTHER).map_err(failed)?;
    }
    drop(flood);
    eventually("it is served again", || Ok(of("connections", "")? == 0.0)).map_err(failed)?;
    proxy.end(Signal::SIGTERM)
}

/// What is sent to each of them.
const SENT: u64 = 200 << 20;
/// What the kernel keeps on the way at most: the buffers of four sockets, and pipes.
const ON_THE_WAY: u64 = 60 << 20;
/// How many there are.
const READERS: usize = 10;
/// How much memory of the process they may cost together.
const MEMORY: u64 = 16 << 20;

fn clients_that_do_not_read_cost_no_memory_and_keep_nobody_waiting() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let sent = Arc::new(AtomicU64::new(0));
    let bind = || TcpListener::bind("10.244.2.5:9000");
    let (listener, counter) = (lab.network().world().run(bind)??, Arc::clone(&sent));
    thread::spawn(move || pour(&listener, &counter));
    let mut folder = Folder::new(&web("slow", "10.96.54.1", 9000, &["10.244.2.5"]))?;
    for object in web("other", "10.96.54.2", 8080, &["10.244.2.6"]) {
        folder.apply(&object)?;
    }
    let proxy = start(&lab, &mut folder, &[])?;
    let before = memory(&proxy)?;
    let connect = || (0..READERS).map(|_| TcpStream::connect("10.96.54.1:80"));
    let readers = lab
        .node()
        .run(|| connect().collect::<io::Result<Vec<_>>>())??;
    settles(&sent)?;
    let poured = sent.load(Ordering::Relaxed);
    assert!(
        poured < READERS as u64 * ON_THE_WAY,
        "{poured} bytes are on the way"
    );
    let grown = memory(&proxy)?.saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes for {READERS} connections");
    for _ in 0..30 {
        visit(&lab, Client::Pod, OTHER)
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    // Both ends of each are asked whether they are still there.
    let sockets = run_in(lab.node(), "ss", &["-tnoH", "state", "established"])?;
    for port in [":80", ":9000"] {
        let of_it = sockets.lines().filter(|line| line.contains(port));
        let alive = of_it.filter(|line| line.contains("timer:("));
        assert!(alive.count() >= READERS, "{port}:\n{sockets}");
    }
    let reader = readers.into_iter().next().ok_or("nobody reads")?;
    reader.set_read_timeout(Some(super::PATIENCE))?;
    assert_eq!(io::copy(&mut reader.take(u64::MAX), &mut io::sink())?, SENT);
    proxy.end(Signal::SIGTERM)
}

/// Sends to everybody, all at once.
fn pour(listener: &TcpListener, sent: &Arc<AtomicU64>) -> io::Result<()> {
    const PART: usize = 64 << 10;
    loop {
        let (mut stream, _) = listener.accept()?;
        let sent = Arc::clone(sent);
        thread::spawn(move || {
            let part = vec![b'.'; PART];
            for _ in 0..SENT / PART as u64 {
                if stream.write_all(&part).is_err() {
                    return;
                }
                sent.fetch_add(PART as u64, Ordering::Relaxed);
            }
        });
    }
}

/// Waits until no more is sent.
fn settles(sent: &AtomicU64) -> Result<(), Failed> {
    let mut last = 0;
    eventually("everybody has to wait", || {
        sleep(Duration::from_millis(300));
        let now = sent.load(Ordering::Relaxed);
        let is_so = now == last && now > 0;
        last = now;
        Ok(is_so)
    })
    .map(drop)
}

/// How much of the machine's memory the process has, in bytes.
fn memory(proxy: &Proxy<'_>) -> Result<u64, Failed> {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.ok_or("no VmRSS")?.parse::<u64>()? << 10)
}

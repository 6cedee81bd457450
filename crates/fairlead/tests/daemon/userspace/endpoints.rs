//! Endpoints that do not answer, refuse, die, or are taken away.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use super::endpoint::{CLOSE, Endpoint, KEEP};
use super::{PATIENCE, recovers, run_in, start, treats_callers, visit, web};
use crate::flows::Clients;
use crate::metrics::value;
use crate::objects::{service, slice};
use crate::rig::Folder;
use crate::tests;
use crate::watch::eventually;

tests! {
    one_that_is_not_there_delays_few_clients_and_by_one_step,
    one_that_refuses_is_passed_over,
    a_client_is_led_away_from_its_endpoint_when_that_does_not_answer,
    one_that_is_killed_fails_only_those_that_were_with_it,
    one_that_is_removed_keeps_its_connections_and_gets_no_more,
}

const WEB: &str = "10.96.50.1:80";

const THREE: [&str; 3] = ["10.244.2.5", "10.244.2.6", "10.244.2.7"];

/// Where the last of them takes connections if it can be killed.
const AT_THIRD: &str = "10.244.2.7:9000";

/// The first step of the ladder.
const FIRST: Duration = Duration::from_millis(250);

/// So many clients there are at least, of whom few may be delayed.
const VISITS: usize = 300;

/// How often an endpoint is tried that did not answer: at once, and after 1, 2, 4 and 8 seconds.
const TRIALS: f64 = 5.0;

fn one_that_is_not_there_delays_few_clients_and_by_one_step() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.50.1", 8080, &THREE))?;
    // Whoever waits for the second step besides waits long, whatever else the machine does.
    let flags = ["--userspace-dial-timeouts=250ms,60s"];
    let proxy = start(&lab, &mut folder, &flags)?;
    let failed = |why: &str| proxy.failed(why);
    treats_callers(&lab, THREE[2], "drop")?;
    let (begin, mut quickest) = (Instant::now(), PATIENCE);
    for n in 0.. {
        let is_enough = n >= VISITS && retries(&lab).is_ok_and(|delayed| delayed >= 3.0);
        if is_enough || begin.elapsed() > Duration::from_secs(8) {
            break;
        }
        let client = [Client::Pod, Client::Node, Client::Outside][n % 3];
        let visit = visit(&lab, client, WEB)
            .map_err(|error| failed(error.message().unwrap_or_default()))?;
        assert_ne!(visit.endpoint, THREE[2]);
        assert!(visit.took < PATIENCE, "{visit:?}");
        if visit.took >= FIRST {
            quickest = quickest.min(visit.took);
        }
    }
    eventually("it is counted", || Ok(retries(&lab).is_ok()))?;
    let delayed = retries(&lab)?;
    if !(1.0..=TRIALS).contains(&delayed) || quickest > FIRST * 2 {
        return Err(failed(&format!(
            "{delayed} were delayed, one by {quickest:?}"
        )));
    }
    recovers(&lab)?;
    eventually("it is tried again", || {
        Ok(visit(&lab, Client::Pod, WEB)?.endpoint == THREE[2])
    })
    .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    let met: Vec<_> = (0..6).map(|_| visit(&lab, Client::Pod, WEB)).collect();
    for endpoint in THREE {
        let is_it = |met: &&Result<super::Visit, Failed>| {
            met.as_ref().is_ok_and(|visit| visit.endpoint == endpoint)
        };
        assert_eq!(met.iter().filter(is_it).count(), 2, "{met:?}");
    }
    proxy.end(Signal::SIGTERM)
}

/// How often another endpoint was tried.
fn retries(lab: &Lab) -> Result<f64, Failed> {
    let series = "fairlead_userspace_dial_retries_total{namespace=\"default\",service=\"web\"}";
    value(lab, series)
}

fn one_that_refuses_is_passed_over() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&web("web", "10.96.50.1", 8080, &THREE))?;
    // Whoever waits for a time to be over waits long.
    let flags = ["--userspace-dial-timeouts=30s,30s,30s"];
    let proxy = start(&lab, &mut folder, &flags)?;
    treats_callers(&lab, "10.244.2.6/31", "reject with tcp reset")?;
    for _ in 0..30 {
        let visit = visit(&lab, Client::Pod, WEB)?;
        assert_eq!(visit.endpoint, THREE[0]);
        assert!(visit.took < PATIENCE / 2, "{visit:?}");
    }
    proxy.end(Signal::SIGTERM)
}

fn a_client_is_led_away_from_its_endpoint_when_that_does_not_answer() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let [mut web, endpoints] = web("web", "10.96.50.1", 8080, &THREE);
    web["spec"]["sessionAffinity"] = json!("ClientIP");
    let mut folder = Folder::new(&[web, endpoints])?;
    let proxy = start(&lab, &mut folder, &[])?;
    let meet = || -> Result<BTreeSet<String>, Failed> {
        let visits = (0..6).map(|_| Ok(visit(&lab, Client::Pod, WEB)?.endpoint));
        visits.collect()
    };
    let before = meet()?;
    assert_eq!(before.len(), 1, "{before:?}");
    for endpoint in &before {
        treats_callers(&lab, endpoint, "drop")?;
    }
    let meanwhile = meet()?;
    assert!(
        meanwhile.len() == 1 && meanwhile != before,
        "{before:?} became {meanwhile:?}"
    );
    recovers(&lab)?;
    assert_eq!(meet()?, meanwhile, "it stays with whom it came to");
    proxy.end(Signal::SIGTERM)
}

/// How many requests there are, half of them on connections that are kept.
const REQUESTS: usize = 10_000;
/// So many clients at once of either kind.
const CLIENTS: usize = 6;

fn one_that_is_killed_fails_only_those_that_were_with_it() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let [five, six, seven] = [5, 6, 7].map(|last| Endpoint::start(&lab, last));
    let (_five, _six, seven) = (five?, six?, seven?);
    let mut folder = Folder::new(&web("web", "10.96.50.1", Endpoint::PORT, &THREE))?;
    let proxy = start(&lab, &mut folder, &[])?;
    let (answered, is_killed) = (&AtomicUsize::new(0), &AtomicBool::new(false));
    let (in_flight, failed) = thread::scope(|scope| {
        let askers: Vec<_> = [KEEP, CLOSE]
            .repeat(CLIENTS)
            .into_iter()
            .map(|kind| {
                let asker = Asker {
                    answered,
                    is_killed,
                };
                let lab = &lab;
                scope.spawn(move || lab.network().world().run(|| asker.ask(kind)))
            })
            .collect();
        let killed = kill_in_the_middle(&lab, seven, answered);
        is_killed.store(true, Ordering::SeqCst);
        let mut failed = Vec::new();
        for asker in askers {
            let met = asker.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            failed.push(met.map_err(|error| proxy.failed(&error.to_string()))?);
        }
        Ok::<_, Failed>((killed?, failed))
    })?;
    let all: usize = failed.iter().sum();
    assert!(in_flight > 0, "nobody was with it");
    if all != in_flight {
        return Err(proxy.failed(&format!("{in_flight} were with it, {failed:?} failed")));
    }
    proxy.end(Signal::SIGTERM)
}

/// Kills it after half of the answers. Returns how many it owed an answer.
///
/// First it takes no more, so that they can be counted.
fn kill_in_the_middle(
    lab: &Lab,
    endpoint: Endpoint,
    answered: &AtomicUsize,
) -> Result<usize, Failed> {
    eventually("half of the requests are answered", || {
        Ok(answered.load(Ordering::Relaxed) > REQUESTS / 2)
    })?;
    endpoint.freeze();
    treats_callers(lab, THREE[2], "reject with tcp reset")?;
    let (mut owed, mut looks) = (0, 0);
    eventually("it has taken all that had come", || {
        let queue = run_in(lab.network().world(), "ss", &["-Hltn", "src", AT_THIRD])?;
        let is_empty = queue.split_whitespace().nth(1) == Some("0");
        let open = endpoint.open();
        looks = if is_empty && open == owed {
            looks + 1
        } else {
            0
        };
        owed = open;
        Ok(looks == 10)
    })?;
    drop(endpoint);
    Ok(owed)
}

/// A client that asks until all have asked enough.
#[derive(Debug, Clone, Copy)]
struct Asker<'a> {
    answered: &'a AtomicUsize,
    is_killed: &'a AtomicBool,
}

impl Asker<'_> {
    /// Returns how often it was not answered. That it is not after the endpoint was killed is an
    /// error.
    fn ask(self, kind: u8) -> io::Result<usize> {
        let (mut failed, mut kept) = (0, None);
        while self.answered.load(Ordering::Relaxed) < REQUESTS {
            let is_late = self.is_killed.load(Ordering::SeqCst);
            match Asker::once(&mut kept, kind) {
                Ok(()) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) if is_late && kind == CLOSE => return Err(error),
                Err(_) => failed += 1,
            }
        }
        Ok(failed)
    }

    fn once(kept: &mut Option<TcpStream>, kind: u8) -> io::Result<()> {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => TcpStream::connect(WEB)?,
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&[kind])?;
        stream.read_exact(&mut [0])?;
        *kept = (kind == KEEP).then_some(stream);
        Ok(())
    }
}

fn one_that_is_removed_keeps_its_connections_and_gets_no_more() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let _endpoints = [Endpoint::start(&lab, 5)?, Endpoint::start(&lab, 6)?];
    let dns = json!({
        "clusterIP": "10.96.50.2", "externalIPs": ["203.0.113.50"],
        "ports": [{"protocol": "UDP", "port": 53}],
    });
    let [web, endpoints] = web("web", "10.96.50.1", Endpoint::PORT, &THREE[..2]);
    let mut folder = Folder::new(&[
        web,
        endpoints,
        service("dns", &dns),
        slice("dns", "UDP", 5353, &THREE[..2]),
    ])?;
    let proxy = start(&lab, &mut folder, &[])?;
    let connect = || -> Result<(TcpStream, u8), Failed> {
        let stream = lab.node().run(|| TcpStream::connect(WEB))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        let met = say(&stream)?;
        Ok((stream, met))
    };
    let open = [connect()?, connect()?, connect()?, connect()?];
    let clients = Clients::ask(&lab, &["203.0.113.50:53"], 6)?;
    assert!(clients.all_meet(THREE[1]).is_err(), "both have clients");
    let mut proxy = proxy;
    folder.apply(&slice("web", "TCP", Endpoint::PORT, &THREE[1..2]))?;
    folder.apply(&slice("dns", "UDP", 5353, &THREE[1..2]))?;
    proxy.settle(&mut folder)?;
    for (stream, met) in &open {
        assert_eq!(say(stream)?, *met, "{open:?}");
    }
    assert_eq!(open.iter().filter(|(_, met)| *met == 5).count(), 2);
    for _ in 0..20 {
        assert_eq!(connect()?.1, 6, "new ones go to who is left");
    }
    clients
        .all_meet(THREE[1])
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    proxy.end(Signal::SIGTERM)
}

/// Asks on an open connection who is there.
fn say(mut stream: &TcpStream) -> io::Result<u8> {
    let mut answer = [0];
    stream.write_all(&[KEEP])?;
    stream.read_exact(&mut answer)?;
    Ok(answer[0])
}

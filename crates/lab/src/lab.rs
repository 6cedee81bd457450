//! A network with pods in it, and clients to ask.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::resume_unwind;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_core::address::Protocol;
use fairlead_core::api::ObjectName;
use fairlead_kernel::netns::Netns;

use crate::LabError;
use crate::client::Client;
use crate::network::{self, Network};
use crate::outcome::Outcomes;
use crate::pod::{PORTS, Pods};
use crate::probe::Series;
use crate::questions::Question;

/// Pods on the node and elsewhere: between them and a client on the node are all links.
const ACROSS_LINKS: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(10, 244, 1, 130)),
    IpAddr::V4(Ipv4Addr::new(10, 244, 2, 5)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0x8000, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x10, 0x244, 2, 0, 0, 0, 5)),
];

/// How long links may take to carry packets, on a machine that is slow and busy.
const LINKS_TAKE: Duration = Duration::from_secs(20);

/// A node, pods that answer, and the rest of the world. Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    // Dropped before the network, whose namespaces its sockets would keep.
    pods: Vec<Pods>,
    network: Network,
}

impl Lab {
    /// Builds a lab. Nothing proxies in it yet.
    pub fn new() -> Result<Lab, LabError> {
        let mut lab = Lab {
            pods: Vec::new(),
            network: Network::new()?,
        };
        lab.answer_on(&PORTS)?;
        lab.wait_for_links()?;
        Ok(lab)
    }

    /// Lets all pods answer on these ports too, of which none was given before.
    pub fn answer_on(&mut self, ports: &[u16]) -> Result<(), LabError> {
        let Lab { pods, network } = self;
        // On the node itself too: pods of the host network have its addresses.
        let homes = [network.local_pods(), network.world(), network.node()];
        pods.push(Pods::start(&homes, ports)?);
        Ok(())
    }

    /// Lets one pod answer over SCTP too. `EPROTONOSUPPORT` where the kernel has none.
    pub fn answer_sctp(&mut self, pod: SocketAddr) -> Result<(), LabError> {
        let home = match network::is_local_pod(pod.ip()) {
            true => self.network.local_pods(),
            false => self.network.world(),
        };
        self.pods.push(Pods::start_sctp(home, pod)?);
        Ok(())
    }

    /// The namespace of the node, where a proxy belongs.
    pub fn node(&self) -> &Netns {
        self.network.node()
    }

    /// The network, with the names of its namespaces.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Runs a command on the node to its end, and collects what it prints. That it fails is an
    /// error.
    pub fn run_on_node(&self, command: &mut Command) -> Result<Output, LabError> {
        let line = format!("{command:?}");
        let output = self
            .node()
            .run(|| command.output())?
            .map_err(|error| LabError::Start {
                command: line.clone(),
                error,
            })?;
        if output.status.success() {
            return Ok(output);
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(LabError::Command {
            command: line,
            status: output.status,
            stderr,
        })
    }

    /// Lets a client connect up to `tries` times. After four failures and no answer it gives up.
    pub fn ask(
        &self,
        client: Client,
        protocol: Protocol,
        to: SocketAddr,
        tries: usize,
    ) -> Result<Series, LabError> {
        let place = self.network.place_of(client);
        Ok(place.run(|| Series::of(client, protocol, to, tries))?)
    }

    /// Asks every question, and returns what to record of the answers.
    ///
    /// What is about the same Service is asked in turn, since an answer may depend on those before
    /// it: with session affinity, and where endpoints take turns. Two clients that asked at the same
    /// time could each meet every second one. All else is asked at the same time.
    pub fn ask_all(&self, questions: &[Question]) -> Result<Outcomes, LabError> {
        let mut groups: HashMap<&ObjectName, Vec<&Question>> = HashMap::new();
        for question in questions {
            groups.entry(&question.service).or_default().push(question);
        }
        thread::scope(|scope| {
            let askers: Vec<_> = groups
                .into_values()
                .map(|questions| scope.spawn(move || self.in_turn(&questions)))
                .collect();
            let mut outcomes = Outcomes::new();
            for asker in askers {
                outcomes.extend(asker.join().unwrap_or_else(|panic| resume_unwind(panic))?);
            }
            Ok(outcomes)
        })
    }

    /// A link that was set up loses packets until the kernel has taken notice of its carrier, which
    /// it does at its leisure, for IPv6 after up to a second (`net/core/link_watch.c`).
    fn wait_for_links(&self) -> Result<(), LabError> {
        let started = Instant::now();
        for address in ACROSS_LINKS {
            let pod = SocketAddr::new(address, PORTS[0]);
            let ask = || self.ask(Client::Pod, Protocol::Tcp, pod, 1);
            while ask()?.by_endpoint.is_empty() {
                if started.elapsed() > LINKS_TAKE {
                    return Err(LabError::Unreachable { pod });
                }
            }
        }
        Ok(())
    }

    fn in_turn(&self, questions: &[&Question]) -> Result<Outcomes, LabError> {
        let ask = |question: &&Question| {
            let Question {
                client,
                protocol,
                to,
                tries,
                ..
            } = **question;
            let series = self.ask(client, protocol, to, tries)?;
            Ok((question.name.clone(), question.outcome(&series)))
        };
        questions.iter().map(ask).collect()
    }
}

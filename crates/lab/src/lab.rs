//! A network with pods in it, and clients to ask.

use std::net::SocketAddr;
use std::process::{Command, Output};
use std::thread;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::ObjectName;
use fairlead_kernel::netns::Netns;

use crate::LabError;
use crate::network::{Client, Network};
use crate::outcome::Outcomes;
use crate::pod::Pods;
use crate::probe::Series;
use crate::questions::Question;

/// A node, pods that answer, and the rest of the world. Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    // Dropped before the network, whose namespaces its sockets would keep.
    _pods: Pods,
    network: Network,
}

impl Lab {
    /// Builds a lab. Nothing proxies in it yet.
    pub fn new() -> Result<Lab, LabError> {
        let network = Network::new()?;
        // Neither the client pod nor what runs on the node's behalf is an endpoint, but pods of
        // the host's network are.
        let pods = Pods::start(&[network.local_pods(), network.world(), network.node()])?;
        Ok(Lab {
            _pods: pods,
            network,
        })
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
        let source = client.source(Family::of(to.ip()));
        let of = || Series::of(protocol, source, to, tries);
        Ok(self.network.place_of(client).run(of)?)
    }

    /// Asks every question, and returns what to record of the answers.
    ///
    /// What is about the same Service and from the same client is asked in turn, since an answer
    /// may depend on those before it (session affinity). All else is asked at the same time.
    pub fn ask_all(&self, questions: &[Question]) -> Result<Outcomes, LabError> {
        thread::scope(|scope| {
            let askers: Vec<_> = in_turn(questions)
                .into_iter()
                .map(|questions| scope.spawn(|| self.ask_in_turn(questions)))
                .collect();
            let mut outcomes = Outcomes::new();
            for asker in askers {
                let answers = asker
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                outcomes.extend(answers?);
            }
            Ok(outcomes)
        })
    }

    fn ask_in_turn(&self, questions: Vec<&Question>) -> Result<Outcomes, LabError> {
        let mut outcomes = Outcomes::new();
        for question in questions {
            let Question {
                client,
                protocol,
                to,
                tries,
                ..
            } = *question;
            let series = self.ask(client, protocol, to, tries)?;
            outcomes.insert(question.name.clone(), question.outcome(&series));
        }
        Ok(outcomes)
    }
}

/// Groups the questions by Service and client.
fn in_turn(questions: &[Question]) -> Vec<Vec<&Question>> {
    let mut groups: Vec<(&ObjectName, Client, Vec<&Question>)> = Vec::new();
    for question in questions {
        let known = groups.iter_mut().find(|(service, client, _)| {
            (*service, *client) == (&question.service, question.client)
        });
        match known {
            Some((_, _, group)) => group.push(question),
            None => groups.push((&question.service, question.client, vec![question])),
        }
    }
    groups.into_iter().map(|(_, _, group)| group).collect()
}

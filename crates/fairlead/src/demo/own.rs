//! The user's own manifests: who gets the connections to each of their addresses, and if nobody,
//! why.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle};

use fairlead_core::address::{Family, Protocol};
use fairlead_core::model::{Destination, DestinationKind, ServicePortName};
use fairlead_core::route::{Origin, Pool, Route, Routes, Target, Verdict};
use fairlead_lab::{Client, Lab, LabError, NODE_V4, NODE_V6, PORTS, Place, Series};

use super::cluster::{Cluster, Objects};
use super::events::Events;
use super::flags::Flags;
use super::picture::{self, BAD, BOLD, Share, heading, note, styled};
use super::proxy::Proxy;
use super::screen::Screen;
use super::{Entrance, Options, reason};

/// The most addresses that are asked.
const MOST_ADDRESSES: usize = 16;

/// The most endpoints that are shown of one.
const MOST_ENDPOINTS: usize = 8;

/// The node when the manifests know of none.
const SOME_NODE: &str = "node1";

/// A question: who answers there?
#[derive(Debug)]
struct Question {
    name: ServicePortName,
    route: Route,
    protocol: Protocol,
    client: Client,
    to: SocketAddr,
    /// The endpoints that should answer.
    endpoints: Vec<Target>,
}

/// Shows everything.
pub(super) fn show(
    manifests: &Path,
    options: &Options,
    events: &Events,
    entrance: Entrance,
) -> anyhow::Result<()> {
    let mut screen = Screen::new();
    let objects = Objects::read(manifests)?;
    let node = options.node.as_deref();
    let node = node.or(objects.busiest_node()).unwrap_or(SOME_NODE);
    let node = node.to_owned();
    let services = objects.services();
    let mut flags = Flags::new(manifests, &node);
    let cluster = objects.seen_with(&flags)?;
    if cluster.model.node().ips.is_empty() {
        flags = flags.and(format!("--nodeport-addresses={NODE_V4}/32,{NODE_V6}/128"));
    }
    let mut questions = questions(&cluster);
    introduce(&mut screen, &cluster, &node, services, questions.len())?;
    questions.truncate(MOST_ADDRESSES);

    let mut lab = Lab::new()?;
    furnish(&mut screen, &mut lab, &cluster, &node, &questions)?;
    let proxy = Proxy::start(&lab, &flags, events)?;
    proxy.synced(true)?;
    let answers = ask(&lab, &questions, options.connections)?;
    for (question, series) in questions.iter().zip(&answers) {
        screen.say(&picture(&cluster, question, series))?;
    }
    entrance.offer(options, &lab, &proxy, events, &mut screen)
}

fn introduce(
    screen: &mut Screen,
    cluster: &Cluster,
    node: &str,
    services: usize,
    addresses: usize,
) -> anyhow::Result<()> {
    screen.say(&heading(&format!("Your Services on the node {node}")))?;
    for problem in &cluster.problems {
        screen.say(&picture::remark(BAD, problem))?;
    }
    let proxied = cluster.model.services().count();
    let others = match services.saturating_sub(proxied) {
        0 => String::new(),
        others => format!(
            "; {others} more are not for a service proxy: headless, ExternalName or another proxy's"
        ),
    };
    screen.say(&note(&format!("Services: {proxied}{others}")))?;
    if addresses > MOST_ADDRESSES {
        screen.say(&note(&format!(
            "{MOST_ADDRESSES} of their {addresses} addresses are asked here"
        )))?;
    }
    Ok(())
}

/// Every address of every Service, over protocols that any kernel has.
fn questions(cluster: &Cluster) -> Vec<Question> {
    let services: BTreeSet<_> = cluster.model.services().collect();
    let routes = services
        .into_iter()
        .flat_map(|service| cluster.model.routes(service));
    routes
        .filter(|(_, routes)| routes.name.protocol != Protocol::Sctp)
        .flat_map(|(_, routes)| about(cluster, &routes))
        .collect()
}

fn about(cluster: &Cluster, routes: &Routes) -> Vec<Question> {
    let about = |route: &Route| {
        let client = match route.kind {
            DestinationKind::ClusterIp => Client::Pod,
            _ => Client::Outside,
        };
        Question {
            name: routes.name.clone(),
            protocol: routes.name.protocol,
            client,
            to: where_to(cluster, route.destination),
            endpoints: match route.verdicts.from(origin(client)) {
                Verdict::Forward {
                    pool: Pool::Cluster,
                    ..
                } => routes.cluster.clone(),
                Verdict::Forward {
                    pool: Pool::Local, ..
                } => routes.local.clone(),
                Verdict::Reject(_) | Verdict::Drop(_) => Vec::new(),
            },
            route: route.clone(),
        }
    };
    routes.routes.iter().map(about).collect()
}

fn where_to(cluster: &Cluster, destination: Destination) -> SocketAddr {
    match destination {
        Destination::Address(ip, _, port) => SocketAddr::new(ip, port),
        Destination::NodePort(family, _, port) => {
            let ip = cluster.model.node().ip(family);
            let lab: IpAddr = match family {
                Family::V4 => NODE_V4.into(),
                Family::V6 => NODE_V6.into(),
            };
            SocketAddr::new(ip.unwrap_or(lab), port)
        }
    }
}

fn origin(client: Client) -> Origin {
    match client {
        Client::Pod | Client::Hairpin(_) => Origin::LocalPod,
        Client::Node => Origin::Node,
        Client::Outside | Client::OutsideAllowed => Origin::Elsewhere,
    }
}

/// Gives the node its addresses, and puts a pod where the questions want one.
fn furnish(
    screen: &mut Screen,
    lab: &mut Lab,
    cluster: &Cluster,
    node: &str,
    questions: &[Question],
) -> anyhow::Result<()> {
    let own = &cluster.model.node().ips;
    for ip in own {
        lab.network().add_node_address(*ip)?;
    }
    let (mut pods, mut ports) = (BTreeMap::new(), BTreeSet::new());
    for endpoint in questions.iter().flat_map(|question| &question.endpoints) {
        ports.insert(endpoint.port);
        let place = match cluster.node_of(endpoint.address) {
            Some(of) if of == node => Place::Node,
            _ => Place::Elsewhere,
        };
        pods.insert(endpoint.address, place);
    }
    // Pods of the host's network are on the node itself.
    pods.retain(|address, _| !own.contains(address));
    let missing: Vec<u16> = ports
        .into_iter()
        .filter(|port| !PORTS.contains(port))
        .collect();
    lab.answer_on(&missing)?;
    for (address, place) in pods {
        if let Err(error) = lab.network().add_pod(address, place) {
            let text = format!("{address} is not in the box, so it cannot answer: {error}");
            screen.say(&picture::remark(BAD, &text))?;
        }
    }
    Ok(())
}

/// Asks everything at the same time, for what is dropped takes its time.
fn ask(lab: &Lab, questions: &[Question], tries: usize) -> Result<Vec<Series>, LabError> {
    thread::scope(|scope| {
        let askers: Vec<_> = questions
            .iter()
            .map(|question| {
                let Question {
                    client,
                    protocol,
                    to,
                    ..
                } = *question;
                scope.spawn(move || lab.ask(client, protocol, to, tries))
            })
            .collect();
        let answers = askers.into_iter().map(ScopedJoinHandle::join);
        answers
            .map(|answer| answer.unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

fn picture(cluster: &Cluster, question: &Question, series: &Series) -> String {
    let Question {
        name,
        to,
        protocol,
        route,
        ..
    } = question;
    let (kind, from) = match route.kind {
        DestinationKind::ClusterIp => ("cluster IP", "a pod"),
        DestinationKind::NodePort => ("node port", "outside"),
        DestinationKind::LoadBalancer => ("load balancer", "outside"),
        DestinationKind::ExternalIp => ("external IP", "outside"),
    };
    let name = styled(BOLD, &name.to_string());
    let mut picture = format!("\n{name}  {kind} {to}/{protocol} from {from}\n");
    let shares = shares(cluster, question, series);
    picture += &picture::shares(&shares[..shares.len().min(MOST_ENDPOINTS)]);
    if let Some(more) = shares.get(MOST_ENDPOINTS..).filter(|more| !more.is_empty()) {
        let answered: usize = more.iter().map(|share| share.count).sum();
        picture += &note(&format!("{} more endpoints got {answered}", more.len()));
    }
    picture += &picture::source(series);
    if let Some(reason) = reason::of(route, origin(question.client), series) {
        picture += &picture::remark(BAD, &reason);
    }
    picture
}

/// Each endpoint that should answer or did, the busiest first.
fn shares(cluster: &Cluster, question: &Question, series: &Series) -> Vec<Share> {
    let expected = question
        .endpoints
        .iter()
        .map(|target| SocketAddr::new(target.address, target.port));
    let all: BTreeSet<SocketAddr> = expected.chain(series.by_endpoint.keys().copied()).collect();
    let mut shares: Vec<Share> = all
        .into_iter()
        .map(|endpoint| Share {
            endpoint,
            place: cluster.node_of(endpoint.ip()).unwrap_or("?").to_owned(),
            count: series.by_endpoint.get(&endpoint).copied().unwrap_or(0),
        })
        .collect();
    shares.sort_by_key(|share| std::cmp::Reverse(share.count));
    shares
}

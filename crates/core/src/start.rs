//! When to begin: what has to be known of this node before the first rules are programmed.
//!
//! Rules made without the node's addresses answer node ports on every address, and rules made
//! without its pods' networks take pods for strangers. So both are waited for, but not for ever:
//! a node whose addresses nobody sets is served as well as can be.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::address::Family;
use crate::model::Model;
use crate::settings::DetectLocal;

/// How long the Node's addresses are waited for, as kube-proxy does. It counts from when the
/// source was first heard: before that there is nobody who could know.
const ADDRESSES: Duration = Duration::from_secs(30);

/// How much longer its pods' networks are waited for where they are needed: they are allocated by
/// a controller that may have to start first.
const POD_CIDRS: Duration = Duration::from_mins(5);

/// Says when to begin. It is asked whenever something changed, and when it said to.
#[derive(Debug, Clone)]
pub struct StartGate {
    families: Vec<Family>,
    waits_for_node: bool,
    heard: Option<Instant>,
}

/// Whether to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Now. The operator should hear if the node's addresses are not known.
    Go(Option<NoAddresses>),
    /// Not yet.
    Wait {
        /// What is missing.
        missing: Missing,
        /// When to ask again though nothing changed.
        until: Option<Instant>,
    },
    /// Never: waiting has not helped, or cannot.
    GiveUp(StartError),
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Any word from the source.
    Source,
    /// The Node object, or its addresses.
    Addresses,
    /// The networks of the node's pods.
    PodCidrs,
    /// All Services and EndpointSlices.
    Objects,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Missing::Source => "the source's first word",
            Missing::Addresses => "the Node object and its status.addresses",
            Missing::PodCidrs => "the Node object's spec.podCIDRs",
            Missing::Objects => "all Services and EndpointSlices",
        })
    }
}

/// A start that is not as it should be: nobody told this node's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAddresses {
    /// The node's name.
    pub node: String,
    /// Whether there is a Node object at all.
    pub known: bool,
    /// What stands for its addresses.
    pub ips: Vec<IpAddr>,
}

impl fmt::Display for NoAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ips: Vec<String> = self.ips.iter().map(ToString::to_string).collect();
        let what = if self.known {
            "has no InternalIP and no ExternalIP"
        } else {
            "does not exist, or cannot be read"
        };
        write!(
            f,
            "the Node object {} {what}; going on with {}. Its addresses count as soon as they are \
             there",
            self.node,
            ips.join(" and ")
        )
    }
}

/// Why there is no beginning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StartError {
    /// The pods' networks are needed, but there is no Node object to have them.
    #[error(
        "timeout waiting for node {0:?} to exist, whose podCIDRs --detect-local-mode=NodeCIDR \
         needs; is --hostname-override right, and may the Node be read?"
    )]
    NoNode(String),
    /// The pods' networks are needed, but nobody allocated them.
    #[error(
        "timeout waiting for PodCIDR allocation on node {0:?}, which --detect-local-mode=NodeCIDR \
         needs; does the controller manager run with --allocate-node-cidrs?"
    )]
    NoPodCidrs(String),
    /// The node's own family is not served.
    #[error(
        "the node's first address is of {0}, which this kernel does not offer; is it switched off \
         (net/ipv6/conf/all/disable_ipv6), or should --bind-address name another address?"
    )]
    Family(Family),
}

impl StartGate {
    /// A gate of a proxy that serves these families, and that waits for the Node if someone may
    /// still tell of it: manifest files say at once all that they have to say.
    pub fn new(families: &[Family], waits_for_node: bool) -> StartGate {
        StartGate {
            families: families.to_vec(),
            waits_for_node,
            heard: None,
        }
    }

    /// Whether to begin with what is known now.
    pub fn verdict(&mut self, model: &Model, now: Instant) -> Gate {
        if self.waits_for_node {
            if !model.heard_anything() {
                return wait(Missing::Source, None);
            }
            let heard = *self.heard.get_or_insert(now);
            if let Some(gate) = node_missing(model, heard, now) {
                return gate;
            }
        }
        if !model.is_complete() {
            return wait(Missing::Objects, None);
        }
        match self.check(model) {
            Ok(notice) => Gate::Go(notice),
            Err(error) => Gate::GiveUp(error),
        }
    }

    /// What is wrong with the node's addresses, once they are known.
    fn check(&self, model: &Model) -> Result<Option<NoAddresses>, StartError> {
        let primary = model.node().primary_family();
        if !self.families.contains(&primary) {
            return Err(StartError::Family(primary));
        }
        if !self.waits_for_node || has_addresses(model) {
            return Ok(None);
        }
        let families = self.families.iter();
        Ok(Some(NoAddresses {
            node: model.settings().node_name.clone(),
            known: model.node_is_known(),
            ips: families.map(|family| stand_in(model, *family)).collect(),
        }))
    }
}

/// The wait for the Node, or its end without success.
fn node_missing(model: &Model, heard: Instant, now: Instant) -> Option<Gate> {
    let patience = heard + ADDRESSES;
    if !has_addresses(model) && now < patience {
        return Some(wait(Missing::Addresses, Some(patience)));
    }
    let settings = model.settings();
    let needs_pod_cidrs = settings.detect_local == DetectLocal::NodeCidr;
    if !needs_pod_cidrs || !model.node().pod_cidrs.is_empty() {
        return None;
    }
    let patience = patience + POD_CIDRS;
    if now < patience {
        return Some(wait(Missing::PodCidrs, Some(patience)));
    }
    let node = settings.node_name.clone();
    Some(Gate::GiveUp(match model.node_is_known() {
        true => StartError::NoPodCidrs(node),
        false => StartError::NoNode(node),
    }))
}

fn wait(missing: Missing, until: Option<Instant>) -> Gate {
    Gate::Wait { missing, until }
}

/// Whether the Node object is there and has an address. One from the settings does not make up
/// for that: the Node may have one of the other family.
fn has_addresses(model: &Model) -> bool {
    model.node_is_known() && !model.node().ips.is_empty()
}

/// What stands for an address of the node that is not known.
fn stand_in(model: &Model, family: Family) -> IpAddr {
    let loopback = match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    model.node().ip(family).unwrap_or(loopback)
}

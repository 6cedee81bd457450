//! Why connections were refused or dropped.

use std::fmt::Write;

use fairlead_core::address::Family;
use fairlead_core::model::Destination;
use fairlead_core::route::{DropReason, Origin, RejectReason, Route, Verdict};
use fairlead_lab::{Failure, Series};

/// Between namespaces the ICMPv6 answer to a first SYN changes nothing, and connect(2) fails at the
/// answer to the second, after more time than a probe has (seen with Linux 6.18).
const LATE: &str = "over IPv6 the client notices a second later";

/// What went wrong with connections from somewhere, and why, as far as the route explains it.
/// `None` when all were answered.
pub(super) fn of(route: &Route, origin: Origin, series: &Series) -> Option<String> {
    let failures = series.outcome().errors;
    let met = failures.first()?;
    let explained = match route.verdicts.from(origin) {
        Verdict::Reject(reason) => match met {
            Failure::Refused => Some(rejected(reason).to_owned()),
            Failure::Timeout if is_ipv6(route.destination) => {
                Some(format!("{}; {LATE}", rejected(reason)))
            }
            _ => None,
        },
        Verdict::Drop(reason) => (*met == Failure::Timeout).then(|| dropped(reason).to_owned()),
        Verdict::Forward { .. } => sources(route).filter(|_| *met == Failure::Timeout),
    };
    if let (1, Some(explained)) = (failures.len(), explained) {
        return Some(explained);
    }
    let mut text = "not as the rules say:".to_owned();
    for (failure, count) in &series.errors {
        // Writing to a string does not fail.
        let _ = write!(text, " {count} {failure}");
    }
    Some(text)
}

fn is_ipv6(destination: Destination) -> bool {
    match destination {
        Destination::Address(ip, ..) => ip.is_ipv6(),
        Destination::NodePort(family, ..) => family == Family::V6,
    }
}

fn rejected(reason: RejectReason) -> &'static str {
    match reason {
        RejectReason::NoEndpoint => "refused: the Service has no endpoint",
        RejectReason::NoneReady => "refused: no endpoint of the Service is ready",
    }
}

fn dropped(reason: DropReason) -> &'static str {
    match reason {
        DropReason::NoLocalEndpointInternal => {
            "dropped: internalTrafficPolicy is Local, and no endpoint is on this node"
        }
        DropReason::NoLocalEndpointExternal => {
            "dropped: externalTrafficPolicy is Local, and no endpoint is on this node"
        }
    }
}

fn sources(route: &Route) -> Option<String> {
    let sources = route.sources.as_ref()?;
    let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
    Some(format!(
        "dropped: loadBalancerSourceRanges lets in {} alone",
        sources.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fairlead_core::address::Protocol;
    use fairlead_core::model::DestinationKind;
    use fairlead_core::route::{Pool, Verdicts};

    use super::*;

    fn reason(verdict: Verdict, sources: &[&str], failure: Failure) -> Option<String> {
        let route = Route {
            destination: Destination::NodePort(Family::V4, Protocol::Tcp, 30080),
            kind: DestinationKind::NodePort,
            verdicts: Verdicts::same(verdict),
            sources: (!sources.is_empty())
                .then(|| sources.iter().map(|net| net.parse().unwrap()).collect()),
        };
        let series = Series {
            errors: BTreeMap::from([(failure, 4)]),
            ..Series::default()
        };
        of(&route, Origin::Elsewhere, &series)
    }

    const FORWARD: Verdict = Verdict::Forward {
        pool: Pool::Cluster,
        masquerade: true,
    };

    #[test]
    fn what_was_decided_explains_what_was_met() {
        for (verdict, sources, failure, expected) in [
            (
                Verdict::Reject(RejectReason::NoEndpoint),
                &[][..],
                Failure::Refused,
                "refused: the Service has no endpoint",
            ),
            (
                Verdict::Drop(DropReason::NoLocalEndpointExternal),
                &[],
                Failure::Timeout,
                "dropped: externalTrafficPolicy is Local, and no endpoint is on this node",
            ),
            (
                FORWARD,
                &["192.0.2.0/24", "203.0.113.0/24"],
                Failure::Timeout,
                "dropped: loadBalancerSourceRanges lets in 192.0.2.0/24, 203.0.113.0/24 alone",
            ),
        ] {
            assert_eq!(reason(verdict, sources, failure).as_deref(), Some(expected));
        }
    }

    #[test]
    fn refused_over_ipv6_may_look_like_dropped() {
        let route = Route {
            destination: Destination::NodePort(Family::V6, Protocol::Tcp, 30080),
            kind: DestinationKind::NodePort,
            verdicts: Verdicts::same(Verdict::Reject(RejectReason::NoneReady)),
            sources: None,
        };
        let series = Series {
            errors: BTreeMap::from([(Failure::Timeout, 4)]),
            ..Series::default()
        };
        assert_eq!(
            of(&route, Origin::LocalPod, &series).as_deref(),
            Some(
                "refused: no endpoint of the Service is ready; \
                 over IPv6 the client notices a second later"
            )
        );
    }

    #[test]
    fn what_was_not_decided_is_not_explained() {
        for (verdict, failure, expected) in [
            (FORWARD, Failure::Timeout, "not as the rules say: 4 timeout"),
            (
                Verdict::Reject(RejectReason::NoneReady),
                Failure::Timeout,
                "not as the rules say: 4 timeout",
            ),
            (
                Verdict::Drop(DropReason::NoLocalEndpointInternal),
                Failure::Refused,
                "not as the rules say: 4 refused",
            ),
        ] {
            assert_eq!(reason(verdict, &[], failure).as_deref(), Some(expected));
        }
    }
}

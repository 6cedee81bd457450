//! Says what was found as words, for comparison with what was expected.

use std::fmt::Display;

use fairlead_core::model::DestinationKind;
use fairlead_core::route::{
    DropReason, Pool, RejectReason, Route, Routes, Target, Verdict, Verdicts,
};

/// Printed forms.
pub(crate) fn texts<T: Display>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// The addresses of a pool.
pub(crate) fn addresses(pool: &[Target]) -> Vec<String> {
    texts(pool.iter().map(|target| target.address))
}

/// The route of one kind of destination. There must be one, and one alone.
pub(crate) fn route_of(routes: &Routes, kind: DestinationKind) -> &Route {
    let mut found = routes.routes.iter().filter(|route| route.kind == kind);
    match (found.next(), found.next()) {
        (Some(route), None) => route,
        _ => panic!("one {kind:?} was expected: {:#?}", routes.routes),
    }
}

/// Verdicts for a local pod, the node and others, as words.
pub(crate) fn words(verdicts: Verdicts) -> [&'static str; 3] {
    [verdicts.local_pod, verdicts.node, verdicts.elsewhere].map(word)
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Forward { pool, masquerade } => match (pool, masquerade) {
            (Pool::Cluster, false) => "cluster",
            (Pool::Cluster, true) => "cluster masq",
            (Pool::Local, false) => "local",
            (Pool::Local, true) => "local masq",
        },
        Verdict::Reject(RejectReason::NoEndpoint) => "reject: no endpoint",
        Verdict::Reject(RejectReason::NoneReady) => "reject: none ready",
        Verdict::Drop(DropReason::NoLocalEndpointInternal) => "drop: internal",
        Verdict::Drop(DropReason::NoLocalEndpointExternal) => "drop: external",
    }
}

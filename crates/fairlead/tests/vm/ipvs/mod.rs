//! ipvs mode: what IPVS has, whom it chooses, and what becomes of connections.

mod addresses;
mod endings;
mod hashes;
mod held;
mod load;
mod loads;
mod missing;
mod node;
mod others;
mod shares;
mod switched;

use crate::{Test, conformance, many, scenarios, sctp};

/// What runs in the machine, each in one of its own.
pub(crate) const TESTS: &[Test] = &[
    ("ipvs_has_what_was_recorded", conformance::is_met_by_ipvs),
    ("ipvs_chooses_as_schedulers_promise", || many::all(CHOICES)),
    ("ipvs_connections_end_in_peace", || many::all(ENDINGS)),
    (
        "ipvs_loses_no_connection_in_a_thousand_changes",
        load::no_connection_is_lost_in_a_thousand_changes,
    ),
    ("ipvs_gets_on_with_the_node", || many::all(NODE)),
    (
        "ipvs_does_without_a_scheduler",
        missing::rr_chooses_where_there_is_no_such_scheduler,
    ),
    ("scenarios_happen_in_ipvs_mode", scenarios::happen),
];

macro_rules! tests {
    ($($module:ident::$test:ident),* $(,)?) => {
        &[$((concat!(stringify!($module), "::", stringify!($test)), $module::$test)),*]
    };
}

const CHOICES: &[Test] = tests![
    shares::rr_gives_equal_shares,
    shares::wrr_gives_shares_by_weight,
    loads::the_one_with_fewest_connections_gets_the_next,
    loads::wlc_looks_at_weights,
    loads::sed_prefers_the_fastest_and_nq_the_idle,
    loads::fo_fails_over,
    loads::ovf_flows_over,
    loads::a_destination_has_one_endpoint,
    hashes::sh_sends_a_client_to_one_endpoint,
    hashes::sh_looks_at_ports_if_told_to,
    hashes::mh_keeps_most_where_they_are,
];

const ENDINGS: &[Test] = tests![
    endings::an_open_connection_outlives_its_endpoint,
    endings::an_endpoint_without_connections_goes_soon,
    endings::a_flow_of_datagrams_goes_elsewhere_at_once,
    endings::a_remembered_client_meets_another_endpoint,
    endings::a_client_is_forgotten_in_time,
];

const NODE: &[Test] = tests![
    others::what_others_take_away_comes_back,
    others::virtual_servers_of_others_stay_where_they_are_excluded,
    addresses::a_service_address_refuses_ping_and_other_ports,
    addresses::with_strict_arp_nobody_answers_for_a_service,
    switched::a_restart_changes_nothing,
    switched::modes_take_over_from_each_other,
    sctp::is_forwarded_by_ipvs,
];

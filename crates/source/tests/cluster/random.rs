//! Random changes while faults happen by chance: what was told ends up as what the server has.

use std::time::Duration;

use fairlead_core::api::{Change, Kind};
use fairlead_lab::api_server::{ApiServer, Resource, StreamingLists};
use proptest::prelude::*;

use crate::ear::{Ear, quick};
use crate::objects::{cidr, service, slice};

#[derive(Debug, Clone)]
enum Step {
    Service(u8, u8),
    NoService(u8),
    Slice(u8, u8),
    NoSlice(u8),
    Range(u8),
    Compact,
    Reset,
    /// Refuses connections for a moment.
    Down,
    Wait,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..8_u8, any::<u8>()).prop_map(|(name, ip)| Step::Service(name, ip)),
        3 => (0..8_u8).prop_map(Step::NoService),
        6 => (0..8_u8, 0..4_u8).prop_map(|(name, count)| Step::Slice(name, count)),
        3 => (0..8_u8).prop_map(Step::NoSlice),
        1 => any::<u8>().prop_map(Step::Range),
        1 => Just(Step::Compact),
        1 => Just(Step::Reset),
        1 => Just(Step::Down),
        4 => Just(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

fn take(step: &Step, server: &ApiServer, ear: &mut Ear) {
    match step {
        Step::Service(name, ip) => {
            let (name, address) = (format!("service-{name}"), format!("10.96.0.{ip}"));
            server.apply(&service(&name, &address)).unwrap();
        }
        Step::NoService(name) => {
            server.delete(Resource::Services, "shop", &format!("service-{name}"));
        }
        Step::Slice(name, count) => {
            let all = ["10.1.0.1", "10.1.0.2", "10.1.0.3"];
            let some = &all[..usize::from(*count)];
            let name = format!("slice-{name}");
            server.apply(&slice(&name, "web", some)).unwrap();
        }
        Step::NoSlice(name) => {
            server.delete(Resource::EndpointSlices, "shop", &format!("slice-{name}"));
        }
        Step::Range(number) => {
            let range = format!("10.{number}.0.0/16");
            server.apply(&cidr("kubernetes", &range)).unwrap();
        }
        Step::Compact => server.compact(),
        Step::Reset => server.reset_connections(),
        Step::Down => {
            server.go_down().unwrap();
            ear.listen_for(Duration::from_millis(5));
            server.go_on().unwrap();
        }
        Step::Wait => ear.listen_for(Duration::from_millis(5)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_was_told_is_what_the_server_has(
        steps in steps(),
        seed in any::<u64>(),
        refuses in any::<bool>(),
        as_http in any::<bool>(),
    ) {
        let streaming = if refuses { StreamingLists::Refused } else { StreamingLists::On };
        let builder = ApiServer::builder().streaming_lists(streaming).page_limit(3);
        let builder = if as_http { builder.gone_as_http() } else { builder };
        let server = builder.start().unwrap();
        server.chaos(seed, 0.1);
        let mut ear = Ear::with(server.kubeconfig(), quick());
        for step in &steps {
            take(step, &server, &mut ear);
        }
        server.calm();
        ear.until_equal(&server);
        ear.until_synced();
        for kind in Kind::ALL {
            prop_assert_eq!(ear.count(&Change::Synced(kind)), 1);
        }
    }
}

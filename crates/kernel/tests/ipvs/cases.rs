//! What IPVS does, case by case, and random histories. The fake is held to it here, and the
//! kernel in a machine (crates/fairlead/tests/vm).

use std::net::SocketAddr;

use fairlead_kernel::ipvs::handle::{Ipvs, Op, Refusal};
use fairlead_kernel::ipvs::server::{
    Flags, ObservedReal, Protocol, RealServer, SchedulerName, VirtualAddress, VirtualServer,
};
use proptest::prelude::*;

/// Operations, each with the error number that it is refused with; 0 for none.
pub(crate) type Case = (&'static str, Vec<(Op, i32)>);

/// All of a virtual server.
pub(crate) type Found = (VirtualServer, Vec<ObservedReal>);

pub(crate) fn address(text: &str, protocol: Protocol) -> VirtualAddress {
    let address: SocketAddr = text.parse().unwrap();
    VirtualAddress {
        address: address.ip(),
        protocol,
        port: address.port(),
    }
}

pub(crate) fn web() -> VirtualAddress {
    address("10.96.0.1:80", Protocol::Tcp)
}

pub(crate) fn web6() -> VirtualAddress {
    address("[fd00:10:96::1]:80", Protocol::Tcp)
}

pub(crate) fn server(address: VirtualAddress, scheduler: &str) -> VirtualServer {
    VirtualServer {
        address,
        scheduler: SchedulerName::new(scheduler).unwrap(),
        flags: Flags::default(),
        persistence: None,
    }
}

pub(crate) fn real(address: &str, weight: u32) -> RealServer {
    let address = address.parse().unwrap();
    RealServer { address, weight }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = server_cases();
    cases.extend(real_cases());
    cases
}

fn server_cases() -> Vec<Case> {
    use libc::{EEXIST, ENOENT, ESRCH};
    let sticky = VirtualServer {
        persistence: Some(10800),
        flags: Flags::FALLBACK.with(Flags::PORT),
        ..server(web(), "sh")
    };
    let port_0 = VirtualAddress { port: 0, ..web() };
    vec![
        (
            "a virtual server is there once, and until it is removed",
            vec![
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::AddServer(server(web(), "wrr")), EEXIST),
                (Op::RemoveServer(web()), 0),
                (Op::RemoveServer(web()), ESRCH),
            ],
        ),
        (
            "protocols and families are apart",
            vec![
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::AddServer(server(web6(), "rr")), 0),
                (
                    Op::AddServer(server(
                        VirtualAddress {
                            protocol: Protocol::Udp,
                            ..web()
                        },
                        "rr",
                    )),
                    0,
                ),
                (
                    Op::AddServer(server(
                        VirtualAddress {
                            protocol: Protocol::Sctp,
                            ..web6()
                        },
                        "lc",
                    )),
                    0,
                ),
            ],
        ),
        (
            "a scheduler that is not there is refused, after whether the virtual server is",
            vec![
                (Op::AddServer(server(web(), "nonesuch")), ENOENT),
                (Op::EditServer(server(web(), "nonesuch")), ESRCH),
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::AddServer(server(web(), "nonesuch")), EEXIST),
                (Op::EditServer(server(web(), "nonesuch")), ENOENT),
            ],
        ),
        (
            "what is changed has nothing left of what it was",
            vec![
                (Op::AddServer(sticky), 0),
                (Op::AddReal(web(), real("10.244.1.5:8080", 1)), 0),
                (Op::EditServer(server(web(), "rr")), 0),
                (Op::EditServer(sticky), 0),
                (
                    Op::EditServer(VirtualServer {
                        persistence: Some(0),
                        ..server(web(), "mh")
                    }),
                    0,
                ),
            ],
        ),
        (
            "any port, with and without persistence",
            vec![
                (Op::AddServer(server(port_0, "rr")), 0),
                (
                    Op::EditServer(VirtualServer {
                        persistence: Some(1),
                        ..server(port_0, "rr")
                    }),
                    0,
                ),
            ],
        ),
    ]
}

fn real_cases() -> Vec<Case> {
    use libc::{EEXIST, EINVAL, ENOENT, ERANGE, ESRCH};
    let first = real("10.244.1.5:8080", 1);
    let add = |of, address| Op::AddReal(of, real(address, 1));
    vec![
        (
            "without a virtual server there are no real ones",
            vec![
                (Op::AddReal(web(), first), ESRCH),
                (Op::EditReal(web(), first), ESRCH),
                (Op::RemoveReal(web(), first.address), ESRCH),
                (add(web(), "[fd00::1]:80"), ESRCH),
            ],
        ),
        (
            "a real server is there once, and until it is removed",
            vec![
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::EditReal(web(), first), ENOENT),
                (Op::RemoveReal(web(), first.address), ENOENT),
                (Op::AddReal(web(), first), 0),
                (Op::AddReal(web(), real("10.244.1.5:8080", 2)), EEXIST),
                (Op::EditReal(web(), real("10.244.1.5:8080", 0)), 0),
                (add(web(), "10.244.1.5:8081"), 0),
                (Op::RemoveReal(web(), first.address), 0),
                (Op::RemoveReal(web(), first.address), ENOENT),
                (Op::AddReal(web(), first), 0),
            ],
        ),
        (
            "real servers go with their virtual server",
            vec![
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::AddReal(web(), first), 0),
                (Op::RemoveServer(web()), 0),
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::RemoveReal(web(), first.address), ENOENT),
            ],
        ),
        (
            "a weight has 31 bits",
            vec![
                (Op::AddServer(server(web(), "rr")), 0),
                (
                    Op::AddReal(web(), real("10.244.1.5:80", i32::MAX.cast_unsigned())),
                    0,
                ),
                (Op::AddReal(web(), real("10.244.1.6:80", 1 << 31)), ERANGE),
                (Op::EditReal(web(), real("10.244.1.5:80", u32::MAX)), ERANGE),
                (Op::EditReal(web(), real("10.244.1.9:80", u32::MAX)), ERANGE),
            ],
        ),
        (
            "a real server is of its virtual server's family",
            vec![
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::AddServer(server(web6(), "rr")), 0),
                (add(web(), "[fd00::1]:80"), EINVAL),
                (add(web6(), "10.244.1.5:80"), EINVAL),
                (Op::EditReal(web(), real("[fd00::1]:80", 1)), EINVAL),
                (Op::AddReal(web(), real("[fd00::1]:80", u32::MAX)), EINVAL),
                (
                    Op::RemoveReal(web(), "[fd00::1]:80".parse().unwrap()),
                    ENOENT,
                ),
                (add(web6(), "[fd00::1]:80"), 0),
            ],
        ),
        (
            "a new real server is one host",
            vec![
                (Op::AddServer(server(web(), "rr")), 0),
                (Op::AddServer(server(web6(), "rr")), 0),
                (add(web(), "0.0.0.0:80"), EINVAL),
                (add(web(), "224.0.0.1:80"), EINVAL),
                (add(web(), "255.255.255.255:80"), EINVAL),
                (add(web(), "127.0.0.1:0"), 0),
                (add(web6(), "[::]:80"), EINVAL),
                (add(web6(), "[::1]:80"), 0),
                (add(web6(), "[fe80::1]:80"), EINVAL),
                (add(web6(), "[ff02::1]:80"), EINVAL),
                (add(web6(), "[::ffff:10.244.1.5]:80"), EINVAL),
                (Op::EditReal(web(), real("224.0.0.1:80", 1)), ENOENT),
            ],
        ),
    ]
}

/// Applies a case to what is empty before, and empties it again. Says what was there.
pub(crate) fn check(ipvs: &mut impl Ipvs, (name, case): &Case) -> Vec<Found> {
    let ops: Vec<Op> = case.iter().map(|(op, _)| *op).collect();
    let numbered = case.iter().enumerate();
    let refused = numbered.filter(|(_, (_, errno))| *errno != 0);
    let refused: Vec<Refusal> = refused
        .map(|(op, (_, errno))| Refusal { op, errno: *errno })
        .collect();
    let applied = ipvs.apply(&ops).unwrap();
    assert_eq!(applied.refused, refused, "{name}");
    let found = all(ipvs);
    empty(ipvs);
    found
}

/// All that there is, sorted.
pub(crate) fn all(ipvs: &mut impl Ipvs) -> Vec<Found> {
    let mut all: Vec<Found> = Vec::new();
    for server in ipvs.servers().unwrap() {
        let mut reals = ipvs.reals(server.address).unwrap();
        reals.sort_by_key(|real| real.server.address);
        all.push((server, reals));
    }
    all.sort_by_key(|(server, _)| server.address);
    all
}

pub(crate) fn empty(ipvs: &mut impl Ipvs) {
    let servers = ipvs.servers().unwrap().into_iter();
    let removals: Vec<Op> = servers
        .map(|server| Op::RemoveServer(server.address))
        .collect();
    assert_eq!(ipvs.apply(&removals).unwrap().refused, []);
    assert_eq!(ipvs.servers().unwrap(), []);
}

/// Operations of a small world, so that they meet, in several calls.
pub(crate) fn any_history() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let ops = prop::collection::vec(any_op(), 1..12);
    prop::collection::vec(ops, 1..6)
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => any_server().prop_map(Op::AddServer),
        2 => any_server().prop_map(Op::EditServer),
        1 => any_address().prop_map(Op::RemoveServer),
        6 => (any_address(), any_real()).prop_map(|(of, real)| Op::AddReal(of, real)),
        4 => (any_address(), any_real()).prop_map(|(of, real)| Op::EditReal(of, real)),
        3 => (any_address(), any_real()).prop_map(|(of, real)| Op::RemoveReal(of, real.address)),
    ]
}

fn any_address() -> impl Strategy<Value = VirtualAddress> {
    let texts = vec![
        "10.96.0.1:80",
        "10.96.0.1:443",
        "10.96.0.2:80",
        "[fd00:10:96::1]:80",
    ];
    let protocols = vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    (prop::sample::select(texts), prop::sample::select(protocols))
        .prop_map(|(text, protocol)| address(text, protocol))
}

fn any_server() -> impl Strategy<Value = VirtualServer> {
    let schedulers = vec!["rr", "wrr", "lc", "sh", "mh", "nonesuch"];
    let flags = vec![0, 0, 0x8, 0x10, 0x18];
    let persistence = vec![None, None, Some(1), Some(10800), Some(86400)];
    let scheduler = prop::sample::select(schedulers);
    let (flags, persistence) = (
        prop::sample::select(flags),
        prop::sample::select(persistence),
    );
    (any_address(), scheduler, flags, persistence).prop_map(
        |(address, scheduler, flags, persistence)| VirtualServer {
            flags: Flags(flags),
            persistence,
            ..server(address, scheduler)
        },
    )
}

fn any_real() -> impl Strategy<Value = RealServer> {
    let addresses = vec![
        "10.244.1.5:8080",
        "10.244.1.6:8080",
        "10.244.1.6:8081",
        "224.0.0.1:80",
        "[fd00:10:244::5]:8080",
        "[fd00:10:244::6]:8080",
    ];
    let weights = vec![0, 1, 1, 1, 100, u32::MAX];
    (
        prop::sample::select(addresses),
        prop::sample::select(weights),
    )
        .prop_map(|(address, weight)| real(address, weight))
}

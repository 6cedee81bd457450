//! The fake IPVS, and its text. That the kernel does as the fake is shown where there is a
//! kernel with IPVS (crates/fairlead/tests/vm).

mod cases;

use cases::{address, all, any_history, check, real, server, web, web6};
use fairlead_kernel::fault::{Call, Fault, Faulty};
use fairlead_kernel::ipvs::fake::FakeIpvs;
use fairlead_kernel::ipvs::handle::{Ipvs, Op};
use fairlead_kernel::ipvs::scheduler::has_scheduler;
use fairlead_kernel::ipvs::server::{
    Flags, Protocol, SchedulerName, Timeouts, VirtualAddress, VirtualServer,
};
use fairlead_kernel::ipvs::text;
use proptest::prelude::*;

#[test]
fn the_fake_does_what_the_kernel_does() {
    for case in cases::cases() {
        check(&mut FakeIpvs::new(), &case);
    }
}

proptest! {
    #[test]
    fn what_is_saved_makes_the_same_again(history in any_history()) {
        let mut fake = FakeIpvs::new();
        for ops in &history {
            fake.apply(ops).unwrap();
        }
        let mut ops = Vec::new();
        for (server, reals) in all(&mut fake) {
            ops.push(Op::AddServer(server));
            ops.extend(reals.iter().map(|real| Op::AddReal(server.address, real.server)));
        }
        let mut again = FakeIpvs::new();
        prop_assert_eq!(again.apply(&ops).unwrap().refused, []);
        prop_assert_eq!(again.saved(), fake.saved());
        prop_assert_eq!(text::script(&ops), fake.saved());
    }
}

#[test]
fn operations_are_told_as_ipvsadm_takes_them() {
    let dns = address("[fd00:10:96::a]:53", Protocol::Udp);
    let peers = address("10.96.0.2:3868", Protocol::Sctp);
    let sticky = VirtualServer {
        persistence: Some(10800),
        flags: Flags::FALLBACK.with(Flags::PORT),
        ..server(web(), "sh")
    };
    let maglev = VirtualServer {
        flags: Flags::PORT,
        ..server(peers, "mh")
    };
    let other = VirtualServer {
        flags: Flags(0x3c),
        ..server(dns, "rr")
    };
    let ops = [
        Op::AddServer(sticky),
        Op::AddReal(web(), real("10.244.1.5:8080", 1)),
        Op::EditReal(web(), real("10.244.1.5:8080", 0)),
        Op::RemoveReal(web(), real("10.244.1.5:8080", 0).address),
        Op::EditServer(maglev),
        Op::AddServer(other),
        Op::AddReal(dns, real("[fd00:10:244::5]:53", 7)),
        Op::RemoveServer(dns),
    ];
    let expected = "\
-A -t 10.96.0.1:80 -s sh -p 10800 -b sh-fallback,sh-port
-a -t 10.96.0.1:80 -r 10.244.1.5:8080 -m -w 1
-e -t 10.96.0.1:80 -r 10.244.1.5:8080 -m -w 0
-d -t 10.96.0.1:80 -r 10.244.1.5:8080
-E --sctp-service 10.96.0.2:3868 -s mh -b mh-port
-A -u [fd00:10:96::a]:53 -s rr -o -b flag-1,flag-2,flag-3
-a -u [fd00:10:96::a]:53 -r [fd00:10:244::5]:53 -m -w 7
-D -u [fd00:10:96::a]:53
";
    assert_eq!(text::script(&ops), expected);
}

#[test]
fn only_what_is_refused_is_not_carried_out() {
    let mut fake = FakeIpvs::new();
    let ops = [
        Op::AddServer(server(web(), "rr")),
        Op::AddServer(server(web6(), "nonesuch")),
        Op::AddReal(web6(), real("[fd00::1]:80", 1)),
        Op::AddReal(web(), real("10.244.1.5:8080", 1)),
    ];
    let applied = fake.apply(&ops).unwrap();
    let refused: Vec<_> = applied
        .refused
        .iter()
        .map(|one| (one.op, one.errno))
        .collect();
    assert_eq!(refused, [(1, libc::ENOENT), (2, libc::ESRCH)]);
    let saved = "-A -t 10.96.0.1:80 -s rr\n-a -t 10.96.0.1:80 -r 10.244.1.5:8080 -m -w 1\n";
    assert_eq!(fake.saved(), saved);
}

#[test]
fn connections_stay_with_a_real_server_whose_weight_changes() {
    let mut fake = FakeIpvs::new();
    let one = real("10.244.1.5:8080", 1);
    let ops = [Op::AddServer(server(web(), "rr")), Op::AddReal(web(), one)];
    fake.apply(&ops).unwrap();
    assert!(fake.set_connections(web(), one.address, 3, 4));
    assert!(!fake.set_connections(web6(), one.address, 3, 4));
    fake.apply(&[Op::EditReal(web(), real("10.244.1.5:8080", 0))])
        .unwrap();
    let found = fake.reals(web()).unwrap();
    assert_eq!(
        (found[0].active, found[0].inactive, found[0].server.weight),
        (3, 4, 0)
    );
    assert_eq!(fake.reals(web6()).unwrap(), []);
}

#[test]
fn a_scheduler_is_looked_for_among_virtual_servers_and_then_tried() {
    let name = |name| SchedulerName::new(name).unwrap();
    let mut fake = FakeIpvs::with_schedulers(&["rr"]);
    assert_eq!(has_scheduler(&mut fake, name("rr")), Ok(true));
    assert_eq!(has_scheduler(&mut fake, name("mh")), Ok(false));
    assert_eq!(fake.servers(), Ok(vec![]));
    // What somebody left does not say that the scheduler is there, and goes.
    let left = address("198.51.100.0:20000", Protocol::Tcp);
    fake.apply(&[Op::AddServer(server(left, "rr"))]).unwrap();
    assert_eq!(has_scheduler(&mut fake, name("mh")), Ok(false));
    assert_eq!(fake.servers(), Ok(vec![]));
    // With a virtual server that uses it nothing has to be added.
    fake.apply(&[Op::AddServer(server(web(), "rr"))]).unwrap();
    let mut fake = Faulty::new(fake, |call| {
        (call == Call::Apply).then_some(Fault::Before(libc::EIO))
    });
    assert_eq!(has_scheduler(&mut fake, name("rr")), Ok(true));
    assert_eq!(
        has_scheduler(&mut fake, name("mh")).unwrap_err().errno,
        libc::EIO
    );
}

#[test]
fn a_call_with_a_fault_is_carried_out_before_it_or_not_at_all() {
    for (fault, count) in [
        (Fault::Before(libc::ENOBUFS), 0),
        (Fault::After(libc::ENOBUFS), 1),
    ] {
        let mut fake = Faulty::new(FakeIpvs::new(), |call| {
            (call == Call::Apply).then_some(fault)
        });
        let error = fake
            .apply(&[Op::AddServer(server(web(), "rr"))])
            .unwrap_err();
        assert_eq!(error.errno, libc::ENOBUFS);
        assert_eq!(fake.servers().unwrap().len(), count);
    }
    let mut fake = Faulty::new(FakeIpvs::new(), |_| Some(Fault::Before(libc::EINTR)));
    assert_eq!(fake.servers().unwrap_err().errno, libc::EINTR);
    assert_eq!(fake.reals(web()).unwrap_err().errno, libc::EINTR);
}

#[test]
fn a_timeout_of_zero_stays_as_it_is() {
    let mut fake = FakeIpvs::new();
    let before = fake.timeouts();
    let wanted = Timeouts {
        tcp: 0,
        tcp_fin: 7,
        udp: 0,
    };
    fake.set_timeouts(wanted).unwrap();
    assert_eq!(
        fake.timeouts(),
        Timeouts {
            tcp_fin: 7,
            ..before
        }
    );
}

#[test]
fn a_timeout_that_cannot_be_counted_is_refused_with_the_others() {
    let mut fake = FakeIpvs::new();
    let before = fake.timeouts();
    let wanted = Timeouts {
        tcp: 60,
        tcp_fin: 0,
        udp: 1 << 24,
    };
    assert_eq!(fake.set_timeouts(wanted).unwrap_err().errno, libc::EINVAL);
    assert_eq!(fake.timeouts(), before);
}

#[test]
fn a_virtual_server_says_what_it_is() {
    let of = VirtualAddress {
        protocol: Protocol::Sctp,
        ..web6()
    };
    let op = Op::AddReal(of, real("[fd00::5]:80", 2));
    assert_eq!(
        op.to_string(),
        "add SCTP [fd00:10:96::1]:80 -> [fd00::5]:80 weight 2"
    );
}

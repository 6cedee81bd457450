//! Builds a small network of the real kernel's, lists it, and sends something through it.

mod privilege;

use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use fairlead_kernel::link::{
    Address, AddressDevice, AddressMonitor, Addresses, DeviceOp, DeviceRefusal, DummyDevice, Route,
    Rtnetlink, Scope,
};
use fairlead_kernel::netns::Netns;
use ipnet::IpNet;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A router with one host behind it, which has no route but the one to the router.
fn router_and_host() -> (Netns, Netns) {
    let (router, host) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    router
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            rtnetlink.add_veth("veth0", "eth0", &host).unwrap();
            rtnetlink.set_up("lo").unwrap();
            rtnetlink.set_up("veth0").unwrap();
            rtnetlink.add_address("veth0", net("192.0.2.1/24")).unwrap();
            rtnetlink
                .add_address("veth0", net("2001:db8::1/64"))
                .unwrap();
            rtnetlink.add_address("lo", net("198.51.100.1/32")).unwrap();
        })
        .unwrap();
    host.run(|| {
        let mut rtnetlink = Rtnetlink::open().unwrap();
        rtnetlink.set_up("eth0").unwrap();
        rtnetlink.add_address("eth0", net("192.0.2.2/24")).unwrap();
        rtnetlink
            .add_address("eth0", net("2001:db8::2/64"))
            .unwrap();
        rtnetlink
            .add_route(&Route::to(net("0.0.0.0/0")).via(ip("192.0.2.1")))
            .unwrap();
        rtnetlink
            .add_route(&Route::to(net("::/0")).via(ip("2001:db8::1")).dev("eth0"))
            .unwrap();
    })
    .unwrap();
    (router, host)
}

#[test]
fn addresses_are_listed_with_device_and_scope() {
    if !privilege::is_root() {
        return;
    }
    let (router, _host) = router_and_host();
    let (addresses, veth, lo) = router
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            let addresses = rtnetlink.addresses().unwrap();
            (
                addresses,
                rtnetlink.link_index("veth0").unwrap(),
                rtnetlink.link_index("lo").unwrap(),
            )
        })
        .unwrap();
    let expected = |text, scope, link, loopback| {
        let net = net(text);
        Address {
            ip: net.addr(),
            prefix_len: net.prefix_len(),
            scope,
            link,
            loopback,
        }
    };
    for address in [
        expected("127.0.0.1/8", Scope::Host, lo, true),
        expected("::1/128", Scope::Host, lo, true),
        expected("198.51.100.1/32", Scope::Global, lo, true),
        expected("192.0.2.1/24", Scope::Global, veth, false),
        expected("2001:db8::1/64", Scope::Global, veth, false),
    ] {
        assert!(
            addresses.contains(&address),
            "{address:?} is not in {addresses:#?}"
        );
    }
}

#[test]
fn devices_are_listed_and_found_by_name() {
    if !privilege::is_root() {
        return;
    }
    let (router, _host) = router_and_host();
    router
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            let links = rtnetlink.links().unwrap();
            let veth = links.iter().find(|link| link.name == "veth0").unwrap();
            assert!(veth.up && !veth.loopback);
            assert_eq!(rtnetlink.link_index("veth0").unwrap(), veth.index);
            let lo = links.iter().find(|link| link.name == "lo").unwrap();
            assert!(lo.up && lo.loopback);
            assert_eq!(
                rtnetlink.link_index("none").unwrap_err().errno,
                libc::ENODEV
            );
        })
        .unwrap();
}

#[test]
fn packets_go_by_the_routes() {
    if !privilege::is_root() {
        return;
    }
    let (router, host) = router_and_host();
    let anybody = |netns: &Netns, to: IpAddr| {
        let any = if to.is_ipv4() {
            ip("0.0.0.0")
        } else {
            ip("::")
        };
        netns
            .run(|| UdpSocket::bind((any, if to.is_ipv4() { 1004 } else { 1006 })))
            .unwrap()
    };
    router
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            rtnetlink
                .add_route(&Route::local(net("203.0.113.0/24")).dev("lo"))
                .unwrap();
            rtnetlink
                .add_route(&Route::local(net("2001:db8:1::/64")).dev("lo"))
                .unwrap();
        })
        .unwrap();
    for (to, source) in [
        // An address of another device, and two that are nobody's but for the routes.
        ("198.51.100.1", "192.0.2.2"),
        ("203.0.113.77", "192.0.2.2"),
        ("2001:db8:1::7", "2001:db8::2"),
    ] {
        let to = ip(to);
        let (server, client) = (anybody(&router, to).unwrap(), anybody(&host, to).unwrap());
        server
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client
            .send_to(b"hello", (to, server.local_addr().unwrap().port()))
            .unwrap();
        let mut buffer = [0; 16];
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.ip()), (&b"hello"[..], ip(source)));
    }
}

#[test]
fn a_route_can_choose_the_source_address() {
    if !privilege::is_root() {
        return;
    }
    let (router, _host) = router_and_host();
    let chosen = router
        .run(|| {
            let route = Route::to(net("203.0.113.0/24"))
                .dev("veth0")
                .src(ip("198.51.100.1"));
            Rtnetlink::open().unwrap().add_route(&route).unwrap();
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket.connect("203.0.113.9:9").unwrap();
            socket.local_addr().unwrap().ip()
        })
        .unwrap();
    assert_eq!(chosen, ip("198.51.100.1"));
}

#[test]
fn a_refusal_names_what_was_refused() {
    if !privilege::is_root() {
        return;
    }
    let (router, host) = router_and_host();
    router
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            let twice = rtnetlink
                .add_address("veth0", net("192.0.2.1/24"))
                .unwrap_err();
            assert_eq!(twice.errno, libc::EEXIST);
            assert!(
                twice.to_string().contains("192.0.2.1/24 dev veth0"),
                "{twice}"
            );
            let twice = rtnetlink.add_veth("veth0", "eth9", &host).unwrap_err();
            assert_eq!(twice.errno, libc::EEXIST, "{twice}");
            let nowhere = Route::to(net("203.0.113.0/24")).via(ip("198.51.100.200"));
            let nowhere = rtnetlink.add_route(&nowhere).unwrap_err();
            assert_eq!(nowhere.errno, libc::ENETUNREACH);
            assert!(
                nowhere.to_string().contains("via 198.51.100.200"),
                "{nowhere}"
            );
        })
        .unwrap();
}

#[test]
fn ipv6_addresses_that_the_kernel_makes_itself_have_the_scope_of_their_link() {
    if !privilege::is_root() {
        return;
    }
    let (router, _host) = router_and_host();
    let mut link_local = None;
    router
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            soon(|| {
                let addresses = rtnetlink.addresses().unwrap();
                link_local = addresses
                    .into_iter()
                    .find(|address| address.scope == Scope::Link);
                link_local.is_some()
            })
        })
        .unwrap();
    let address = link_local.unwrap();
    assert!(
        net("fe80::/64").contains(&address.ip) && address.prefix_len == 64,
        "{address:?}"
    );
}

#[test]
fn the_monitor_wakes_when_addresses_change_and_only_then() {
    if !privilege::is_root() {
        return;
    }
    Netns::anonymous()
        .unwrap()
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            rtnetlink.set_up("lo").unwrap();
            let mut monitor = AddressMonitor::open("kube-ipvs0").unwrap();
            for address in ["192.0.2.3/24", "2001:db8::3/64"] {
                assert!(!monitor.drain().unwrap(), "nothing has changed yet");
                rtnetlink.add_address("lo", net(address)).unwrap();
                assert!(soon(|| monitor.drain().unwrap()), "{address} came");
                assert!(!monitor.drain().unwrap(), "that was told already");
                rtnetlink.remove_address("lo", net(address)).unwrap();
                assert!(soon(|| monitor.drain().unwrap()), "{address} went");
            }
            rtnetlink
                .add_route(&Route::local(net("203.0.113.0/24")).dev("lo"))
                .unwrap();
            assert!(!monitor.drain().unwrap(), "a route is not an address");
        })
        .unwrap();
}

/// Whether something comes true within five seconds. What the kernel does to IPv6 addresses it
/// does a little later.
fn soon(mut is_true: impl FnMut() -> bool) -> bool {
    (0..500).any(|_| {
        is_true() || {
            thread::sleep(Duration::from_millis(10));
            false
        }
    })
}

/// Whether something comes true within a fifth of a second, which it is not to.
fn shortly(mut is_true: impl FnMut() -> bool) -> bool {
    thread::sleep(Duration::from_millis(200));
    is_true()
}

#[test]
fn more_changes_than_the_monitor_has_room_for_are_a_change() {
    if !privilege::is_root() {
        return;
    }
    Netns::anonymous()
        .unwrap()
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            let mut monitor = AddressMonitor::open("kube-ipvs0").unwrap();
            for last in 0..2000u32 {
                let address = format!("10.0.{}.{}/32", last / 250, last % 250);
                rtnetlink.add_address("lo", net(&address)).unwrap();
            }
            assert!(monitor.drain().unwrap());
            assert!(!monitor.drain().unwrap());
            assert_eq!(rtnetlink.addresses().unwrap().len(), 2000);
        })
        .unwrap();
}

#[test]
fn changes_of_the_device_that_is_left_out_are_none() {
    if !privilege::is_root() {
        return;
    }
    let (router, host) = (Netns::anonymous().unwrap(), Netns::anonymous().unwrap());
    router
        .run(|| {
            let mut rtnetlink = Rtnetlink::open().unwrap();
            let mut monitor = AddressMonitor::open("out0").unwrap();
            for _ in 0..2 {
                rtnetlink.add_veth("out0", "eth0", &host).unwrap();
                for address in ["10.96.0.1/32", "fd00::1/128"] {
                    rtnetlink.add_address("out0", net(address)).unwrap();
                    assert!(!shortly(|| monitor.drain().unwrap()), "{address} came");
                }
                rtnetlink.add_address("lo", net("192.0.2.1/32")).unwrap();
                assert!(soon(|| monitor.drain().unwrap()), "another's came");
                rtnetlink.remove_address("lo", net("192.0.2.1/32")).unwrap();
                assert!(soon(|| monitor.drain().unwrap()), "another's went");
                assert!(rtnetlink.remove_link("out0").unwrap());
                assert!(!shortly(|| monitor.drain().unwrap()), "the device went");
            }
        })
        .unwrap();
}

#[test]
fn a_device_of_another_type_is_not_taken_for_a_dummy() {
    if !privilege::is_root() {
        return;
    }
    let (router, _host) = router_and_host();
    router
        .run(|| {
            let mut device = DummyDevice::open("veth0").unwrap();
            let address = DeviceOp::Hold(ip("10.96.0.1"));
            for ops in [[DeviceOp::Create], [address]] {
                let error = device.apply(&ops).unwrap_err();
                assert_eq!(error.errno, libc::EEXIST);
                let said = error.to_string();
                assert!(said.contains("veth0, a device of another type"), "{said}");
            }
            assert_eq!(device.held().unwrap_err().errno, libc::EEXIST);
            let mut none = DummyDevice::open("none").unwrap();
            assert_eq!(none.held(), Ok(None));
            let gone = [address, DeviceOp::Release(ip("10.96.0.1"))];
            let errno = libc::ENODEV;
            assert_eq!(none.apply(&gone), Ok(vec![DeviceRefusal { op: 0, errno }]));
        })
        .unwrap();
}

//! What goes over the wire, byte by byte, on a little-endian host.
#![cfg(target_endian = "little")]

use proptest::prelude::*;

use super::*;
use crate::netlink::Messages;

const WEB: VirtualAddress = VirtualAddress {
    address: IpAddr::V4(Ipv4Addr::new(10, 96, 0, 1)),
    protocol: Protocol::Tcp,
    port: 80,
};

const DNS: VirtualAddress = VirtualAddress {
    address: IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xa)),
    protocol: Protocol::Udp,
    port: 53,
};

/// The attributes of [`WEB`]: family, protocol, address, port.
const WEB_ATTRIBUTES: &str = "
    0600 0100 0200 0000   0600 0200 0600 0000
    1400 0300 0a600001 00000000 00000000 00000000   0600 0400 0050 0000";

/// Those of [`DNS`].
const DNS_ATTRIBUTES: &str = "
    0600 0100 0a00 0000   0600 0200 1100 0000
    1400 0300 fd000000 00000000 00000000 0000000a   0600 0400 0035 0000";

/// Those of the real server 10.244.1.5:8080: family, address, port.
const REAL_ATTRIBUTES: &str = "
    0600 0b00 0200 0000
    1400 0100 0af40105 00000000 00000000 00000000   0600 0200 1f90 0000";

fn server(address: VirtualAddress, scheduler: &str) -> VirtualServer {
    VirtualServer {
        address,
        scheduler: SchedulerName::new(scheduler).unwrap(),
        flags: Flags::default(),
        persistence: None,
    }
}

fn real(weight: u32) -> RealServer {
    let address = "10.244.1.5:8080".parse().unwrap();
    RealServer { address, weight }
}

fn assert_written(write: impl FnOnce(&mut Builder), expected: &[&str]) {
    let mut body = Builder::default();
    write(&mut body);
    let hex = expected.concat();
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    let expected: Vec<u8> = digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect();
    assert_eq!(body.as_slice(), expected);
}

#[test]
fn a_virtual_server_is_told_with_all_that_it_is() {
    let web = VirtualServer {
        flags: Flags::FALLBACK.with(Flags::PORT),
        persistence: Some(10800),
        ..server(WEB, "sh")
    };
    let rest = "
        0700 0600 7368 0000   0c00 0700 19000000 ffffffff
        0800 0800 302a0000    0800 0900 ffffffff";
    let nest = "01010000 5400 0180";
    let expected = [nest, WEB_ATTRIBUTES, rest];
    assert_written(|body| operation(body, &Op::AddServer(web)), &expected);
    let nest = "02010000 5400 0180";
    let expected = [nest, WEB_ATTRIBUTES, rest];
    assert_written(|body| operation(body, &Op::EditServer(web)), &expected);
}

#[test]
fn the_netmask_of_ipv6_is_the_length_of_a_prefix() {
    let dns = server(DNS, "rr");
    let rest = "
        0700 0600 7272 0000   0c00 0700 00000000 ffffffff
        0800 0800 00000000    0800 0900 80000000";
    let expected = ["01010000 5400 0180", DNS_ATTRIBUTES, rest];
    assert_written(|body| operation(body, &Op::AddServer(dns)), &expected);
}

#[test]
fn a_removed_virtual_server_is_told_by_its_address() {
    let expected = ["03010000 3000 0180", WEB_ATTRIBUTES];
    assert_written(|body| operation(body, &Op::RemoveServer(WEB)), &expected);
    let expected = ["08010000 3000 0180", WEB_ATTRIBUTES];
    assert_written(|body| command(body, IPVS_CMD_GET_DEST, WEB), &expected);
}

#[test]
fn a_real_server_is_told_with_its_weight_and_translated() {
    let rest = "
        0800 0300 00000000   0800 0400 07000000
        0800 0500 00000000   0800 0600 00000000";
    let add = [
        "05010000 3000 0180",
        WEB_ATTRIBUTES,
        "4800 0280",
        REAL_ATTRIBUTES,
        rest,
    ];
    assert_written(|body| operation(body, &Op::AddReal(WEB, real(7))), &add);
    let edit = [
        "06010000 3000 0180",
        WEB_ATTRIBUTES,
        "4800 0280",
        REAL_ATTRIBUTES,
        rest,
    ];
    assert_written(|body| operation(body, &Op::EditReal(WEB, real(7))), &edit);
}

#[test]
fn a_removed_real_server_is_told_by_its_address() {
    let op = Op::RemoveReal(WEB, real(1).address);
    let expected = [
        "07010000 3000 0180",
        WEB_ATTRIBUTES,
        "2800 0280",
        REAL_ATTRIBUTES,
    ];
    assert_written(|body| operation(body, &op), &expected);
}

#[test]
fn timeouts_that_stay_are_left_out() {
    let some = Timeouts {
        tcp: 900,
        tcp_fin: 0,
        udp: 5,
    };
    let expected = ["0c010000   0800 0400 84030000   0800 0600 05000000"];
    assert_written(|body| timeouts(body, some), &expected);
}

#[test]
fn the_family_is_asked_for_by_name() {
    let expected = ["03010000   0900 0200 49505653 00000000"];
    assert_written(|body| family_question(body, FAMILY), &expected);
}

fn message(write: impl FnOnce(&mut Builder)) -> Builder {
    let mut builder = Builder::default();
    builder.message(30, 0, 1, write);
    builder
}

#[test]
fn what_is_written_is_read() {
    for written in [
        server(WEB, "rr"),
        VirtualServer {
            flags: Flags::PORT,
            persistence: Some(60),
            ..server(DNS, "mh")
        },
    ] {
        let bytes = message(|body| operation(body, &Op::AddServer(written)));
        let mut messages = Messages::new(bytes.as_slice());
        let read = messages.next().and_then(|message| read_server(&message));
        assert_eq!(read, Some(written));
    }
}

#[test]
fn a_virtual_server_of_a_packet_mark_is_passed_over() {
    let bytes = message(|body| {
        header(body, IPVS_CMD_NEW_SERVICE);
        body.nest(IPVS_CMD_ATTR_SERVICE, |nest| {
            nest.u16(IPVS_SVC_ATTR_AF, libc::AF_INET as u16);
            nest.u32(IPVS_SVC_ATTR_FWMARK, 7);
            nest.string(IPVS_SVC_ATTR_SCHED_NAME, "rr");
        });
    });
    let message = Messages::new(bytes.as_slice()).next().unwrap();
    assert_eq!(read_server(&message), None);
}

#[test]
fn a_real_server_is_read_with_its_connections() {
    let bytes = message(|body| {
        header(body, IPVS_CMD_NEW_DEST);
        body.nest(IPVS_CMD_ATTR_DEST, |nest| {
            real_address(nest, real(0).address);
            nest.u32(IPVS_DEST_ATTR_FWD_METHOD, 0x2);
            nest.u32(IPVS_DEST_ATTR_WEIGHT, 3);
            nest.u32(IPVS_DEST_ATTR_ACTIVE_CONNS, 5);
            nest.u32(IPVS_DEST_ATTR_INACT_CONNS, 6);
        });
    });
    let message = Messages::new(bytes.as_slice()).next().unwrap();
    let expected = ObservedReal {
        server: real(3),
        translated: false,
        active: 5,
        inactive: 6,
    };
    assert_eq!(read_real(&message, WEB), Some(expected));
}

proptest! {
    #[test]
    fn any_answer_is_read_without_panic(
        of in prop::sample::select(vec![WEB, DNS]),
        bytes in prop::collection::vec(any::<u8>(), 0..120),
        kinds in prop::collection::vec((0u16..13, prop::collection::vec(any::<u8>(), 0..20)), 0..12),
    ) {
        let whole = message(|body| body.raw(&bytes));
        let nested = message(|body| {
            header(body, 1);
            for nest in [IPVS_CMD_ATTR_SERVICE, IPVS_CMD_ATTR_DEST] {
                body.nest(nest, |nest| kinds.iter().for_each(|(kind, bytes)| nest.bytes(*kind, bytes)));
            }
        });
        for bytes in [whole, nested] {
            for message in Messages::new(bytes.as_slice()) {
                let _ = (family_number(&message), read_server(&message), read_real(&message, of));
            }
        }
    }
}

//! The device that has the addresses of Services, which needs the kernel's module `dummy`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fairlead_kernel::link::{AddressDevice, DeviceOp, DeviceRefusal, DummyDevice};
use fairlead_kernel::netns::Netns;
use libtest_mimic::Failed;

use DeviceOp::{Create, Hold, Release};

const DEVICE: &str = "kube-ipvs0";

/// The machine is slow, and the kernel looks through a list of them for each.
const MANY: u16 = 2_000;

pub(crate) fn holds_addresses() -> Result<(), Failed> {
    Netns::anonymous()?.run(|| {
        makes_addresses_the_hosts_own()?;
        tells_what_others_do()?;
        holds_many()?;
        knows_its_own_of_many()
    })?
}

fn makes_addresses_the_hosts_own() -> Result<(), Failed> {
    let mut device = DummyDevice::open(DEVICE)?;
    assert_eq!(device.held()?, None);
    let four: IpAddr = "10.96.0.1".parse()?;
    let six: IpAddr = "fd00:10:96::1".parse()?;
    let errno = 19; // ENODEV
    assert_eq!(
        device.apply(&[Hold(four)])?,
        [DeviceRefusal { op: 0, errno }]
    );
    let twice = [Create, Create, Hold(four), Hold(six), Hold(four), Hold(six)];
    assert_eq!(device.apply(&twice)?, []);
    let mut held = device.held()?.unwrap_or_default();
    held.sort();
    assert_eq!(held, [four, six]);
    assert!(!device.touched()?, "nobody else did anything");

    let shown = said("ip addr show kube-ipvs0")?;
    for part in ["inet 10.96.0.1/32", "inet6 fd00:10:96::1/128", "state DOWN"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    said("ip link set lo up")?;
    for ip in [four, six] {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.send_to(b"hello", socket.local_addr()?)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        assert_eq!(socket.recv(&mut [0; 8])?, 5);
    }

    let none = "10.96.0.99".parse()?;
    assert_eq!(
        device.apply(&[Release(none), Release(four), Release(four)])?,
        []
    );
    assert_eq!(device.apply(&[Hold("ff02::1".parse()?)])?.len(), 1);
    assert_eq!(device.held()?, Some(vec![six]));
    assert!(!device.touched()?, "nobody else did anything");
    Ok(())
}

fn tells_what_others_do() -> Result<(), Failed> {
    let mut device = DummyDevice::open(DEVICE)?;
    device.apply(&[Create, Hold("10.96.0.1".parse()?), Hold("fd00::1".parse()?)])?;
    for (others, counts) in [
        ("ip addr add 10.96.0.2/32 dev kube-ipvs0", true),
        ("ip addr del 10.96.0.1/32 dev kube-ipvs0", true),
        ("ip addr add fd00::2/128 dev kube-ipvs0", true),
        ("ip addr del fd00::1/128 dev kube-ipvs0", true),
        ("ip link add other0 type dummy", false),
        ("ip addr add 10.96.0.3/32 dev other0", false),
        ("ip link set other0 up", false),
        ("ip link set kube-ipvs0 up", false),
        // The kernel removes its IPv6 addresses.
        ("ip link set kube-ipvs0 down", true),
        ("ip link del other0", false),
        ("ip link del kube-ipvs0", true),
        ("ip link add kube-ipvs0 type dummy", true),
    ] {
        device.held()?;
        sleep(Duration::from_millis(100));
        assert!(!device.touched()?, "before {others}");
        said(others)?;
        sleep(Duration::from_millis(300));
        assert_eq!(device.touched()?, counts, "{others}");
    }
    Ok(())
}

fn holds_many() -> Result<(), Failed> {
    let mut device = DummyDevice::open(DEVICE)?;
    device.apply(&[Create])?;
    let four = |n: u16| IpAddr::from(Ipv4Addr::from_bits(0x0a60_0000 + u32::from(n)));
    let six = |n: u16| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
    for address in [four as fn(u16) -> IpAddr, six] {
        let ops =
            |op: fn(IpAddr) -> DeviceOp| -> Vec<_> { (1..=MANY).map(|n| op(address(n))).collect() };
        for note in ["they come", "they are there already"] {
            let started = Instant::now();
            assert_eq!(device.apply(&ops(Hold))?, [], "{note}");
            eprintln!("{MANY} addresses, {note}: {:?}", started.elapsed());
            let count = device.held()?.map(|held| held.len());
            assert_eq!(count, Some(MANY.into()), "{note}");
        }
        assert_eq!(device.apply(&ops(Release))?, []);
        assert_eq!(device.held()?, Some(Vec::new()));
    }
    Ok(())
}

/// More is reported than there is room for.
fn knows_its_own_of_many() -> Result<(), Failed> {
    let mut device = DummyDevice::open(DEVICE)?;
    let address = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a60_0000 + n));
    let all: Vec<_> = (1..=8_000).map(|n| Hold(address(n))).collect();
    device.apply(&all)?;
    assert!(!device.touched()?, "all of it was ours");
    let all: Vec<_> = (8_001..=16_000).map(|n| Hold(address(n))).collect();
    device.apply(&all)?;
    said(&format!("ip addr del {}/32 dev {DEVICE}", address(7)))?;
    assert!(device.touched()?, "one is gone");
    Ok(())
}

/// What a command says, which must succeed.
fn said(command: &str) -> Result<String, Failed> {
    let output = Command::new("sh").args(["-c", command]).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("{command}: {output:?}").into()),
    }
}

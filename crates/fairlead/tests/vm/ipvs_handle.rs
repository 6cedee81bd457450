//! The kernel's IPVS does what its fake does, and ipvsadm(8) shows what was asked for.

use std::cell::RefCell;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use fairlead_kernel::ipvs::fake::FakeIpvs;
use fairlead_kernel::ipvs::handle::{Ipvs, Op};
use fairlead_kernel::ipvs::module::load_by_match;
use fairlead_kernel::ipvs::scheduler::has_scheduler;
use fairlead_kernel::ipvs::server::{ObservedReal, SchedulerName, Timeouts, VirtualAddress};
use fairlead_kernel::ipvs::socket::IpvsSocket;
use fairlead_kernel::ipvs::text;
use libtest_mimic::Failed;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::ipvs_cases::{Found, all, any_history, cases, check, empty, real, server, web};

/// Of random histories.
const HISTORIES: u32 = 50;

/// More than are sent at once, by far.
const MANY: u16 = 5000;

pub(crate) fn is_loaded_when_it_is_asked() -> Result<(), Failed> {
    assert!(!is_loaded("ip_vs"));
    let mut ipvs = IpvsSocket::open()?;
    assert!(is_loaded("ip_vs"));
    // By its own name, and not for the sake of iptables.
    assert!(!is_loaded("xt_ipvs"));
    for (name, expected) in [("rr", true), ("mh", true), ("nonesuch", false)] {
        let name = SchedulerName::new(name).ok_or("no name")?;
        assert_eq!(has_scheduler(&mut ipvs, name)?, expected, "{name}");
        assert_eq!(ipvs.servers()?, []);
    }
    assert!(is_loaded("ip_vs_mh"));
    Ok(())
}

pub(crate) fn is_loaded_with_a_match() -> Result<(), Failed> {
    assert!(!is_loaded("ip_vs"));
    load_by_match();
    assert!(is_loaded("xt_ipvs"));
    IpvsSocket::open()?.servers()?;
    Ok(())
}

fn is_loaded(module: &str) -> bool {
    Path::new("/sys/module").join(module).exists()
}

pub(crate) fn answers_as_the_fake_does() -> Result<(), Failed> {
    let mut kernel = IpvsSocket::open()?;
    for case in &cases() {
        let found = check(&mut kernel, case);
        assert_eq!(found, check(&mut FakeIpvs::new(), case), "{}", case.0);
    }
    histories_end_alike(&mut kernel)?;
    a_script_is_carried_out(&mut kernel)?;
    many_are_told_of_one_by_one(&mut kernel)?;
    connections_are_counted(&mut kernel)?;
    timeouts_are_set(&mut kernel)
}

fn histories_end_alike(kernel: &mut IpvsSocket) -> Result<(), Failed> {
    let config = Config {
        cases: HISTORIES,
        failure_persistence: None,
        ..Config::default()
    };
    let kernel = RefCell::new(kernel);
    let tested = TestRunner::new(config).run(&any_history(), |history| {
        let kernel = &mut **kernel.borrow_mut();
        empty(kernel);
        let mut fake = FakeIpvs::new();
        for ops in &history {
            let (here, there) = (kernel.apply(ops).unwrap(), fake.apply(ops).unwrap());
            prop_assert_eq!(here.refused, there.refused);
        }
        prop_assert_eq!(all(kernel), all(&mut fake));
        prop_assert_eq!(sorted(&saved()), sorted(&fake.saved()));
        prop_assert_eq!(shown(), expected_to_be_shown(&all(kernel)));
        Ok(())
    });
    tested.map_err(|error| error.to_string().into())
}

/// ipvsadm has virtual servers in an order of its own.
fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.sort();
    lines
}

fn saved() -> String {
    ipvsadm(&["-Sn"], "")
}

/// The real servers that `ipvsadm -Ln --persistent-conn` shows, with their columns, sorted.
fn shown() -> Vec<String> {
    let text = ipvsadm(&["-Ln", "--persistent-conn"], "");
    let reals = text.lines().filter_map(|line| line.strip_prefix("  -> "));
    let mut rows: Vec<String> = reals
        .filter(|line| !line.starts_with("RemoteAddress"))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    rows.sort();
    rows
}

fn expected_to_be_shown(found: &[Found]) -> Vec<String> {
    let reals = found.iter().flat_map(|(_, reals)| reals);
    let mut rows: Vec<String> = reals
        .map(|real| {
            let ObservedReal {
                active,
                inactive,
                server,
                ..
            } = real;
            format!("{} {} 0 {active} {inactive}", server.address, server.weight)
        })
        .collect();
    rows.sort();
    rows
}

/// What Fairlead prints as a script, ipvsadm makes the same of.
fn a_script_is_carried_out(kernel: &mut IpvsSocket) -> Result<(), Failed> {
    let mut runner = TestRunner::new(Config {
        cases: 20,
        failure_persistence: None,
        ..Config::default()
    });
    let kernel = RefCell::new(kernel);
    let tested = runner.run(&any_history(), |history| {
        let kernel = &mut **kernel.borrow_mut();
        empty(kernel);
        let mut fake = FakeIpvs::new();
        let mut done: Vec<Op> = Vec::new();
        for op in history.concat() {
            if fake.apply(&[op]).unwrap().refused.is_empty() {
                done.push(op);
            }
        }
        ipvsadm(&["-R"], &text::script(&done));
        prop_assert_eq!(all(kernel), all(&mut fake));
        Ok(())
    });
    tested.map_err(|error| error.to_string().into())
}

fn ipvsadm(args: &[&str], input: &str) -> String {
    let mut child = Command::new("ipvsadm")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "ipvsadm {args:?} with {input}");
    String::from_utf8(output.stdout).unwrap()
}

/// Refusals in large calls are those of the right operations, and all else is carried out.
fn many_are_told_of_one_by_one(kernel: &mut IpvsSocket) -> Result<(), Failed> {
    empty(kernel);
    let port = |port| VirtualAddress { port, ..web() };
    let mut ops = Vec::new();
    for number in 1..=MANY {
        ops.push(Op::AddServer(server(port(number), "rr")));
        ops.push(Op::AddReal(port(number), real("10.244.1.5:80", 1)));
        ops.push(Op::AddReal(port(number), real("10.244.1.6:80", 1)));
    }
    let applied = kernel.apply(&ops)?;
    assert_eq!((applied.messages, &*applied.refused), (ops.len(), &[][..]));
    assert_eq!(kernel.servers()?.len(), usize::from(MANY));
    // Every one of them, and then every other.
    let refused = kernel.apply(&ops)?.refused;
    assert!(refused.iter().map(|refusal| refusal.op).eq(0..ops.len()));
    let removals: Vec<Op> = (1..=MANY)
        .flat_map(|number| [port(number), port(number)])
        .map(Op::RemoveServer)
        .collect();
    let refused = kernel.apply(&removals)?.refused;
    let indices = refused.iter().map(|refusal| refusal.op);
    assert!(indices.eq((0..removals.len()).filter(|index| index % 2 == 1)));
    assert_eq!(kernel.servers()?, []);
    Ok(())
}

fn connections_are_counted(kernel: &mut IpvsSocket) -> Result<(), Failed> {
    for address in ["10.96.0.1/32", "10.244.1.5/32"] {
        let mut add = Command::new("ip");
        add.args(["address", "add", address, "dev", "lo"]);
        assert!(add.status()?.success());
    }
    let one = real("10.244.1.5:8080", 1);
    kernel.apply(&[Op::AddServer(server(web(), "rr")), Op::AddReal(web(), one)])?;
    let listener = TcpListener::bind(one.address)?;
    let connection = TcpStream::connect(SocketAddr::new(web().address, web().port))?;
    let (accepted, _) = listener.accept()?;
    let found = kernel.reals(web())?;
    let expected = ObservedReal {
        server: one,
        translated: true,
        active: 1,
        inactive: 0,
    };
    assert_eq!(found, [expected]);
    assert_eq!(shown(), ["10.244.1.5:8080 1 0 1 0"]);
    kernel.apply(&[Op::EditReal(web(), real("10.244.1.5:8080", 0))])?;
    assert_eq!(shown(), ["10.244.1.5:8080 0 0 1 0"]);
    drop((connection, accepted));
    let found = kernel.reals(web())?;
    assert_eq!((found[0].active, found[0].inactive), (0, 1));
    empty(kernel);
    Ok(())
}

fn timeouts_are_set(kernel: &mut IpvsSocket) -> Result<(), Failed> {
    let before = ipvsadm(&["-L", "--timeout"], "");
    assert!(before.contains("900 120 300"), "{before}");
    let wanted = Timeouts {
        tcp: 0,
        tcp_fin: 60,
        udp: 7,
    };
    kernel.set_timeouts(wanted)?;
    let after = ipvsadm(&["-L", "--timeout"], "");
    assert!(after.contains("900 60 7"), "{after}");
    let too_long = Timeouts {
        tcp: 60,
        udp: 1 << 24,
        ..wanted
    };
    let refused = kernel.set_timeouts(too_long).unwrap_err();
    assert_eq!(refused.errno, libc::EINVAL);
    assert_eq!(ipvsadm(&["-L", "--timeout"], ""), after);
    Ok(())
}

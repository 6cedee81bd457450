//! How long it takes. Run with `cargo test --release -- --ignored --nocapture large`.

use std::time::{Duration, Instant};

use fairlead_kernel::iptables::handle::Iptables;
use fairlead_kernel::iptables::rule::{Match, Probability, Protocol, Rule, Target};
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op, Table, TableId};
use fairlead_kernel::iptables::text::restore_input;

use super::{in_namespace, run};

const ENDPOINTS: u32 = 10;

/// `SERVICES` says how many there are, `TIMES` how often small changes are made; with `BINARY`
/// `iptables-nft-restore` does the same.
#[test]
#[ignore = "measures"]
fn a_large_cluster() {
    in_namespace(|iptables| {
        let number = |name, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
        let (services, times) = (number("SERVICES", 5000), number("TIMES", 3));
        let batch = cluster(services);
        let mut apply = |what, ops: &[Op]| {
            let done = measure(what, || iptables.apply(&[nat(ops)]));
            done.unwrap()
        };
        eprintln!("{:?}", apply("cold", &batch.ops));
        apply("all again", &batch.ops);
        let (insert, remove) = in_shared_chain(services);
        for _ in 0..times {
            apply("one change", &change());
            apply("an empty chain", &[Op::Create(chain("SEP", 7, 9))]);
            apply("insert", std::slice::from_ref(&insert));
            apply("remove", std::slice::from_ref(&remove));
        }
        measure("observe", || iptables.observe(batch.table)).unwrap();
        measure("touched", || iptables.touched()).unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let most = status.lines().find(|line| line.starts_with("VmHWM"));
        eprintln!("{}", most.unwrap());
        if std::env::var("BINARY").is_ok() {
            binary("the binary: one change", nat(&change()));
            measure("nft flush ruleset", || run("nft flush ruleset", ""));
            binary("the binary: cold", batch);
        }
    });
}

fn binary(what: &str, batch: Batch) {
    let input = restore_input(&[batch]);
    measure(what, || run("iptables-nft-restore --noflush", &input));
}

/// Prints how long something took, and how much of it this thread was running.
fn measure<T>(what: &str, done: impl FnOnce() -> T) -> T {
    let (start, before) = (Instant::now(), running());
    let result = done();
    let (wall, cpu) = (start.elapsed(), running().saturating_sub(before));
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    eprintln!("{what}: {:.1} ms, running {:.1} ms", ms(wall), ms(cpu));
    result
}

fn running() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

/// One of a Service's endpoints goes away.
fn change() -> Vec<Op> {
    let mut ops = vec![
        Op::Declare(chain("SVC", 7, 0)),
        Op::Declare(chain("SEP", 7, 9)),
    ];
    ops.extend(endpoints(7, 9));
    ops.push(Op::Delete(chain("SEP", 7, 9)));
    ops
}

/// A rule of the longest chain.
fn in_shared_chain(services: u32) -> (Op, Op) {
    let rule = service_rule(services).jump("KUBE-MARK-MASQ");
    let chain = || "KUBE-SERVICES".into();
    (Op::Insert(chain(), rule.clone()), Op::Remove(chain(), rule))
}

fn nat(ops: &[Op]) -> Batch {
    Batch {
        table: TableId {
            family: Family::Ip,
            table: Table::Nat,
        },
        ops: ops.into(),
    }
}

fn chain(kind: &str, service: u32, endpoint: u32) -> std::sync::Arc<str> {
    format!("KUBE-{kind}-{service:010}{endpoint:06}").into()
}

fn address(net: u32, number: u32) -> std::net::Ipv4Addr {
    ((net << 24) + ((number / 250) << 8) + number % 250 + 1).into()
}

fn service_rule(service: u32) -> Rule {
    let address = ipnet::Ipv4Net::from(address(11, service));
    Rule::commented(format!("ns/s{service} cluster IP"))
        .to(address)
        .transport(Protocol::Tcp, Some(80))
}

/// The rules that choose one of so many endpoints.
fn endpoints(service: u32, count: u32) -> impl Iterator<Item = Op> {
    (0..count).map(move |endpoint| {
        let mut rule = Rule::default();
        if endpoint + 1 < count {
            rule = rule.matching(Match::Random(Probability::one_in(count - endpoint)));
        }
        let to = chain("SEP", service, endpoint);
        Op::Append(chain("SVC", service, 0), rule.jump(to))
    })
}

fn cluster(services: u32) -> Batch {
    let mut chains = vec![
        Op::Declare("KUBE-SERVICES".into()),
        Op::Declare("KUBE-MARK-MASQ".into()),
    ];
    let mark = Rule::default().then(Target::SetMark(0x4000));
    let mut rules = vec![Op::Append("KUBE-MARK-MASQ".into(), mark)];
    for service in 0..services {
        let svc = chain("SVC", service, 0);
        chains.push(Op::Declare(svc.clone()));
        let rule = service_rule(service);
        rules.push(Op::Append(
            "KUBE-SERVICES".into(),
            rule.clone().jump(svc.clone()),
        ));
        let pods: ipnet::Ipv4Net = "10.244.0.0/16".parse().unwrap();
        rules.push(Op::Append(svc, rule.not_from(pods).jump("KUBE-MARK-MASQ")));
        rules.extend(endpoints(service, ENDPOINTS));
        for endpoint in 0..ENDPOINTS {
            let sep = chain("SEP", service, endpoint);
            chains.push(Op::Declare(sep.clone()));
            let ip = address(12, service * ENDPOINTS + endpoint);
            let masquerade = Rule::default().from(ipnet::Ipv4Net::from(ip));
            rules.push(Op::Append(sep.clone(), masquerade.jump("KUBE-MARK-MASQ")));
            let dnat = Rule::default().transport(Protocol::Tcp, None);
            rules.push(Op::Append(sep, dnat.then(Target::Dnat((ip, 8080).into()))));
        }
    }
    let hook = Rule::commented("kubernetes service portals").jump("KUBE-SERVICES");
    for base in ["PREROUTING", "OUTPUT"] {
        rules.push(Op::Insert(base.into(), hook.clone()));
    }
    chains.extend(rules);
    nat(&chains)
}

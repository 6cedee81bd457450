//! How long it takes. Run with `cargo test --release -- --ignored --nocapture large`.

use std::time::Instant;

use fairlead_kernel::iptables::handle::Iptables;
use fairlead_kernel::iptables::rule::{Match, Probability, Protocol, Rule, Target};
use fairlead_kernel::iptables::ruleset::{Batch, Family, Op, Table, TableId};
use fairlead_kernel::iptables::text::restore_input;

use super::{in_namespace, run};

const ENDPOINTS: u32 = 10;

#[test]
#[ignore = "measures"]
fn a_large_cluster() {
    in_namespace(|iptables| {
        let services = std::env::var("SERVICES").map_or(5000, |count| count.parse().unwrap());
        let times = std::env::var("TIMES").map_or(3, |count| count.parse().unwrap());
        let batch = cluster(services);
        let cold = measure("cold", || iptables.apply(std::slice::from_ref(&batch)));
        eprintln!("{cold:?}");
        measure("all again", || iptables.apply(std::slice::from_ref(&batch)));
        for _ in 0..times {
            let mut ops = vec![
                Op::Declare(chain("SVC", 7, 0)),
                Op::Declare(chain("SEP", 7, 9)),
            ];
            ops.extend(endpoints(7, 9));
            ops.push(Op::Delete(chain("SEP", 7, 9)));
            measure("one change", || iptables.apply(&[nat(ops)]));
            let ops = vec![Op::Create(chain("SEP", 7, 9))];
            measure("an empty chain", || iptables.apply(&[nat(ops)]));
        }
        let rule = service_rule(services);
        let insert = Op::Insert("KUBE-SERVICES".into(), rule.clone().jump("KUBE-MARK-MASQ"));
        let remove = Op::Remove("KUBE-SERVICES".into(), rule.jump("KUBE-MARK-MASQ"));
        for _ in 0..times {
            measure("insert", || iptables.apply(&[nat(vec![insert.clone()])]));
            measure("remove", || iptables.apply(&[nat(vec![remove.clone()])]));
        }
        let last = service_rule(services - 1).jump(chain("SVC", services - 1, 0));
        let remove = Op::Remove("KUBE-SERVICES".into(), last);
        measure("remove the last", || iptables.apply(&[nat(vec![remove])]));
        measure("observe", || iptables.observe(batch.table).map(|_| ()));
        measure("touched", || iptables.touched());
        if std::env::var("BINARY").is_ok() {
            let input = restore_input(&[batch]);
            measure("nft flush ruleset", || {
                Ok::<_, ()>(run("nft flush ruleset", ""))
            });
            measure("iptables-nft-restore", || {
                Ok::<_, ()>(run("iptables-nft-restore --noflush", &input))
            });
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        eprintln!(
            "{}",
            status
                .lines()
                .find(|line| line.starts_with("VmHWM"))
                .unwrap()
        );
    });
}

fn measure<T, E: std::fmt::Debug>(what: &str, done: impl FnOnce() -> Result<T, E>) -> T {
    let start = Instant::now();
    let result = done().unwrap();
    eprintln!("{what}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    result
}

fn nat(ops: Vec<Op>) -> Batch {
    Batch {
        table: TableId {
            family: Family::Ip,
            table: Table::Nat,
        },
        ops,
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
    nat(chains)
}

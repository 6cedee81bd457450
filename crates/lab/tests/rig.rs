//! Whether the lab sees what is there: it is shown what kube-proxy had programmed, and has to
//! find what kube-proxy's clients met.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::Change;
use fairlead_lab::conformance::{self, Case};
use fairlead_lab::iptables::{Variant, compare};
use fairlead_lab::{Client, Lab, Place, Series, privilege};
use fairlead_source::manifests::Manifests;
use libtest_mimic::{Arguments, Failed, Trial};

/// The recorded cases.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded");

type Test = fn() -> Result<(), Failed>;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Before there is a second thread.
    let allowed = privilege::obtain().map_err(|error| error.to_string());
    let mut trials = Vec::new();
    for loader in [
        Loader::Nft,
        Loader::Iptables(Variant::Nft),
        Loader::Iptables(Variant::Legacy),
    ] {
        let cases = conformance::cases(Path::new(RECORDED), loader.mode());
        let cases = cases.expect("the recorded cases").into_iter();
        trials.extend(cases.filter(|case| case.rules.exists()).map(|case| {
            let allowed = allowed.clone();
            Trial::test(format!("recorded::{} ({loader})", case.name), move || {
                allowed?;
                finds_what_was_recorded(&case, loader)
            })
        }));
    }
    let own: [(&str, Test); 4] = [
        ("everybody_reaches_the_pods", everybody_reaches_the_pods),
        ("pods_can_be_added", pods_can_be_added),
        (
            "without_a_proxy_nothing_is_found",
            without_a_proxy_nothing_is_found,
        ),
        ("labs_do_not_see_each_other", labs_do_not_see_each_other),
    ];
    trials.extend(own.map(|(name, test)| {
        let allowed = allowed.clone();
        Trial::test(name, move || {
            allowed?;
            test()
        })
    }));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// How recorded rules get into a node.
#[derive(Debug, Clone, Copy)]
enum Loader {
    Nft,
    Iptables(Variant),
}

impl Loader {
    /// The mode in which they were recorded.
    fn mode(self) -> &'static str {
        match self {
            Loader::Nft => "nftables",
            Loader::Iptables(_) => "iptables",
        }
    }
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loader::Nft => f.write_str("nftables"),
            Loader::Iptables(variant) => write!(f, "iptables-{variant}"),
        }
    }
}

fn finds_what_was_recorded(case: &Case, loader: Loader) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut differences = String::new();
    match loader {
        Loader::Nft => {
            lab.run_on_node(Command::new("nft").arg("-f").arg(&case.rules))?;
        }
        Loader::Iptables(variant) => {
            let rules = fs::read_to_string(&case.rules)?;
            lab.load_recorded(variant, &rules)?;
            for family in Family::BOTH {
                let recorded = lab.as_recorded(&rules, family)?;
                for difference in compare(&recorded, &lab.saved(variant, family)?) {
                    write!(differences, "{family} {difference}")?;
                }
            }
            // As kube-proxy sets it in this mode: else nobody meets node ports on 127.0.0.1.
            let local = ["-qw", "net.ipv4.conf.all.route_localnet=1"];
            lab.run_on_node(Command::new("sysctl").args(local))?;
        }
    }
    for difference in case.differences(&lab, &objects(case)?)? {
        write!(differences, "{difference}")?;
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(differences.into()),
    }
}

/// Of every kind, over both protocols and families, with their own addresses.
fn everybody_reaches_the_pods() -> Result<(), Failed> {
    let lab = Lab::new()?;
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        for pod in [
            "10.244.1.130:8080",
            "10.244.2.5:5353",
            "[fd00:10:244:1:8000::1]:8443",
            "[fd00:10:244:2::5]:9376",
        ] {
            let pod: SocketAddr = pod.parse()?;
            for client in [
                Client::Pod,
                Client::Node,
                Client::Outside,
                Client::OutsideAllowed,
            ] {
                let series = lab.ask(client, protocol, pod, 3)?;
                let all_answered = Series {
                    by_endpoint: BTreeMap::from([(pod, 3)]),
                    kept: 3,
                    ..Series::default()
                };
                if series != all_answered {
                    return Err(format!("{client} {protocol} {pod}: {series:?}").into());
                }
            }
        }
    }
    Ok(())
}

/// Of any network, also of the other place's, and addresses of the node. Twice is once too often.
fn pods_can_be_added() -> Result<(), Failed> {
    let mut lab = Lab::new()?;
    lab.answer_on(&[80])?;
    let pods = [
        ("172.20.0.7", Place::Node),
        ("172.20.0.8", Place::Elsewhere),
        ("10.244.2.9", Place::Node),
        ("10.244.1.140", Place::Elsewhere),
        ("fd00:172:20::7", Place::Node),
        ("fd00:172:20::8", Place::Elsewhere),
    ];
    for (pod, place) in pods {
        lab.network().add_pod(pod.parse()?, place)?;
        if lab.network().add_pod(pod.parse()?, place).is_ok() {
            return Err(format!("{pod} was added twice").into());
        }
    }
    lab.network().add_node_address("172.20.0.1".parse()?)?;
    for _twice in 0..2 {
        lab.network().add_node_address("192.0.2.11".parse()?)?;
    }
    let of_node = ["172.20.0.1", "192.0.2.11"];
    for address in pods.map(|(pod, _)| pod).iter().chain(&of_node) {
        let to = SocketAddr::new(address.parse()?, 80);
        for client in [Client::Pod, Client::Node, Client::Outside] {
            let series = lab.ask(client, Protocol::Tcp, to, 2)?;
            if series.by_endpoint != BTreeMap::from([(to, 2)]) {
                return Err(format!("{client} {to}: {series:?}").into());
            }
        }
    }
    Ok(())
}

fn without_a_proxy_nothing_is_found() -> Result<(), Failed> {
    let case = Case::read(&Path::new(RECORDED).join("clusterip"), "nftables")?;
    let differences = case.differences(&Lab::new()?, &objects(&case)?)?;
    if differences.len() == case.expected.len() {
        return Ok(());
    }
    Err(format!("{} of {} differ", differences.len(), case.expected.len()).into())
}

fn labs_do_not_see_each_other() -> Result<(), Failed> {
    let (one, other) = (Lab::new()?, Lab::new()?);
    one.run_on_node(Command::new("nft").args(["add", "table", "ip", "one"]))?;
    let tables = |lab: &Lab| {
        let listed = lab.run_on_node(Command::new("nft").args(["list", "tables"]));
        listed.map(|output| output.stdout)
    };
    if tables(&one)? == b"table ip one\n" && tables(&other)?.is_empty() {
        return Ok(());
    }
    Err("a table of one lab's node is seen in another's, or not in its own".into())
}

fn objects(case: &Case) -> Result<Vec<Change>, Failed> {
    let mut objects = Vec::new();
    let problems =
        Manifests::open(&case.objects)?.changes(Instant::now(), &mut |change| objects.push(change));
    match problems.first() {
        Some(problem) => Err(problem.into()),
        None => Ok(objects),
    }
}

//! Input that cannot be followed: it is said what is wrong and where, and all else works.

use std::process::{Command, Output};
use std::thread::sleep;
use std::time::Duration;

use fairlead_core::address::Protocol;
use fairlead_lab::{Client, Lab};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::objects::{service, slice};
use crate::rig::{FAIRLEAD, Folder, Proxy};
use crate::tests;
use crate::watch::{eventually, hear};

tests! {
    what_is_wrong_is_said_and_the_rest_works,
    a_file_that_breaks_takes_nothing_away,
    a_folder_that_goes_takes_nothing_away,
    without_manifests_it_does_not_start,
    without_privilege_it_does_not_start,
}

/// Longer than an object is missing before it is taken for deleted.
const DELETED: Duration = Duration::from_millis(1500);

/// Files with something wrong in them, and what is said of it.
const BAD: &[(&str, &str, &str)] = &[
    (
        "text.yaml",
        "just some text\n",
        "text.yaml:1: not a Kubernetes object: kind is missing",
    ),
    (
        "compose.yaml",
        "version: '3'\nservices: {}\n",
        "compose.yaml:1: not a Kubernetes object: kind is missing",
    ),
    (
        "half.json",
        "{\"a\": [1, 2",
        "half.json:1: not valid JSON: EOF while parsing a list",
    ),
    (
        "half.yaml",
        "kind: Service\nspec:\n  ports: [{port: 80",
        "half.yaml:4: not valid YAML",
    ),
    ("binary.yaml", "\0\u{1}\u{2}", "binary.yaml:1: "),
    (
        "version.yaml",
        "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: old}\n",
        "version.yaml:1: EndpointSlice default/old: apiVersion: discovery.k8s.io/v1beta1 of EndpointSlice is not read: write discovery.k8s.io/v1",
    ),
    (
        "no-spec.yaml",
        "# comment\n---\napiVersion: v1\nkind: Service\nmetadata: {name: no-spec}\n",
        "no-spec.yaml:3: Service default/no-spec: missing field `spec`",
    ),
    (
        "word.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: word}\nspec: {clusterIP: 10.96.23.9, ports: [{port: web}]}\n",
        "word.yaml:4: Service default/word: spec.ports[0].port: invalid type: string \"web\"",
    ),
];

fn what_is_wrong_is_said_and_the_rest_works() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&well_meant())?;
    for (name, text, _) in BAD {
        folder.write(name, text.as_bytes())?;
    }
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let of_objects = [
        "EndpointSlice default/family: endpoints[0].addresses[0]: fd00:10:244:2::5 is not IPv4",
        "Service default/ports: spec.ports[0].port: 0 is not between 1 and 65535; the port is left out",
        "Service default/ports: spec.ports[1].port: 70000 is not between 1 and 65535; the port is left out",
        "EndpointSlice default/ports: ports[0].port: 70000 is not between 1 and 65535; the port is left out",
        "Service default/no-ports: spec.ports: has no port",
        "default/vip-a claims 203.0.113.23:80/tcp, which default/vip-b has",
    ];
    for said in BAD.iter().map(|(.., said)| *said).chain(of_objects) {
        hear(&proxy, said)?;
    }
    // What is right in the very same objects.
    for (to, endpoint) in [
        ("10.96.23.1:80", "10.244.2.5:8080"),
        ("10.96.23.3:80", "10.244.2.6:8080"),
        ("10.96.23.4:80", "10.244.2.5:8080"),
        ("203.0.113.23:80", "10.244.2.7:8080"),
    ] {
        let series = lab.ask(Client::Pod, Protocol::Tcp, to.parse()?, 5)?;
        if series.by_endpoint.keys().ne([&endpoint.parse()?]) {
            return Err(proxy.failed(&format!("{to} met {}", series.outcome())));
        }
    }
    proxy.end(Signal::SIGTERM)
}

fn a_file_that_breaks_takes_nothing_away() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&good())?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let whole = folder
        .find("Service good")
        .ok_or("no such object")?
        .to_string();
    // Written in place, as by an editor that is interrupted, then nonsense.
    for broken in [
        &whole[..whole.len() / 2],
        "nonsense",
        "{\"kind\": \"Service\"}",
        "\u{0}",
    ] {
        std::fs::write(folder.path().join("Service-good.json"), broken)?;
        proxy.settle(&mut folder)?;
        serves(&lab, &proxy)?;
    }
    std::fs::write(folder.path().join("Service-good.json"), &whole)?;
    proxy.settle(&mut folder)?;
    serves(&lab, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn a_folder_that_goes_takes_nothing_away() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&good())?;
    let mut proxy = Proxy::start(&lab, &folder, &[])?;
    proxy.settle(&mut folder)?;
    let elsewhere = folder.path().with_extension("away");
    std::fs::rename(folder.path(), &elsewhere)?;
    let path = folder.path().display().to_string();
    let told = eventually("it says what is wrong", || {
        Ok(proxy
            .log()
            .lines()
            .any(|line| line.contains("WARN") && line.contains(&path)))
    });
    sleep(DELETED);
    let kept = serves(&lab, &proxy);
    std::fs::rename(&elsewhere, folder.path())?;
    told?;
    kept?;
    proxy.settle(&mut folder)?;
    serves(&lab, &proxy)?;
    proxy.end(Signal::SIGTERM)
}

fn without_manifests_it_does_not_start() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let output = on_node_whatever_comes(
        &lab,
        Command::new(FAIRLEAD).args(["run", "--manifests", "/nowhere/at/all"]),
    )?;
    fails_saying(
        &output,
        "fairlead: /nowhere/at/all does not exist: name a manifest file",
    )
}

fn without_privilege_it_does_not_start() -> Result<(), Failed> {
    let lab = Lab::new()?;
    let folder = Folder::new(&good())?;
    let unprivileged = || {
        let mut command = Command::new("setpriv");
        command.args([
            "--bounding-set=-net_admin",
            "--inh-caps=-net_admin",
            FAIRLEAD,
        ]);
        command
    };
    for once in [true, false] {
        let mut command = unprivileged();
        command
            .args(["run", "--manifests"])
            .arg(folder.path())
            .args(once.then_some("--once"));
        fails_saying(
            &on_node_whatever_comes(&lab, &mut command)?,
            "CAP_NET_ADMIN",
        )?;
    }
    fails_saying(
        &on_node_whatever_comes(&lab, unprivileged().arg("cleanup"))?,
        "CAP_NET_ADMIN",
    )
}

fn good() -> [serde_json::Value; 2] {
    [
        service(
            "good",
            &json!({"clusterIP": "10.96.23.1", "ports": [{"port": 80}]}),
        ),
        slice("good", "TCP", 8080, &["10.244.2.5"]),
    ]
}

/// Objects with something wrong in each but the first.
fn well_meant() -> Vec<serde_json::Value> {
    let spec = |ip: &str| json!({"clusterIP": ip, "ports": [{"port": 80}]});
    let mut ports = slice("ports", "TCP", 8080, &["10.244.2.5"]);
    ports["ports"] = json!([{"name": "big", "port": 70000}, {"name": "good", "port": 8080}]);
    let vip = |name: &str, ip: &str, created: &str| {
        let mut vip = service(name, &spec(ip));
        vip["metadata"]["creationTimestamp"] = json!(created);
        vip["spec"]["externalIPs"] = json!(["203.0.113.23", "203.0.113.23"]);
        vip
    };
    let others = [
        service("family", &spec("10.96.23.3")),
        slice("family", "TCP", 8080, &["fd00:10:244:2::5", "10.244.2.6"]),
        service(
            "ports",
            &json!({"clusterIP": "10.96.23.4", "ports": [
                {"name": "zero", "port": 0}, {"name": "big", "port": 70000}, {"name": "good", "port": 80},
            ]}),
        ),
        ports,
        service("no-ports", &json!({"clusterIP": "10.96.23.5"})),
        vip("vip-a", "10.96.23.6", "2025-01-01T00:00:00Z"),
        vip("vip-b", "10.96.23.7", "2024-01-01T00:00:00Z"),
        slice("vip-b", "TCP", 8080, &["10.244.2.7"]),
    ];
    good().into_iter().chain(others).collect()
}

fn serves(lab: &Lab, proxy: &Proxy<'_>) -> Result<(), Failed> {
    let series = lab.ask(Client::Pod, Protocol::Tcp, "10.96.23.1:80".parse()?, 5)?;
    match series.errors.is_empty() {
        true => Ok(()),
        false => Err(proxy.failed(&format!("a client met {}", series.outcome()))),
    }
}

fn on_node_whatever_comes(lab: &Lab, command: &mut Command) -> Result<Output, Failed> {
    Ok(lab.node().run(|| command.output())??)
}

fn fails_saying(output: &Output, what: &str) -> Result<(), Failed> {
    let said = String::from_utf8_lossy(&output.stderr);
    match (output.status.code(), said.contains(what)) {
        (Some(1), true) => Ok(()),
        (code, _) => Err(format!("exit code {code:?}, and it said:\n{said}").into()),
    }
}

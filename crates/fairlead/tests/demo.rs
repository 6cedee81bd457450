//! `fairlead demo` from its start to its end, as whoever tries it sees it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A demo, with a folder of its own for temporary files.
struct Demo {
    child: Child,
    temporary: TempDir,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let temporary = TempDir::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_fairlead"))
            .arg("demo")
            .args(arguments)
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Demo { child, temporary }
    }

    /// Waits for its end, and for what it left behind: nothing.
    fn finish(self) -> Output {
        let pid = self.child.id();
        let output = self.child.wait_with_output().unwrap();
        assert_eq!(
            names(Path::new("/run/netns"), &format!("fl-{pid}-")),
            [""; 0]
        );
        assert_eq!(names(self.temporary.path(), ""), [""; 0]);
        assert_eq!(processes_with(self.temporary.path()), [""; 0]);
        output
    }

    /// Waits until it prints a line that begins so.
    fn read_until(&mut self, begin: &str) -> impl Read + use<> {
        let mut lines = BufReader::new(self.child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with(begin) {
            line.clear();
            assert_ne!(lines.read_line(&mut line).unwrap(), 0, "no line {begin:?}");
        }
        lines
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

fn names(folder: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Processes that have this path on their command line.
fn processes_with(path: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap();
    let found = processes
        .map(|entry| entry.unwrap().path())
        .filter(|process| {
            // A process that has ended meanwhile has none.
            let line = fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(path.to_str().unwrap())
        });
    found.map(|process| process.display().to_string()).collect()
}

fn text(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A line with a bar: the pod, where it is, and how many connections it got.
fn share(line: &str) -> Option<(SocketAddr, &str, usize)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [pod, place, .., count, _percentage, "%"] = words[..] else {
        return None;
    };
    Some((pod.parse().ok()?, place, count.parse().ok()?))
}

#[test]
fn every_pod_gets_its_share_but_for_the_one_that_is_gone() {
    let text = text(&Demo::start(&[]).finish());
    let shares: Vec<_> = text.lines().filter_map(share).collect();
    // Cluster IP and node port; without a pod; with it again.
    assert_eq!(shares.len(), 6 * 3, "{text}");
    for (round, of_three) in shares.chunks(3).enumerate() {
        let pods = of_three.iter().map(|(pod, ..)| pod.to_string());
        let pods: Vec<String> = pods.collect();
        assert_eq!(
            pods,
            ["10.244.1.130:8080", "10.244.2.5:8080", "10.244.2.6:8080"],
            "{text}"
        );
        let counts: Vec<usize> = of_three.iter().map(|(.., count)| *count).collect();
        assert_eq!(counts.iter().sum::<usize>(), 300, "{text}");
        // Five standard deviations and more from what is expected.
        let plausible = match round {
            2 | 3 => [105..=195, 105..=195, 0..=0],
            _ => [45..=165, 45..=165, 45..=165],
        };
        for (count, plausible) in counts.iter().zip(plausible) {
            assert!(plausible.contains(count), "{text}");
        }
        let gone = of_three.iter().any(|(_, place, _)| *place == "gone");
        assert_eq!(gone, round == 2 || round == 3, "{text}");
    }
}

#[test]
fn it_is_plain_text_where_nobody_looks_and_fits_everywhere() {
    let text = text(&Demo::start(&["--connections=3"]).finish());
    assert!(!text.contains('\x1b'), "{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in [
        "   ▼ chain services",
        "10.96.0.80 . tcp . 80 comment \"default/nginx\" : goto lb-3",
        "10.96.0.80 . tcp . 80 . 2 : 10.244.2.6 . 8080",
        "tcp . 30080 . 0 : 10.244.1.130 . 8080",
        "the pods see the client's own address",
        "the pods see the node's address",
    ] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
}

#[test]
fn it_stays_until_it_is_told_and_cleans_up_whenever_that_is() {
    let mut demo = Demo::start(&["--stay", "--connections=3"]);
    let mut rest = demo.read_until("Look around");
    demo.signal(Signal::SIGINT);
    let mut line = String::new();
    rest.read_to_string(&mut line).unwrap();
    assert!(line.contains("nft list ruleset"), "{line}");
    assert!(demo.finish().status.success());

    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut demo = Demo::start(&[]);
        let _rest = demo.read_until("A pod connects");
        demo.signal(signal);
        let output = demo.finish();
        assert!(!output.status.success());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(error, "fairlead: interrupted; everything is cleaned up\n");
    }
}

#[test]
fn whoever_reads_may_stop_reading() {
    let mut demo = Demo::start(&["--connections=3"]);
    drop(demo.read_until("A node in a box"));
    let output = demo.finish();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.success(), error.as_str()), (true, ""));
}

/// Services as of another cluster: other addresses, and ports that the lab's pods do not have.
const OWN: &str = r#"
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: worker-1},
   status: {addresses: [{type: InternalIP, address: 172.20.0.2}]}}
- {apiVersion: v1, kind: Node, metadata: {name: control},
   status: {addresses: [{type: InternalIP, address: 172.20.0.3}]}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop},
   spec: {type: NodePort, clusterIP: 172.30.0.9, ports: [{name: http, port: 80, nodePort: 31000}]}}
- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
   metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}},
   ports: [{name: http, port: 9090}],
   endpoints: [{addresses: [172.31.1.5], nodeName: worker-1}, {addresses: [172.31.1.6], nodeName: worker-1},
               {addresses: [172.31.1.7], nodeName: worker-1, conditions: {ready: false}},
               {addresses: [172.31.2.5], nodeName: control}]}
- {apiVersion: v1, kind: Service, metadata: {name: api, namespace: shop},
   spec: {clusterIP: 172.30.0.10, ports: [{port: 443}]}}
- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
   metadata: {name: api-1, namespace: shop, labels: {kubernetes.io/service-name: api}},
   ports: [{name: "", port: 6443}],
   endpoints: [{addresses: [172.20.0.2], nodeName: worker-1}, {addresses: [172.20.0.3], nodeName: control}]}
- {apiVersion: v1, kind: Service, metadata: {name: empty, namespace: shop},
   spec: {clusterIP: 172.30.0.11, ports: [{port: 80}]}}
- {apiVersion: v1, kind: Service, metadata: {name: near, namespace: shop},
   spec: {clusterIP: 172.30.0.12, internalTrafficPolicy: Local, ports: [{port: 80}]}}
- {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4,
   metadata: {name: near-1, namespace: shop, labels: {kubernetes.io/service-name: near}},
   ports: [{name: "", port: 80}],
   endpoints: [{addresses: [172.31.2.7], nodeName: control}]}
- {apiVersion: v1, kind: Service, metadata: {name: headless, namespace: shop},
   spec: {clusterIP: None, ports: [{port: 80}]}}
"#;

#[test]
fn own_manifests_are_shown_with_their_own_addresses() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("own.yaml");
    fs::write(&file, OWN).unwrap();
    let demo = Demo::start(&["--connections=60", "--manifests", file.to_str().unwrap()]);
    let text = text(&demo.finish());

    let mut endpoints = text.lines().filter_map(share).map(|(pod, place, count)| {
        assert!(count > 0, "{text}");
        format!("{pod} {place}")
    });
    let mut of = |count| {
        let mut some: Vec<String> = endpoints.by_ref().take(count).collect();
        some.sort();
        some
    };
    assert_eq!(
        of(2),
        ["172.20.0.2:6443 worker-1", "172.20.0.3:6443 control"],
        "{text}"
    );
    for _ in ["cluster IP", "node port"] {
        assert_eq!(
            of(3),
            [
                "172.31.1.5:9090 worker-1",
                "172.31.1.6:9090 worker-1",
                "172.31.2.5:9090 control"
            ],
            "{text}"
        );
    }
    assert_eq!(of(1), [""; 0]);
    for part in [
        "Your Services on the node worker-1",
        "Services: 4; 1 more",
        "shop/web:http  node port 172.20.0.2:31000/tcp from outside",
        "refused: the Service has no endpoint",
        "dropped: internalTrafficPolicy is Local, and no endpoint is on this node",
    ] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }

    let demo = Demo::start(&[
        "--manifests",
        file.to_str().unwrap(),
        "--hostname-override=control",
    ]);
    let text = self::text(&demo.finish());
    assert!(text.contains("Your Services on the node control"), "{text}");
    assert!(!text.contains("dropped:"), "{text}");
}

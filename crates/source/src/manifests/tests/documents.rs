//! What is read from a document, and what is said of one that cannot be read.

use std::sync::Arc;

use fairlead_core::address::Protocol;
use fairlead_core::api::{AddressType, Change, Node, SessionAffinity};

use super::{Desk, service};

/// What one file alone has to say, and what is wrong with it.
fn read(contents: &str) -> (Vec<String>, Vec<String>) {
    let mut desk = Desk::new();
    let mut said = desk.take("f.yaml", contents, 0);
    said.reverse();
    (said, desk.news())
}

#[test]
fn good_documents() {
    let web = service("web", 80);
    let json = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}}"#;
    let bare = r#"{"metadata":{"name":"web"},"spec":{"ports":[{"port":80}]}}"#;
    let one: &[&str] = &["default/web 80"];
    for (contents, expected) in [
        (web.clone(), one),
        (format!("\u{feff}{web}"), one),
        (web.replace('\n', "\r\n"), one),
        (format!("---\n# nothing\n---  # the first\n{web}---\n\n---\n"), one),
        (format!("%YAML 1.1\n---\n{web}...\n"), one),
        (format!("{web}---\n{}", service("db", 5432)), &["default/web 80", "default/db 5432"]),
        (service("web", "\"80\""), one),
        (web.replace("name: web", "name: web\n  namespace: shop\n  creationTimestamp: null"), &["shop/web 80"]),
        (web.replace("name: web", "name: web\n  namespace: \"\""), one),
        (format!("{web}status:\n  loadBalancer: {{}}\n"), one),
        (web.replace("\n  ports:\n  - port: 80", "\n  ports: null\n  clusterIP: None"), &["default/web "]),
        (format!("x: &port 80\n{}", service("web", "*port")), one),
        (format!("x: &all {{ports: [{{port: 80}}]}}\n{}", web.replace("ports:\n  - port: 80", "<<: *all")), one),
        ("{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}".into(), one),
        (json.to_owned(), one),
        (json.replace(':', ":\t").replace(',', "\r\n\t,"), one),
        (format!("--- {json}\n---\n{}", service("db", 1)), &["default/web 80", "default/db 1"]),
        (format!("{json}\n{}{}", json.replace("web", "a"), json.replace("web", "b")), &["default/web 80", "default/a 80", "default/b 80"]),
        (format!(r#"{{"items":[{json},{}],"kind":"List","apiVersion":"v1"}}"#, json.replace("web", "db")), &["default/web 80", "default/db 80"]),
        (format!(r#"{{"kind":"ServiceList","apiVersion":"v1","items":[{bare}]}}"#), one),
        (format!("apiVersion: v1\nkind: List\nitems:\n- {}", web.replace('\n', "\n  ")), one),
        (format!("apiVersion: v1\nkind: List\nitems:\n  -\n    {}metadata: {{}}\n", web.trim_end().replace('\n', "\n    ") + "\n"), one),
        (format!("apiVersion: v1\nkind: List\nitems: [{json}]\n"), one),
        (format!("apiVersion: v1\nitems:\n- {}kind: ServiceList\n", "metadata:\n    name: web\n  spec: {ports: [{port: 80}]}\n"), one),
        ("apiVersion: v1\nkind: List\nitems: []\n".into(), &[]),
        ("apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: 5}\n".into(), &[]),
        ("apiVersion: v1\nkind: ConfigMap\ndata:\n  x: |\n    ---\n    kind: Service\n".into(), &[]),
        ("apiVersion: v1\nkind: Node\nmetadata: {name: n1, namespace: ignored}\n".into(), &["node n1"]),
        ("apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: k}\nspec: {cidrs: [10.96.0.0/12]}\n".into(), &["cidr k 10.96.0.0/12"]),
        // What is odd but of the right type is the model's to judge.
        (service("web", 70000), &["default/web 70000"]),
    ] {
        assert_eq!(read(&contents), (expected.iter().map(ToString::to_string).collect(), vec![]), "{contents}");
    }
}

#[test]
fn every_field_arrives() {
    let contents = "\
apiVersion: v1
kind: Service
metadata:
  name: web
  creationTimestamp: 2026-01-31T10:00:00Z
  labels: {service.kubernetes.io/service-proxy-name: ''}
  annotations: {fairlead.dev/scheduler: 'sh,sh-port', example.com/other: x}
spec:
  type: LoadBalancer
  clusterIP: 10.96.0.1
  clusterIPs: [10.96.0.1, fd00::1]
  ipFamilies: [IPv4, IPv6]
  externalIPs: [192.0.2.1]
  loadBalancerSourceRanges: [203.0.113.0/24]
  externalTrafficPolicy: Local
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 30}}
  healthCheckNodePort: 30000
  ports: [{name: dns, protocol: UDP, port: 53, nodePort: 30053, targetPort: dns}]
status: {loadBalancer: {ingress: [{ip: 192.0.2.2, ipMode: Proxy}, {hostname: lb.example}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-a
  labels: {kubernetes.io/service-name: web, service.kubernetes.io/headless: null}
  annotations: {endpoints.kubernetes.io/last-change-trigger-time: '2026-01-31T10:00:00.5Z'}
addressType: IPv6
endpoints:
- addresses: [fd00::5]
  conditions: {ready: yes, serving: null, terminating: off}
  nodeName: n1
  hints: {forZones: [{name: z1}], forNodes: [{name: n1}]}
- addresses: [fd00::6]
  nodeName: n1
ports: [{name: '', port: 5353, protocol: SCTP}, {}]
---
apiVersion: v1
kind: Node
metadata: {name: n1, labels: {topology.kubernetes.io/zone: z1}, deletionTimestamp: 2026-01-31T10:00:00Z}
spec: {podCIDR: 10.244.1.0/24, taints: [{key: example.com/starting, effect: NoSchedule}]}
status: {addresses: [{type: InternalIP, address: 192.0.2.10}, {type: Hostname, address: n1}]}
";
    let said = Desk::new().take_bytes("f.yaml", contents.as_bytes(), true, 0);
    let [
        Change::Node(node),
        Change::EndpointSlice(slice),
        Change::Service(service),
    ] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(service.created, Some(1_769_853_600));
    assert!(service.other_proxy);
    assert_eq!(service.scheduler.as_deref(), Some("sh,sh-port"));
    assert_eq!(
        service.affinity,
        SessionAffinity::ClientIp {
            timeout_seconds: Some(30)
        }
    );
    assert_eq!(
        (service.ports[0].protocol, service.ports[0].node_port),
        (Protocol::Udp, 30053)
    );
    assert_eq!(slice.address_type, AddressType::Ipv6);
    assert_eq!(slice.triggered, Some(1_769_853_600_500_000_000));
    let nodes = [0, 1].map(|index| slice.endpoints[index].node_name.clone().unwrap());
    assert!(
        Arc::ptr_eq(&nodes[0], &nodes[1]),
        "a node's name is allocated once a slice"
    );
    assert_eq!(node.pod_cidrs, ["10.244.1.0/24"]);
    // The rest is compared as a whole: what is printed here is what a reviewer reads.
    insta::assert_snapshot!(format!("{service:#?}\n{slice:#?}\n{node:#?}"));
}

/// So a change of any other label is none, and touches no rule.
#[test]
fn of_a_nodes_labels_the_zone_alone_counts() {
    let zone = |labels: &str| {
        let text =
            format!("apiVersion: v1\nkind: Node\nmetadata: {{name: n1, labels: {{{labels}}}}}\n");
        let said = Desk::new().take_bytes("f.yaml", text.as_bytes(), true, 0);
        let [Change::Node(node)] = &said[..] else {
            panic!("{said:?}");
        };
        let others = Node {
            zone: None,
            ..node.clone()
        };
        (node.zone.clone(), others)
    };
    let (none, bare) = zone("");
    assert_eq!(none, None);
    for (labels, expected) in [
        ("topology.kubernetes.io/zone: z1", Some("z1")),
        ("topology.kubernetes.io/region: z2", None),
        ("failure-domain.beta.kubernetes.io/zone: z2", None),
        ("kubernetes.io/arch: amd64, kubernetes.io/os: linux", None),
        (
            "topology.kubernetes.io/zone: z1, node.kubernetes.io/instance-type: large",
            Some("z1"),
        ),
    ] {
        let (zone, others) = zone(labels);
        assert_eq!(zone.as_deref(), expected, "{labels}");
        assert_eq!(others, bare, "{labels}");
    }
}

#[test]
fn problems_say_where_and_what_to_do() {
    let good = service("db", 1);
    let slice = "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: web-a}\n";
    let json = "{\"apiVersion\": \"v1\", \"kind\": \"Service\",\n \"metadata\": {\"name\": \"web\"},\n \"spec\": {\"ports\": [{\"port\": []}]}}\n";
    let mut text = String::new();
    for document in [
        service("web", "http"),
        service("web", "99999999999"),
        service("web", "\"080\""),
        service("web", "80\n    protocol: HTTP"),
        service("web", "80\n    port: 81"),
        service("web", "80").replace("\n  - port: 80", " {}"),
        service("web", "80").replace("\n  ports:\n  - port: 80", ""),
        service("web", "80").replace("\n  - port: 80", "\n  - name: x"),
        service("web", "80").replace("spec:", "spec: ]"),
        service("web", "80").replace("name: web", "name: web\n  creationTimestamp: today"),
        service("\"\"", "80"),
        service("x", "80").replace("name: x", "generateName: web-"),
        service("x", "80").replace("  name: x\n", ""),
        service("web", "80").replace("kind: Service\n", ""),
        service("web", "80").replace("apiVersion: v1\n", ""),
        "just some text\n".to_owned(),
        "- a\n- b\n".to_owned(),
        "a: [b\n".to_owned(),
        slice.to_owned(),
        format!("{slice}addressType: IPv5\n"),
        format!("{slice}addressType: ''\n"),
        format!("{slice}addressType: IPv4\nendpoints:\n- addresses: 10.0.0.1\n"),
        format!("{slice}addressType: IPv4\nendpoints:\n- conditions: {{ready: maybe}}\n"),
        slice.replace("/v1", "/v1beta1"),
        json.to_owned(),
        json.replace("[]", ""),
        format!(
            "apiVersion: v1\nkind: List\nitems:\n- {}- {}",
            good.replace('\n', "\n  ").trim_end().to_owned() + "\n",
            service("web", "x").trim_end().replace('\n', "\n  ") + "\n"
        ),
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n".to_owned(),
        "apiVersion: v1\nkind: List\nitems: 5\n".to_owned(),
        format!("{}---\n{}", service("web", 80), service("web", 81)),
        "apiVersion: v1\nkind: Secret\ndata: {\n".to_owned(),
    ] {
        let contents = format!("# A comment.\n{good}---\n{document}");
        let (said, news) = read(&contents);
        assert!(said.contains(&"default/db 1".to_owned()), "{contents}");
        assert!(!news.is_empty(), "{contents}");
        text.extend(news.iter().map(|problem| format!("{problem}\n")));
    }
    insta::assert_snapshot!(text);
}

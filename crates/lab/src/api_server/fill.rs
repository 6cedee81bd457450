//! Many objects as large as real ones, made at little cost.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::Ipv4Addr;

use super::object::Object;
use super::resource::Resource;
use super::store::uid;

/// The namespace that they are in.
pub const NAMESPACE: &str = "load";

/// How many endpoints a slice has at most, as the EndpointSlice controller makes them.
pub const SLICE: usize = 100;

/// The name of a Service, counted from 0.
pub fn service_name(service: usize) -> String {
    format!("service-{service:05}")
}

/// The cluster IP of a Service, from 10.96.0.0/12, which has room for a million.
pub fn cluster_ip(service: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 96, 1, 0).to_bits() + service as u32)
}

/// The address of an endpoint, from 10.128.0.0/9: another for every 8 million.
pub fn endpoint_ip(endpoint: usize) -> Ipv4Addr {
    let offset = endpoint as u32 % (1 << 23);
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 128, 0, 0).to_bits() | offset)
}

/// A Service with one port.
pub(super) fn service(service: usize, version: u64, now: &str) -> Object {
    let name = service_name(service);
    let address = cluster_ip(service);
    let uid = uid(version);
    let rest = format!(
        r#""metadata":{{"name":"{name}","namespace":"{NAMESPACE}","uid":"{uid}","resourceVersion":"{version}","creationTimestamp":"{now}","labels":{{"app.kubernetes.io/name":"{name}","app.kubernetes.io/instance":"{name}","app.kubernetes.io/managed-by":"Helm","helm.sh/chart":"shop-1.2.3"}},"annotations":{{"meta.helm.sh/release-name":"{name}","meta.helm.sh/release-namespace":"{NAMESPACE}"}},"managedFields":[{{"manager":"helm","operation":"Update","apiVersion":"v1","time":"{now}","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:annotations":{{".":{{}},"f:meta.helm.sh/release-name":{{}},"f:meta.helm.sh/release-namespace":{{}}}},"f:labels":{{".":{{}},"f:app.kubernetes.io/instance":{{}},"f:app.kubernetes.io/managed-by":{{}},"f:app.kubernetes.io/name":{{}},"f:helm.sh/chart":{{}}}}}},"f:spec":{{"f:internalTrafficPolicy":{{}},"f:ports":{{".":{{}},"k:{{\"port\":80,\"protocol\":\"TCP\"}}":{{".":{{}},"f:name":{{}},"f:port":{{}},"f:protocol":{{}},"f:targetPort":{{}}}}}},"f:selector":{{}},"f:sessionAffinity":{{}},"f:type":{{}}}}}}}}]}},"spec":{{"ports":[{{"name":"http","protocol":"TCP","port":80,"targetPort":"http"}}],"selector":{{"app.kubernetes.io/instance":"{name}","app.kubernetes.io/name":"{name}"}},"clusterIP":"{address}","clusterIPs":["{address}"],"type":"ClusterIP","sessionAffinity":"None","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster"}},"status":{{"loadBalancer":{{}}}}}}"#
    );
    let fields = vec![
        ("metadata.name", name),
        ("metadata.namespace", NAMESPACE.to_owned()),
        ("spec.clusterIP", address.to_string()),
        ("spec.type", "ClusterIP".to_owned()),
    ];
    Object::written(Resource::Services, version, BTreeMap::new(), fields, rest)
}

/// A slice of the endpoints of a Service: these of all.
pub(super) fn slice(
    service: usize,
    slice: usize,
    endpoints: std::ops::Range<usize>,
    version: u64,
    now: &str,
) -> Object {
    let owner = service_name(service);
    let name = format!("{owner}-{slice:05}");
    let uid = uid(version);
    let mut rest = format!(
        r#""metadata":{{"name":"{name}","generateName":"{owner}-","namespace":"{NAMESPACE}","uid":"{uid}","resourceVersion":"{version}","generation":1,"creationTimestamp":"{now}","labels":{{"app.kubernetes.io/name":"{owner}","app.kubernetes.io/instance":"{owner}","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"{owner}"}},"annotations":{{"endpoints.kubernetes.io/last-change-trigger-time":"{now}"}},"ownerReferences":[{{"apiVersion":"v1","kind":"Service","name":"{owner}","uid":"{uid}","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{{"manager":"kube-controller-manager","operation":"Update","apiVersion":"discovery.k8s.io/v1","time":"{now}","fieldsType":"FieldsV1","fieldsV1":{{"f:addressType":{{}},"f:endpoints":{{}},"f:metadata":{{"f:annotations":{{".":{{}},"f:endpoints.kubernetes.io/last-change-trigger-time":{{}}}},"f:generateName":{{}},"f:labels":{{".":{{}},"f:app.kubernetes.io/instance":{{}},"f:app.kubernetes.io/name":{{}},"f:endpointslice.kubernetes.io/managed-by":{{}},"f:kubernetes.io/service-name":{{}}}},"f:ownerReferences":{{".":{{}},"k:{{\"uid\":\"{uid}\"}}":{{}}}}}},"f:ports":{{}}}}}}]}},"addressType":"IPv4","endpoints":["#
    );
    for (index, endpoint) in endpoints.enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (node, zone) = (endpoint % 500, endpoint % 3);
        // Writing to a text cannot fail.
        let _ = write!(
            rest,
            r#"{comma}{{"addresses":["{}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},"nodeName":"node-{node}","targetRef":{{"kind":"Pod","namespace":"{NAMESPACE}","name":"{owner}-7c5b4f9d8b-{endpoint:05x}","uid":"{}"}},"zone":"zone-{zone}"}}"#,
            endpoint_ip(endpoint),
            self::uid(endpoint as u64),
        );
    }
    rest.push_str(r#"],"ports":[{"name":"http","port":8080,"protocol":"TCP"}]}"#);
    let labels = [
        ("kubernetes.io/service-name", owner.as_str()),
        ("app.kubernetes.io/name", &owner),
        ("app.kubernetes.io/instance", &owner),
        (
            "endpointslice.kubernetes.io/managed-by",
            "endpointslice-controller.k8s.io",
        ),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let fields = vec![
        ("metadata.name", name),
        ("metadata.namespace", NAMESPACE.to_owned()),
    ];
    Object::written(
        Resource::EndpointSlices,
        version,
        labels.into(),
        fields,
        rest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written by hand has to read as if it were not.
    #[test]
    fn objects_are_whole() {
        for object in [service(7, 1001, "now"), slice(7, 0, 70..80, 1002, "now")] {
            let value = object.value();
            assert!(value.is_object(), "no JSON");
            assert_eq!(value["metadata"]["name"], object.name());
            let resource = Resource::of_kind(value["kind"].as_str().unwrap()).unwrap();
            let again = Object::new(resource, value.clone(), object.version);
            assert_eq!(again.key(), object.key());
            for field in super::super::object::selectable(resource) {
                assert_eq!(again.field(field), object.field(field), "{field}");
            }
            for label in value["metadata"]["labels"].as_object().unwrap().keys() {
                let known = object.label(label).or(Some(""));
                assert!(known == again.label(label) || resource == Resource::Services);
            }
        }
    }
}

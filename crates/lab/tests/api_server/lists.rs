//! Lists, pages and versions.

use fairlead_lab::api_server::{ApiServer, Resource};
use serde_json::{Value, json};

use crate::client::{get, name, names};
use crate::{service, with_services};

const SERVICES: &str = "/api/v1/services";

fn server(services: usize) -> ApiServer {
    with_services(ApiServer::start().unwrap(), services)
}

#[test]
fn a_list_has_the_objects_and_their_version() {
    let server = server(2);
    let list = get(&server, SERVICES).json();
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("ServiceList"), &json!("v1"))
    );
    assert_eq!(
        list["metadata"],
        json!({"resourceVersion": server.version().to_string()})
    );
    assert_eq!(names(&list), ["s0", "s1"]);
    let item = &list["items"][1];
    assert_eq!((item.get("kind"), item.get("apiVersion")), (None, None));
    assert_eq!(item["spec"], service("s1", &json!({}))["spec"]);
    for field in ["uid", "creationTimestamp", "resourceVersion"] {
        assert!(item["metadata"][field].is_string(), "{field}");
    }
    let empty = get(&server, "/apis/networking.k8s.io/v1/servicecidrs").json();
    assert_eq!(
        (&empty["kind"], &empty["items"]),
        (&json!("ServiceCIDRList"), &json!([]))
    );
}

#[test]
fn namespaces_and_selectors_choose() {
    let server = server(0);
    let proxy_name = "service.kubernetes.io/service-proxy-name";
    server
        .apply(&service("mine", &json!({"app": "web"})))
        .unwrap();
    server
        .apply(&service("other", &json!({proxy_name: ""})))
        .unwrap();
    let mut headless = service("headless", &json!({}));
    headless["spec"]["clusterIP"] = "None".into();
    server.apply(&headless).unwrap();
    let mut elsewhere = service("elsewhere", &json!({"app": "db"}));
    elsewhere["metadata"]["namespace"] = "bank".into();
    server.apply(&elsewhere).unwrap();
    let list = |path: &str| names(&get(&server, path).json());
    assert_eq!(list("/api/v1/namespaces/bank/services"), ["elsewhere"]);
    assert_eq!(list("/api/v1/services?labelSelector=app%3Dweb"), ["mine"]);
    assert_eq!(
        list("/api/v1/services?fieldSelector=metadata.name%3Dmine"),
        ["mine"]
    );
    assert_eq!(
        list("/api/v1/services?labelSelector=app%21%3Dweb,app"),
        ["elsewhere"]
    );
    let proxys = format!(
        "/api/v1/services?labelSelector=%21{}&fieldSelector=spec.clusterIP%21%3DNone",
        proxy_name.replace('/', "%2F")
    );
    assert_eq!(list(&proxys), ["elsewhere", "mine"]);
    let refused = get(&server, "/api/v1/services?fieldSelector=spec.other%3Da").json();
    assert_eq!(
        (&refused["reason"], &refused["code"]),
        (&json!("BadRequest"), &json!(400))
    );
}

#[test]
fn pages_make_up_the_list_of_one_version() {
    let server = server(5);
    let version = server.version().to_string();
    let first = get(&server, "/api/v1/services?limit=2").json();
    assert_eq!(names(&first), ["s0", "s1"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    // None of it is to be seen in the pages to come.
    server.delete(Resource::Services, "shop", "s2");
    server.apply(&service("s10", &json!({}))).unwrap();
    let mut seen = names(&first);
    let mut page = first;
    while let Some(token) = page["metadata"]["continue"].as_str() {
        page = get(
            &server,
            &format!("/api/v1/services?limit=2&continue={token}"),
        )
        .json();
        assert_eq!(page["metadata"]["resourceVersion"], version.as_str());
        seen.extend(names(&page));
    }
    assert_eq!(seen, ["s0", "s1", "s2", "s3", "s4"]);
    assert_eq!(page["metadata"].get("remainingItemCount"), None);
    // How many remain is not known where a selector chooses.
    let page = get(&server, "/api/v1/services?limit=2&labelSelector=%21x").json();
    assert_eq!(page["metadata"].get("remainingItemCount"), None);
    assert!(page["metadata"]["continue"].is_string());
}

#[test]
fn the_server_may_have_a_limit_of_its_own() {
    let server = ApiServer::builder().page_limit(2).start().unwrap();
    let server = with_services(server, 5);
    assert_eq!(
        names(&get(&server, "/api/v1/services?limit=500").json()).len(),
        2
    );
    assert_eq!(names(&get(&server, SERVICES).json()).len(), 5);
}

#[test]
fn a_page_of_what_is_forgotten_is_expired_and_can_go_on() {
    let server = server(3);
    let first = get(&server, "/api/v1/services?limit=1").json();
    server.apply(&service("s11", &json!({}))).unwrap();
    server.compact();
    let page = |list: &Value| {
        let token = list["metadata"]["continue"].as_str().unwrap();
        get(
            &server,
            &format!("/api/v1/services?limit=9&continue={token}"),
        )
    };
    let mut expired = page(&first);
    assert_eq!(expired.status, 410);
    let expired = expired.json();
    assert_eq!(
        (&expired["kind"], &expired["reason"]),
        (&json!("Status"), &json!("Expired"))
    );
    assert_eq!(names(&page(&expired).json()), ["s1", "s11", "s2"]);
}

#[test]
fn versions_are_matched() {
    let server = server(2);
    let then = server.version();
    server.apply(&service("s2", &json!({}))).unwrap();
    let list = |query: &str| get(&server, &format!("/api/v1/services?{query}")).json();
    let count = |query: &str| names(&list(query)).len();
    assert_eq!(count("resourceVersion=0"), 3);
    // A list of any version is not paged.
    assert_eq!(count("resourceVersion=0&limit=1"), 3);
    assert_eq!(count(&format!("resourceVersion={then}")), 3);
    assert_eq!(
        count(&format!(
            "resourceVersion={then}&resourceVersionMatch=Exact"
        )),
        2
    );
    assert_eq!(
        count(&format!(
            "resourceVersion={then}&resourceVersionMatch=NotOlderThan"
        )),
        3
    );
    assert_eq!(count(&format!("resourceVersion={then}&limit=9")), 2);
    assert_eq!(list("resourceVersionMatch=Exact")["code"], 422);
    assert_eq!(list("sendInitialEvents=true")["reason"], "Invalid");
    server.compact();
    let gone = list(&format!(
        "resourceVersion={then}&resourceVersionMatch=Exact"
    ));
    assert_eq!(
        (&gone["code"], &gone["reason"]),
        (&json!(410), &json!("Expired"))
    );
    let future = list(&format!("resourceVersion={}", server.version() + 1));
    assert_eq!(
        (&future["code"], &future["reason"]),
        (&json!(504), &json!("Timeout"))
    );
    assert_eq!(
        future["details"]["causes"][0]["reason"],
        "ResourceVersionTooLarge"
    );
}

#[test]
fn one_object_can_be_read() {
    let server = server(1);
    let object = get(&server, "/api/v1/namespaces/shop/services/s0").json();
    assert_eq!(
        (&object["kind"], name(&object)),
        (&json!("Service"), "s0".to_owned())
    );
    let missing = get(&server, "/api/v1/nodes/n").json();
    assert_eq!(missing["message"], "nodes \"n\" not found");
    assert_eq!(missing["details"], json!({"kind": "nodes", "name": "n"}));
    assert_eq!(get(&server, "/api/v1/pods").status, 404);
}

#[test]
fn there_is_more_than_resources() {
    let server = server(0);
    assert_eq!(get(&server, "/version").json()["minor"], "36");
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(get(&server, path).body().unwrap(), b"ok", "{path}");
    }
}

#[test]
fn a_cluster_can_be_filled() {
    let server = server(0);
    server.fill(300, 120);
    let services = get(&server, SERVICES).json();
    assert_eq!(services["items"].as_array().unwrap().len(), 300);
    let slices = get(&server, "/apis/discovery.k8s.io/v1/endpointslices").json();
    let slices = slices["items"].as_array().unwrap();
    let lengths: Vec<usize> = slices
        .iter()
        .map(|slice| slice["endpoints"].as_array().unwrap().len())
        .collect();
    assert_eq!(lengths.len(), 600);
    assert_eq!(lengths[..4], [100, 20, 100, 20]);
}

//! The z-pages, to the byte.

use axum::body::to_bytes;
use fairlead_core::api::ObjectName;

use super::*;
use crate::health::Failure;

/// An answer: the status, the type, the warning, and the text.
fn heard(response: Response) -> (u16, String, Option<String>, String) {
    let header = |name| {
        let value = response.headers().get(name);
        value.map(|value: &HeaderValue| value.to_str().expect("text").to_owned())
    };
    let (status, kind) = (response.status().as_u16(), header(CONTENT_TYPE));
    let warning = header(WARNING);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let body = runtime
        .block_on(to_bytes(response.into_body(), 1 << 20))
        .expect("a body");
    let text = String::from_utf8(body.to_vec()).expect("text");
    (status, kind.expect("a type"), warning, text)
}

fn asked<T>(accept: &str, path: &'static str, ask: impl FnOnce(&Asked<'_>) -> T) -> T {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::ACCEPT,
        HeaderValue::from_str(accept).expect("a header"),
    );
    let uri = Uri::from_static(path);
    ask(&Asked {
        uri: &uri,
        headers: &headers,
    })
}

fn flags(accept: &str, path: &'static str) -> (u16, String, Option<String>, String) {
    let flags = [
        ("v", "2"),
        ("config", "/etc/c.yaml"),
        ("profiling", "false"),
    ];
    let flags = flags
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    heard(asked(accept, path, |asked| flagz(&flags, asked)))
}

fn status(accept: &str, trouble: Trouble) -> (u16, String, Option<String>, String) {
    let started = "2026-01-02T03:04:05.678Z".parse().expect("a time");
    let up = Duration::from_millis(3_723_900);
    let paths = ["/configz", "/statusz"].map(str::to_owned);
    heard(asked(accept, "/statusz", |asked| {
        statusz(started, up, &paths, trouble, asked)
    }))
}

fn trouble() -> Trouble {
    let failure = Failure {
        at: "2026-01-02T03:05:06Z".parse().expect("a time"),
        message: "could not apply: File exists".to_owned(),
    };
    let excluded = Excluded {
        service: ObjectName::new("shop", "edge"),
        why: "No space left on device".to_owned(),
    };
    Trouble {
        failure: Some(failure),
        excluded: vec![excluded],
        source: vec!["may not list services".to_owned()],
    }
}

const TEXT_TYPE: &str = "text/plain; charset=utf-8";

#[test]
fn flags_as_text_are_sorted() {
    let (status, kind, warning, text) = flags("", "/flagz");
    assert_eq!((status, &*kind, warning), (200, TEXT_TYPE, None));
    assert_eq!(
        text,
        "\nkube-proxy flagz\nWarning: This endpoint is not meant to be machine parseable, has no formatting \
         compatibility guarantees and is for debugging purposes only.\nconfig=/etc/c.yaml\nprofiling=false\nv=2\n"
    );
}

#[test]
fn flags_as_an_object() {
    let (status, kind, warning, text) = flags(
        "application/json;v=v1beta1;g=config.k8s.io;as=Flagz",
        "/flagz",
    );
    assert_eq!((status, &*kind, warning), (200, "application/json", None));
    assert_eq!(
        text,
        "{\"kind\":\"Flagz\",\"apiVersion\":\"config.k8s.io/v1beta1\",\"metadata\":{\"name\":\"kube-proxy\"},\
         \"flags\":{\"config\":\"/etc/c.yaml\",\"profiling\":\"false\",\"v\":\"2\"}}\n"
    );
    let (.., pretty) = flags(
        "application/json;v=v1beta1;g=config.k8s.io;as=Flagz",
        "/flagz?pretty=true",
    );
    assert!(
        pretty.starts_with("{\n  \"kind\": \"Flagz\",\n"),
        "{pretty}"
    );
    let (_, kind, _, yaml) = flags(
        "application/yaml;v=v1beta1;g=config.k8s.io;as=Flagz",
        "/flagz",
    );
    assert_eq!(kind, "application/yaml");
    let object: serde_json::Value = yaml_serde::from_str(&yaml).expect("YAML");
    assert_eq!(
        object,
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
    );
}

#[test]
fn status_as_text() {
    let (status, kind, _, text) = status("", Trouble::default());
    assert_eq!((status, &*kind), (200, TEXT_TYPE));
    let expected = format!(
        "\nkube-proxy statusz\nWarning: This endpoint is not meant to be machine parseable, has no formatting \
         compatibility guarantees and is for debugging purposes only.\n\nStarted: Fri Jan  2 03:04:05 UTC 2026\n\
         Up: 1 hr 02 min 03 sec\nGo version: none (Rust {})\nBinary version: {}\nEmulation version: 1.36\n\
         Paths: /configz /statusz\n",
        env!("CARGO_PKG_RUST_VERSION"),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(text, expected);
}

#[test]
fn status_tells_what_is_wrong() {
    let (.., text) = status("text/plain", trouble());
    let end = "Paths: /configz /statusz\nLast failure: 2026-01-02T03:05:06Z: could not apply: File exists\n\
               Not served: shop/edge: No space left on device\nSource: may not list services\n";
    assert!(text.ends_with(end), "{text}");
    let (.., text) = status(
        "application/json;v=v1beta1;g=config.k8s.io;as=Statusz",
        trouble(),
    );
    let object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let told = json!({
        "fairlead/last-failure": "2026-01-02T03:05:06Z: could not apply: File exists",
        "fairlead/not-served": "shop/edge: No space left on device",
        "fairlead/source": "may not list services",
    });
    assert_eq!(object["metadata"]["annotations"], told);
}

#[test]
fn the_old_version_comes_with_a_warning() {
    let (status, _, warning, text) = status(
        "application/json;v=v1alpha1;g=config.k8s.io;as=Statusz",
        Trouble::default(),
    );
    assert_eq!(status, 200);
    let expected =
        "299 - \"This version of the statusz endpoint is deprecated. Please use a newer version.\"";
    assert_eq!(warning.as_deref(), Some(expected));
    let start = "{\"kind\":\"Statusz\",\"apiVersion\":\"config.k8s.io/v1alpha1\",\"metadata\":{\"name\":\"kube-proxy\"},\
                 \"startTime\":\"2026-01-02T03:04:05Z\",\"uptimeSeconds\":3723,\"goVersion\":\"none";
    assert!(text.starts_with(start), "{text}");
    assert!(
        text.ends_with("\"emulationVersion\":\"1.36\",\"paths\":[\"/configz\",\"/statusz\"]}\n")
    );
}

#[test]
fn what_there_is_not_is_not_acceptable() {
    let (status, kind, _, text) = flags("application/json", "/flagz");
    assert_eq!((status, &*kind), (406, "application/json"));
    let object: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&object["reason"], &object["code"]),
        (&json!("NotAcceptable"), &json!(406))
    );
}

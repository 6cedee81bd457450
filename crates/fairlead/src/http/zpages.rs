//! /flagz and /statusz: what this process was started with and what it is, for people as text and
//! for programs as objects of `config.k8s.io`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, WARNING};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use fairlead_core::report::Excluded;

use super::accept::{Encoding, Form, Version, negotiate};
use super::answer::{JSON, TEXT, answer};
use crate::health::Trouble;

/// What we stand in for, whose pages these are.
const COMPONENT: &str = "kube-proxy";

/// The version of Kubernetes whose kube-proxy we stand in for.
const KUBERNETES: &str = "1.36";

/// What is told where kube-proxy tells what Go it was built with.
const LANGUAGE: &str = concat!("none (Rust ", env!("CARGO_PKG_RUST_VERSION"), ")");

/// What else /statusz tells; kube-proxy has no such thing.
#[derive(Debug, Clone, Copy)]
struct Extra {
    /// Before it, in text.
    text: &'static str,
    /// As an annotation of the object, whose fields are given.
    annotation: &'static str,
}

/// What the last sync failed at.
const FAILURE: Extra = Extra {
    text: "Last failure",
    annotation: "fairlead/last-failure",
};

/// The Services that the kernel refuses.
const NOT_SERVED: Extra = Extra {
    text: "Not served",
    annotation: "fairlead/not-served",
};

/// What is wrong with where the objects come from.
const SOURCE: Extra = Extra {
    text: "Source",
    annotation: "fairlead/source",
};

/// A z-page, in all its forms.
trait Page: Serialize {
    /// The kind of the object.
    const KIND: &'static str;
    /// The page as text, after its head.
    fn text(&self) -> String;
}

/// An object of `config.k8s.io`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a, P> {
    kind: &'static str,
    api_version: String,
    metadata: Metadata<'a>,
    #[serde(flatten)]
    page: &'a P,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, &'a str>,
}

/// The flags of the command line with their values.
#[derive(Serialize)]
struct Flags<'a> {
    flags: &'a BTreeMap<String, String>,
}

impl Page for Flags<'_> {
    const KIND: &'static str = "Flagz";

    fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.flags {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

/// What this process is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(serialize_with = "seconds")]
    start_time: Timestamp,
    uptime_seconds: u64,
    go_version: &'static str,
    binary_version: &'static str,
    emulation_version: &'static str,
    paths: &'a [String],
}

impl Page for Status<'_> {
    const KIND: &'static str = "Statusz";

    fn text(&self) -> String {
        let up = self.uptime_seconds;
        format!(
            "\nStarted: {}\nUp: {} hr {:02} min {:02} sec\nGo version: {}\nBinary version: {}\n\
             Emulation version: {}\nPaths: {}\n",
            self.start_time.strftime("%a %b %e %H:%M:%S UTC %Y"),
            up / 3600,
            up / 60 % 60,
            up % 60,
            self.go_version,
            self.binary_version,
            self.emulation_version,
            self.paths.join(" "),
        )
    }
}

/// As the API writes a time.
fn seconds<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%SZ"))
}

/// The answer of /flagz.
pub(super) fn flagz(flags: &BTreeMap<String, String>, asked: &Asked<'_>) -> Response {
    respond(&Flags { flags }, &[], asked)
}

/// The answer of /statusz.
pub(super) fn statusz(
    started: Timestamp,
    up: Duration,
    paths: &[String],
    trouble: Trouble,
    asked: &Asked<'_>,
) -> Response {
    let status = Status {
        start_time: started,
        uptime_seconds: up.as_secs(),
        go_version: LANGUAGE,
        binary_version: env!("CARGO_PKG_VERSION"),
        emulation_version: KUBERNETES,
        paths,
    };
    respond(&status, &told(trouble), asked)
}

/// What is wrong, if something is, in a line each.
fn told(trouble: Trouble) -> Vec<(Extra, String)> {
    let excluded = trouble.excluded.iter();
    let excluded = excluded.map(|Excluded { service, why }| format!("{service}: {why}"));
    let failure = trouble
        .failure
        .map(|failure| format!("{}: {}", failure.at, failure.message));
    let told = [
        (FAILURE, failure.unwrap_or_default()),
        (NOT_SERVED, excluded.collect::<Vec<_>>().join("; ")),
        (SOURCE, trouble.source.join("; ")),
    ];
    told.into_iter()
        .filter(|(_, what)| !what.is_empty())
        .collect()
}

/// What of a request shapes the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The address asked for.
    pub(super) uri: &'a Uri,
    /// The headers.
    pub(super) headers: &'a HeaderMap,
}

impl Asked<'_> {
    fn header(&self, name: header::HeaderName) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Whether a person reads it: it is asked for, or the client is one that people use.
    fn is_pretty(&self) -> bool {
        let query = self.uri.query().unwrap_or_default();
        let pretty = query
            .split('&')
            .find_map(|part| part.strip_prefix("pretty="));
        match pretty {
            Some(value) => matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"),
            None => {
                let agent = self.header(header::USER_AGENT);
                let agents = ["curl", "Wget", "Mozilla/5.0"];
                agents.iter().any(|people| agent.starts_with(people))
            }
        }
    }
}

fn respond<P: Page>(page: &P, extras: &[(Extra, String)], asked: &Asked<'_>) -> Response {
    match negotiate(asked.header(header::ACCEPT), P::KIND) {
        Some(Form::Text) => text(page, extras),
        Some(Form::Object(encoding, version)) => object(page, extras, encoding, version, asked),
        None => not_acceptable(),
    }
}

fn text<P: Page>(page: &P, extras: &[(Extra, String)]) -> Response {
    let mut text = format!(
        "\n{COMPONENT} {}\nWarning: This endpoint is not meant to be machine parseable, \
         has no formatting compatibility guarantees and is for debugging purposes only.\n{}",
        P::KIND.to_lowercase(),
        page.text()
    );
    for (extra, what) in extras {
        let _ = writeln!(text, "{}: {what}", extra.text);
    }
    answer(StatusCode::OK, TEXT, text)
}

fn object<P: Page>(
    page: &P,
    extras: &[(Extra, String)],
    encoding: Encoding,
    version: Version,
    asked: &Asked<'_>,
) -> Response {
    let annotations = extras
        .iter()
        .map(|(extra, what)| (extra.annotation, what.as_str()));
    let object = Object {
        kind: P::KIND,
        api_version: format!("config.k8s.io/{}", version.name()),
        metadata: Metadata {
            name: COMPONENT,
            annotations: annotations.collect(),
        },
        page,
    };
    let mut response = match encoding {
        Encoding::Json => answer(StatusCode::OK, JSON, as_json(&object, asked)),
        Encoding::Yaml => answer(
            StatusCode::OK,
            HeaderValue::from_static("application/yaml"),
            // By way of a value: the API sorts the fields of what it writes as YAML.
            yaml_serde::to_string(&json!(object)).unwrap_or_default(),
        ),
    };
    if version == Version::V1alpha1 {
        let warning = format!(
            "299 - \"This version of the {} endpoint is deprecated. Please use a newer version.\"",
            P::KIND.to_lowercase()
        );
        let warning = HeaderValue::try_from(warning).ok();
        response
            .headers_mut()
            .extend(warning.map(|warning| (WARNING, warning)));
    }
    response
}

fn as_json(object: &impl Serialize, asked: &Asked<'_>) -> String {
    let text = match asked.is_pretty() {
        true => serde_json::to_string_pretty(object),
        false => serde_json::to_string(object),
    };
    text.unwrap_or_default() + "\n"
}

/// In the API's words, as an API server refuses.
fn not_acceptable() -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "only the following media types are accepted: application/json, application/yaml, text/plain; \
                    the first two with g=config.k8s.io, v and as",
        "reason": "NotAcceptable", "code": 406,
    });
    let mut response = Response::new((status.to_string() + "\n").into());
    *response.status_mut() = StatusCode::NOT_ACCEPTABLE;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

#[cfg(test)]
mod tests;

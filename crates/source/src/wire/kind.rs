//! What an `apiVersion` and a `kind` announce.

use fairlead_core::api::Kind;
use thiserror::Error;

/// What a document holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// One object of a watched kind.
    Object(Kind),
    /// A list: of one watched kind (`ServiceList`), or of objects that each say theirs (`List`).
    List(Option<Kind>),
    /// A Kubernetes object that Fairlead has no use for.
    Other,
}

/// Why `apiVersion` and `kind` announce nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContentError {
    /// No `kind`.
    #[error("not a Kubernetes object: kind is missing (for a Service write kind: Service)")]
    NoKind,
    /// A `kind` without `apiVersion`.
    #[error("not a Kubernetes object: apiVersion is missing (for a {0} write apiVersion: {1})")]
    NoVersion(Kind, &'static str),
    /// A version of a watched kind whose fields are others.
    #[error("apiVersion: {found} of {kind} is not read: write {wanted}")]
    OtherVersion {
        /// The kind.
        kind: Kind,
        /// The version found.
        found: String,
        /// The version that is read.
        wanted: &'static str,
    },
}

impl Content {
    /// Looks up `apiVersion` and `kind`, either of which may be missing (empty).
    pub fn of(api_version: &str, kind: &str) -> Result<Content, ContentError> {
        if kind.is_empty() {
            return Err(ContentError::NoKind);
        }
        if kind == "List" {
            return Ok(if matches!(api_version, "v1" | "") {
                Content::List(None)
            } else {
                Content::Other
            });
        }
        let singular = kind.strip_suffix("List");
        let Some(found) = Kind::ALL
            .into_iter()
            .find(|k| k.to_string() == singular.unwrap_or(kind))
        else {
            return Ok(Content::Other);
        };
        let wanted = api_version_of(found);
        if api_version == wanted {
            Ok(if singular.is_some() {
                Content::List(Some(found))
            } else {
                Content::Object(found)
            })
        } else if api_version.is_empty() {
            Err(ContentError::NoVersion(found, wanted))
        } else if group(api_version) == group(wanted) {
            Err(ContentError::OtherVersion {
                kind: found,
                found: api_version.to_owned(),
                wanted,
            })
        } else {
            // Another group's object of the same name, such as a Knative Service.
            Ok(Content::Other)
        }
    }
}

fn api_version_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Service | Kind::Node => "v1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::ServiceCidr => "networking.k8s.io/v1",
    }
}

/// The part before the slash, empty for the core group.
fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_version_and_kind_decide_together() {
        for (api_version, kind, content) in [
            ("v1", "Service", Content::Object(Kind::Service)),
            (
                "discovery.k8s.io/v1",
                "EndpointSlice",
                Content::Object(Kind::EndpointSlice),
            ),
            (
                "networking.k8s.io/v1",
                "ServiceCIDR",
                Content::Object(Kind::ServiceCidr),
            ),
            ("v1", "NodeList", Content::List(Some(Kind::Node))),
            ("v1", "List", Content::List(None)),
            ("serving.knative.dev/v1", "Service", Content::Other),
            ("apps/v1", "Deployment", Content::Other),
            ("v1", "PodList", Content::Other),
        ] {
            assert_eq!(
                Content::of(api_version, kind),
                Ok(content),
                "{api_version} {kind}"
            );
        }
        assert_eq!(Content::of("v1", ""), Err(ContentError::NoKind));
        assert_eq!(
            Content::of("", "Node"),
            Err(ContentError::NoVersion(Kind::Node, "v1"))
        );
        assert!(matches!(
            Content::of("discovery.k8s.io/v1beta1", "EndpointSlice"),
            Err(ContentError::OtherVersion {
                kind: Kind::EndpointSlice,
                ..
            })
        ));
    }
}

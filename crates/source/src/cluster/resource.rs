//! The kinds as the API server has them: where they are and which of them are wanted.

use fairlead_core::api::Kind;
use form_urlencoded::Serializer;

use super::reflector::{Ask, Page};

/// Objects on a page of a list, as client-go has it.
const PAGE: u32 = 500;

/// One of the watched kinds at the API server.
#[derive(Debug, Clone)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// As it stands in rules of access: `services`.
    pub(super) plural: &'static str,
    path: &'static str,
    selectors: Vec<(&'static str, String)>,
}

impl Resource {
    /// The kind, as a proxy on this node wants it.
    pub(super) fn of(kind: Kind, node: &str) -> Resource {
        let (plural, path, selectors) = match kind {
            Kind::Service => (
                "services",
                "/api/v1/services",
                vec![
                    (
                        "labelSelector",
                        "!service.kubernetes.io/service-proxy-name".to_owned(),
                    ),
                    ("fieldSelector", "spec.clusterIP!=None".to_owned()),
                ],
            ),
            Kind::EndpointSlice => (
                "endpointslices",
                "/apis/discovery.k8s.io/v1/endpointslices",
                vec![(
                    "labelSelector",
                    "!service.kubernetes.io/headless".to_owned(),
                )],
            ),
            Kind::Node => (
                "nodes",
                "/api/v1/nodes",
                vec![("fieldSelector", format!("metadata.name={node}"))],
            ),
            Kind::ServiceCidr => (
                "servicecidrs",
                "/apis/networking.k8s.io/v1/servicecidrs",
                Vec::new(),
            ),
        };
        Resource {
            kind,
            plural,
            path,
            selectors,
        }
    }

    /// Path and query of a request. A watch is ended by the server after `seconds`.
    pub(super) fn query(&self, ask: &Ask, seconds: u64) -> String {
        let path = format!("{}?", self.path);
        let start = path.len();
        let mut query = Serializer::for_suffix(path, start);
        query.extend_pairs(&self.selectors);
        let seconds = seconds.to_string();
        match ask {
            Ask::Stream => query.extend_pairs([
                ("watch", "true"),
                ("sendInitialEvents", "true"),
                ("resourceVersionMatch", "NotOlderThan"),
                ("allowWatchBookmarks", "true"),
                ("timeoutSeconds", &seconds),
            ]),
            Ask::Watch(revision) => query.extend_pairs([
                ("watch", "true"),
                ("resourceVersion", revision),
                ("allowWatchBookmarks", "true"),
                ("timeoutSeconds", &seconds),
            ]),
            Ask::Page(Page::Whole) => &mut query,
            Ask::Page(Page::First) => query.append_pair("limit", &PAGE.to_string()),
            Ask::Page(Page::Next(token)) => query
                .append_pair("limit", &PAGE.to_string())
                .append_pair("continue", token),
        };
        query.finish()
    }
}

/// The verb of a request as rules of access have it.
pub(super) fn verb(ask: &Ask) -> &'static str {
    match ask {
        Ask::Page(_) => "list",
        Ask::Stream | Ask::Watch(_) => "watch",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_those_of_the_kubernetes_api() {
        let queries = [
            (Kind::Service, Ask::Stream),
            (Kind::EndpointSlice, Ask::Watch("17".into())),
            (Kind::Node, Ask::Page(Page::First)),
            (Kind::ServiceCidr, Ask::Page(Page::Next("a+b/c==".into()))),
            (Kind::ServiceCidr, Ask::Page(Page::Whole)),
        ]
        .map(|(kind, ask)| Resource::of(kind, "node-1").query(&ask, 400));
        assert_eq!(
            queries,
            [
                "/api/v1/services?labelSelector=%21service.kubernetes.io%2Fservice-proxy-name\
                 &fieldSelector=spec.clusterIP%21%3DNone&watch=true&sendInitialEvents=true\
                 &resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds=400",
                "/apis/discovery.k8s.io/v1/endpointslices?labelSelector=%21service.kubernetes.io%2Fheadless\
                 &watch=true&resourceVersion=17&allowWatchBookmarks=true&timeoutSeconds=400",
                "/api/v1/nodes?fieldSelector=metadata.name%3Dnode-1&limit=500",
                "/apis/networking.k8s.io/v1/servicecidrs?limit=500&continue=a%2Bb%2Fc%3D%3D",
                "/apis/networking.k8s.io/v1/servicecidrs?",
            ]
        );
    }
}

//! What is served, and what a path asks for.

/// A resource that the server has, all of version v1 of their groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// Services, of the core group.
    Services,
    /// Nodes, of the core group.
    Nodes,
    /// Events, of `events.k8s.io`.
    Events,
    /// EndpointSlices, of `discovery.k8s.io`.
    EndpointSlices,
    /// ServiceCIDRs, of `networking.k8s.io`.
    ServiceCidrs,
}

impl Resource {
    /// All of them.
    pub const ALL: [Resource; 5] = [
        Resource::Services,
        Resource::Nodes,
        Resource::Events,
        Resource::EndpointSlices,
        Resource::ServiceCidrs,
    ];

    /// The plural name that paths have.
    pub fn name(self) -> &'static str {
        match self {
            Resource::Services => "services",
            Resource::Nodes => "nodes",
            Resource::Events => "events",
            Resource::EndpointSlices => "endpointslices",
            Resource::ServiceCidrs => "servicecidrs",
        }
    }

    /// The kind that its objects have.
    pub fn kind(self) -> &'static str {
        match self {
            Resource::Services => "Service",
            Resource::Nodes => "Node",
            Resource::Events => "Event",
            Resource::EndpointSlices => "EndpointSlice",
            Resource::ServiceCidrs => "ServiceCIDR",
        }
    }

    /// The API group, empty for the core group.
    pub fn group(self) -> &'static str {
        match self {
            Resource::Services | Resource::Nodes => "",
            Resource::Events => "events.k8s.io",
            Resource::EndpointSlices => "discovery.k8s.io",
            Resource::ServiceCidrs => "networking.k8s.io",
        }
    }

    /// Whether its objects are in namespaces.
    pub fn is_namespaced(self) -> bool {
        !matches!(self, Resource::Nodes | Resource::ServiceCidrs)
    }

    /// The resource whose objects have this kind.
    pub fn of_kind(kind: &str) -> Option<Resource> {
        Resource::ALL.into_iter().find(|one| one.kind() == kind)
    }

    /// Where all its objects are listed: `/api/v1/services`.
    pub fn path(self) -> String {
        match self.group() {
            "" => format!("/api/v1/{}", self.name()),
            group => format!("/apis/{group}/v1/{}", self.name()),
        }
    }

    pub(super) fn api_version(self) -> String {
        match self.group() {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }

    /// What messages call it: `endpointslices.discovery.k8s.io`.
    pub(super) fn qualified(self) -> String {
        match self.group() {
            "" => self.name().to_owned(),
            group => format!("{}.{group}", self.name()),
        }
    }

    /// What an object with nothing in it has beside its metadata, as JSON with a comma in front:
    /// a bookmark is such an object, and not all of it is a list where a list belongs.
    pub(super) fn nothing(self) -> &'static str {
        match self {
            Resource::Services => r#","spec":{},"status":{"loadBalancer":{}}"#,
            Resource::Nodes => concat!(
                r#","spec":{},"status":{"daemonEndpoints":{"kubeletEndpoint":{"Port":0}},"#,
                r#""nodeInfo":{"machineID":"","systemUUID":"","bootID":"","kernelVersion":"","#,
                r#""osImage":"","containerRuntimeVersion":"","kubeletVersion":"","#,
                r#""kubeProxyVersion":"","operatingSystem":"","architecture":""}}"#,
            ),
            Resource::Events => r#","eventTime":null,"regarding":{},"deprecatedSource":{}"#,
            Resource::EndpointSlices => r#","addressType":"","endpoints":null,"ports":null"#,
            Resource::ServiceCidrs => r#","spec":{},"status":{}"#,
        }
    }
}

/// What a path of the API names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: Resource,
    /// `None`: all of them.
    pub(super) namespace: Option<String>,
    /// `None`: all of them.
    pub(super) name: Option<String>,
}

impl Target {
    /// Reads a path. `None` if nothing of this API is there.
    pub(super) fn of_path(path: &str) -> Option<Target> {
        let mut words: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        // The status is a part of the object that has it here.
        if words.last() == Some(&"status") && has_subresource(&words) {
            words.pop();
        }
        let (group, words) = match words[..] {
            ["api", "v1", ref words @ ..] => ("", words),
            ["apis", group, "v1", ref words @ ..] => (group, words),
            _ => return None,
        };
        let (namespace, name, words) = match *words {
            ["namespaces", namespace, name] => (Some(namespace), name, &[][..]),
            ["namespaces", namespace, name, object] => (Some(namespace), name, &[object][..]),
            [name, ref words @ ..] => (None, name, words),
            [] => return None,
        };
        let resource = Resource::ALL
            .into_iter()
            .find(|one| one.name() == name && one.group() == group)?;
        let name = match *words {
            [] => None,
            // An object in a namespace has it in its path.
            [object] if resource.is_namespaced() == namespace.is_some() => Some(object.to_owned()),
            _ => return None,
        };
        if namespace.is_some() && !resource.is_namespaced() {
            return None;
        }
        Some(Target {
            resource,
            namespace: namespace.map(str::to_owned),
            name,
        })
    }
}

/// `api/v1/nodes/n/status`, `api/v1/namespaces/a/services/b/status`, and with a group one more.
fn has_subresource(words: &[&str]) -> bool {
    let prefix = if words[0] == "api" { 2 } else { 3 };
    let namespace = if words.get(prefix) == Some(&"namespaces") {
        2
    } else {
        0
    };
    words.len() == prefix + namespace + 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Option<(Resource, Option<String>, Option<String>)> {
        Target::of_path(path).map(|target| (target.resource, target.namespace, target.name))
    }

    #[test]
    fn paths_are_read() {
        let some = |word: &str| Some(word.to_owned());
        let cases = [
            ("/api/v1/services", (Resource::Services, None, None)),
            (
                "/api/v1/namespaces/a/services",
                (Resource::Services, some("a"), None),
            ),
            (
                "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices/b",
                (Resource::EndpointSlices, some("a"), some("b")),
            ),
            ("/api/v1/nodes/n", (Resource::Nodes, None, some("n"))),
            ("/api/v1/nodes/n/status", (Resource::Nodes, None, some("n"))),
            (
                "/api/v1/namespaces/a/services/status",
                (Resource::Services, some("a"), some("status")),
            ),
            (
                "/apis/networking.k8s.io/v1/servicecidrs",
                (Resource::ServiceCidrs, None, None),
            ),
        ];
        for (path, expected) in cases {
            assert_eq!(target(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn other_paths_are_not_there() {
        for path in [
            "/",
            "/api/v1",
            "/api/v2/services",
            "/apis/discovery.k8s.io/v1/services",
            "/api/v1/services/b",
            "/api/v1/namespaces/a/nodes",
            "/api/v1/namespaces/a/services/b/c",
            "/api/v1/pods",
        ] {
            assert_eq!(target(path), None, "{path}");
        }
    }
}

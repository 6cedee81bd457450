//! What is asked, as far as a fault depends on it, and which requests a fault is for.

use hyper::Method;
use hyper::http::request::Parts;

use super::resource::{Resource, Target};

/// What a client does, in the words of RBAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads one object, or a path that is no resource.
    Get,
    /// Reads all objects, or a page of them.
    List,
    /// Follows changes.
    Watch,
    /// Makes an object.
    Create,
    /// Writes an object.
    Update,
    /// Changes an object.
    Patch,
    /// Deletes an object.
    Delete,
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
        }
    }
}

/// Which requests a fault is for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct On {
    verb: Option<Verb>,
    resource: Option<Resource>,
    path: Option<String>,
}

impl On {
    /// All requests.
    pub fn everything() -> On {
        On::default()
    }

    /// All requests of a kind.
    pub fn verb(verb: Verb) -> On {
        On {
            verb: Some(verb),
            ..On::default()
        }
    }

    /// All requests for a resource.
    pub fn resource(resource: Resource) -> On {
        On {
            resource: Some(resource),
            ..On::default()
        }
    }

    /// Lists of a resource.
    pub fn list(resource: Resource) -> On {
        On::verb(Verb::List).of(resource)
    }

    /// Watches of a resource, those that are open too.
    pub fn watch(resource: Resource) -> On {
        On::verb(Verb::Watch).of(resource)
    }

    /// All requests whose path begins so.
    pub fn path(prefix: &str) -> On {
        On {
            path: Some(prefix.to_owned()),
            ..On::default()
        }
    }

    /// The same, of this resource only.
    #[must_use]
    pub fn of(self, resource: Resource) -> On {
        On {
            resource: Some(resource),
            ..self
        }
    }

    pub(super) fn matches(&self, asked: &Asked) -> bool {
        let resource = asked.target.as_ref().map(|target| target.resource);
        self.verb.is_none_or(|verb| asked.verb == verb)
            && self.resource.is_none_or(|one| resource == Some(one))
            && self
                .path
                .as_ref()
                .is_none_or(|prefix| asked.path.starts_with(prefix))
    }
}

/// A request, as far as a fault depends on it.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) verb: Verb,
    pub(super) path: String,
    /// `None`: no resource.
    pub(super) target: Option<Target>,
}

impl Asked {
    pub(super) fn of(head: &Parts) -> Asked {
        let path = head.uri.path();
        let target = Target::of_path(path);
        let many = target.as_ref().is_some_and(|target| target.name.is_none());
        let verb = match head.method {
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ if many && is_watch(head) => Verb::Watch,
            _ if many => Verb::List,
            _ => Verb::Get,
        };
        Asked {
            verb,
            path: path.to_owned(),
            target,
        }
    }
}

fn is_watch(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes())
        .any(|(key, value)| key == "watch" && (value == "true" || value == "1"))
}

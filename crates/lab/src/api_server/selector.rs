//! Label and field selectors, and whether an object is meant.

use super::object::Object;

/// One requirement on a label or a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Requirement {
    Exists(String),
    Missing(String),
    Equals(String, String),
    /// An object without the label is meant too.
    Differs(String, String),
}

/// All requirements on labels: `k`, `!k`, `k=v`, `k==v`, `k!=v`, with commas between.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Labels(Vec<Requirement>);

/// All requirements on fields: `k=v`, `k==v`, `k!=v`, with commas between.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fields(Vec<Requirement>);

/// Which objects of a resource a client wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection {
    pub(super) namespace: Option<String>,
    pub(super) labels: Labels,
    pub(super) fields: Fields,
}

impl Labels {
    /// Reads a selector. The error is the part that is none.
    pub(super) fn parse(text: &str) -> Result<Labels, String> {
        parts(text)
            .map(label_requirement)
            .collect::<Result<_, _>>()
            .map(Labels)
    }
}

impl Fields {
    /// Reads a selector. The error is the part that is none.
    pub(super) fn parse(text: &str) -> Result<Fields, String> {
        let requirement = |part: &str| comparison(part).ok_or_else(|| part.to_owned());
        parts(text)
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Fields)
    }

    /// The fields it is about.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Requirement::key)
    }
}

impl Selection {
    pub(super) fn holds(&self, object: &Object) -> bool {
        let here = |namespace: &String| object.namespace() == Some(namespace);
        let label = |key: &str| object.label(key);
        // A field that is not set is empty.
        let field = |key: &str| Some(object.field(key).unwrap_or_default());
        self.namespace.as_ref().is_none_or(here)
            && self.labels.0.iter().all(|one| one.holds(label))
            && self.fields.0.iter().all(|one| one.holds(field))
    }

    /// Whether there is more to it than a namespace.
    pub(super) fn selects(&self) -> bool {
        !self.labels.0.is_empty() || !self.fields.0.is_empty()
    }
}

impl Requirement {
    fn key(&self) -> &str {
        match self {
            Requirement::Exists(key)
            | Requirement::Missing(key)
            | Requirement::Equals(key, _)
            | Requirement::Differs(key, _) => key,
        }
    }

    fn holds<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        let value = value(self.key());
        match self {
            Requirement::Exists(_) => value.is_some(),
            Requirement::Missing(_) => value.is_none(),
            Requirement::Equals(_, wanted) => value == Some(wanted),
            Requirement::Differs(_, unwanted) => value != Some(unwanted),
        }
    }
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

fn label_requirement(part: &str) -> Result<Requirement, String> {
    if let Some(requirement) = comparison(part) {
        return Ok(requirement);
    }
    // Sets of values (`k in (a, b)`) are not known here, and must not be taken for a key.
    let is_key = |key: &str| !key.is_empty() && !key.contains([' ', '(', ')', '=', '!']);
    match part.strip_prefix('!').map(str::trim) {
        Some(key) if is_key(key) => Ok(Requirement::Missing(key.to_owned())),
        None if is_key(part) => Ok(Requirement::Exists(part.to_owned())),
        _ => Err(part.to_owned()),
    }
}

fn comparison(part: &str) -> Option<Requirement> {
    let (key, value) = part.split_once('=')?;
    let value = value.strip_prefix('=').unwrap_or(value).trim().to_owned();
    let requirement = match key.strip_suffix('!') {
        Some(key) => Requirement::Differs(key.trim().to_owned(), value),
        None => Requirement::Equals(key.trim().to_owned(), value),
    };
    (!requirement.key().is_empty()).then_some(requirement)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resource::Resource;
    use super::*;

    fn service() -> Object {
        let service = json!({
            "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web", "empty": ""}},
            "spec": {"clusterIP": "None"},
        });
        Object::new(Resource::Services, service, 1)
    }

    fn holds(labels: &str, fields: &str) -> bool {
        let selection = Selection {
            namespace: None,
            labels: Labels::parse(labels).unwrap(),
            fields: Fields::parse(fields).unwrap(),
        };
        selection.holds(&service())
    }

    #[test]
    fn labels_are_selected_by_key_and_value() {
        for selector in [
            "",
            "app",
            "app=web",
            "app==web",
            "app!=shop",
            "other!=x",
            "!other",
            "empty",
            "empty=",
            "app, !other",
            "app = web",
        ] {
            assert!(holds(selector, ""), "{selector}");
        }
        for selector in [
            "!app",
            "!empty",
            "app=shop",
            "app!=web",
            "other=",
            "app,other",
        ] {
            assert!(!holds(selector, ""), "{selector}");
        }
    }

    #[test]
    fn fields_are_selected_by_value() {
        assert!(holds("", "metadata.name=web,spec.clusterIP!=10.0.0.1"));
        assert!(holds("", "spec.type="));
        assert!(!holds("", "spec.clusterIP!=None"));
        assert!(!holds("", "metadata.namespace=other"));
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for selector in ["!", "a b", "app in (web)", "=x"] {
            assert_eq!(Labels::parse(selector), Err(selector.to_owned()));
        }
        assert_eq!(
            Fields::parse("metadata.name"),
            Err("metadata.name".to_owned())
        );
    }
}

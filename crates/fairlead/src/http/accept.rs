//! Which form of a z-page a client accepts, as the API server decides it.

/// What a z-page can be answered in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// For people.
    Text,
    /// An object of `config.k8s.io`.
    Object(Encoding, Version),
}

/// How an object is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// The version of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// The current one.
    V1beta1,
    /// The one before.
    V1alpha1,
}

impl Version {
    /// As the API has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Version::V1beta1 => "v1beta1",
            Version::V1alpha1 => "v1alpha1",
        }
    }
}

/// One part of an `Accept` header.
struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

/// The first form, in the client's order, that a page of this kind has; `None` if it accepts none.
pub(super) fn negotiate(accept: &str, kind: &str) -> Option<Form> {
    if accept.trim().is_empty() {
        return Some(Form::Text);
    }
    let mut clauses: Vec<Clause<'_>> = accept.split(',').map(Clause::read).collect();
    // What is equally liked is taken in the client's order, the more exact before the wildcard.
    clauses.sort_by(|a, b| {
        let exact = |clause: &Clause<'_>| (clause.kind == "*", clause.subtype == "*");
        let liked = b.quality.total_cmp(&a.quality);
        liked.then_with(|| exact(a).cmp(&exact(b)))
    });
    clauses.iter().find_map(|clause| clause.form(kind))
}

impl<'a> Clause<'a> {
    fn read(text: &'a str) -> Clause<'a> {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let (kind, subtype) = media.split_once('/').unwrap_or((media, "*"));
        let mut clause = Clause {
            kind,
            subtype,
            quality: 1.0,
            parameters: Vec::new(),
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => clause.quality = value.trim().parse().unwrap_or(1.0),
                name => clause.parameters.push((name, value.trim())),
            }
        }
        clause
    }

    fn form(&self, kind: &str) -> Option<Form> {
        let encodings = [("json", Encoding::Json), ("yaml", Encoding::Yaml)];
        let encoding = encodings
            .into_iter()
            .find(|(subtype, _)| self.takes("application", subtype));
        let object = || Some(Form::Object(encoding?.1, self.object(kind)?));
        object().or_else(|| (self.takes("text", "plain") && self.wants_any()).then_some(Form::Text))
    }

    fn takes(&self, kind: &str, subtype: &str) -> bool {
        match (self.kind, self.subtype) {
            ("*", "*") => true,
            (ours, "*") => ours == kind,
            (ours, exact) => ours == kind && exact == subtype,
        }
    }

    /// The version asked for, if it is an object of this kind.
    fn object(&self, kind: &str) -> Option<Version> {
        let right = self.value("g") == Some("config.k8s.io") && self.value("as") == Some(kind);
        match self.value("v").filter(|_| right)? {
            "v1beta1" => Some(Version::V1beta1),
            "v1alpha1" => Some(Version::V1alpha1),
            _ => None,
        }
    }

    /// Whether no particular object is asked for.
    fn wants_any(&self) -> bool {
        ["g", "v", "as"]
            .iter()
            .all(|name| self.value(name).is_none())
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let found = self.parameters.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "application/json;v=v1beta1;g=config.k8s.io;as=Statusz";
    const OLD: &str = "application/json;g=config.k8s.io;v=v1alpha1;as=Statusz";

    fn form(accept: &str) -> Option<Form> {
        negotiate(accept, "Statusz")
    }

    #[test]
    fn text_unless_an_object_is_asked_for() {
        for accept in [
            "",
            " ",
            "text/plain",
            "text/plain; charset=utf-8",
            "*/*",
            "text/*",
            "*",
        ] {
            assert_eq!(form(accept), Some(Form::Text), "{accept:?}");
        }
    }

    #[test]
    fn an_object_has_to_be_named_in_full() {
        assert_eq!(
            form(JSON),
            Some(Form::Object(Encoding::Json, Version::V1beta1))
        );
        assert_eq!(
            form(OLD),
            Some(Form::Object(Encoding::Json, Version::V1alpha1))
        );
        let yaml = JSON.replace("json", "yaml");
        assert_eq!(
            form(&yaml),
            Some(Form::Object(Encoding::Yaml, Version::V1beta1))
        );
        for accept in [
            "application/json",
            "application/*",
            "application/xml",
            "application/json;v=v1beta1;g=config.k8s.io",
            "application/json;v=v2;g=config.k8s.io;as=Statusz",
            "application/json;v=v1beta1;g=apps;as=Statusz",
            "application/json;v=v1beta1;g=config.k8s.io;as=Flagz",
            "text/plain;v=v1beta1;g=config.k8s.io;as=Statusz",
            "application/cbor;v=v1beta1;g=config.k8s.io;as=Statusz",
        ] {
            assert_eq!(form(accept), None, "{accept:?}");
        }
    }

    #[test]
    fn the_clients_order_decides() {
        let old = Some(Form::Object(Encoding::Json, Version::V1alpha1));
        let new = Some(Form::Object(Encoding::Json, Version::V1beta1));
        assert_eq!(form(&format!("{OLD},{JSON}")), old);
        assert_eq!(form(&format!("{JSON}, {OLD}")), new);
        assert_eq!(form(&format!("{OLD};q=0.5,{JSON}")), new);
        assert_eq!(form(&format!("*/*,{JSON}")), new);
        assert_eq!(form(&format!("*/*,{JSON};q=0.1")), Some(Form::Text));
        let bad = JSON.replace("v1beta1", "foo");
        assert_eq!(form(&format!("{bad},*/*")), Some(Form::Text));
    }
}

//! Writes a configuration as kube-proxy's `--write-config-to` does: fields in the order of the
//! alphabet, quotes where text would be read as something else. The serializers there are quote
//! in other ways.

use std::fmt::Write;

use serde_json::Value;

use super::v1alpha1::KubeProxyConfiguration;

/// Words that YAML 1.1 takes for something else than text.
const WORDS: [&str; 11] = [
    "null", "~", "true", "false", "yes", "no", "on", "off", "y", "n", "<<",
];

/// The configuration as a YAML document.
pub(crate) fn yaml(config: &KubeProxyConfiguration) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    fields(&mut text, &serde_json::to_value(config)?, 0);
    Ok(text)
}

fn fields(text: &mut String, value: &Value, indent: usize) {
    let Value::Object(map) = value else { return };
    for (name, value) in map {
        let _ = write!(text, "{:indent$}{}:", "", scalar(name));
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                fields(text, value, indent + 2);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                items.iter().for_each(|item| list_item(text, item, indent));
            }
            other => {
                let _ = writeln!(text, " {}", plain(other));
            }
        }
    }
}

fn list_item(text: &mut String, item: &Value, indent: usize) {
    match item {
        Value::Object(map) if !map.is_empty() => {
            let mut inner = String::new();
            fields(&mut inner, item, indent + 2);
            let _ = write!(text, "{:indent$}- {}", "", inner.trim_start());
        }
        other => {
            let _ = writeln!(text, "{:indent$}- {}", "", plain(other));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// Text in as few quotes as it can do with.
fn scalar(text: &str) -> String {
    let word = text.to_lowercase();
    let like_a_number = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && (text.parse::<f64>().is_ok() || text.starts_with("0x") || text.starts_with("0o"));
    if text.is_empty()
        || like_a_number
        || WORDS.contains(&word.as_str())
        || text.contains(char::is_control)
    {
        // JSON's strings are YAML's in double quotes.
        return Value::from(text).to_string();
    }
    let special = text.starts_with(|c: char| "-?:,[]{}#&*!|>'\"%@`=".contains(c) || c == ' ')
        || text.ends_with([':', ' '])
        || text.contains(": ")
        || text.contains(" #");
    if special {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_it_would_be_something_else() {
        for (text, written) in [
            ("0.0.0.0", "0.0.0.0"),
            ("0.0.0.0:10256", "0.0.0.0:10256"),
            ("[::]:10256", "'[::]:10256'"),
            ("::", "'::'"),
            ("::1", "'::1'"),
            ("fd00::/48", "fd00::/48"),
            ("", "\"\""),
            ("0", "\"0\""),
            ("1.5", "\"1.5\""),
            ("true", "\"true\""),
            ("Off", "\"Off\""),
            ("30s", "30s"),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("'x'", "'''x'''"),
            ("a\nb", "\"a\\nb\""),
            (
                "application/vnd.kubernetes.protobuf",
                "application/vnd.kubernetes.protobuf",
            ),
        ] {
            assert_eq!(scalar(text), written, "{text}");
        }
    }
}

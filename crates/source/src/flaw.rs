//! What is wrong at a line of a file, in words.

use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_path_to_error::Path;

/// Something wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// The line in the file, from 1.
    pub(crate) line: usize,
    /// The field's path, if one is to blame, and what is wrong.
    pub(crate) message: String,
}

impl Flaw {
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Flaw {
        Flaw {
            line,
            message: message.into(),
        }
    }

    /// An error of the YAML parser in a document that starts at `line` of the file.
    pub(crate) fn yaml(error: &yaml_serde::Error, document: &str, line: usize) -> Flaw {
        let inside = error.location().map_or(0, |location| location.line() - 1);
        let message = in_plain_words(&error.to_string());
        match yaml_serde::from_str::<IgnoredAny>(document) {
            Ok(_) => Flaw::new(line + inside, message),
            Err(_) => Flaw::new(line + inside, format!("not valid YAML: {message}")),
        }
    }

    /// The same for the JSON parser.
    pub(crate) fn json(error: &serde_json::Error, line: usize) -> Flaw {
        let message = in_plain_words(&error.to_string());
        let line = line + error.line().saturating_sub(1);
        match error.classify() {
            Category::Data => Flaw::new(line, message),
            _ => Flaw::new(line, format!("not valid JSON: {message}")),
        }
    }

    /// The same with the path of the field that was being read.
    pub(crate) fn json_at(path: &Path, error: &serde_json::Error, line: usize) -> Flaw {
        let mut flaw = Flaw::json(error, line);
        let path = path.to_string();
        if path != "." {
            flaw.message = format!("{path}: {}", flaw.message);
        }
        flaw
    }
}

/// Leaves out where in the parser's input the error is, which is not where in the file, and calls
/// `null` by its name.
fn in_plain_words(message: &str) -> String {
    let mut parts = message.split(" at line ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        match rest.strip_prefix(" column ") {
            Some(rest) => text.push_str(rest.trim_start_matches(|c: char| c.is_ascii_digit())),
            None => {
                text.push_str(" at line ");
                text.push_str(part);
            }
        }
    }
    text.replace("unit value", "null")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_the_parsers_input_are_left_out() {
        for (message, expected) in [
            (
                "missing field `port` at line 3 column 7",
                "missing field `port`",
            ),
            (
                "did not find key at line 5 column 1, while parsing a mapping at line 3 column 3",
                "did not find key, while parsing a mapping",
            ),
            ("look at line of text", "look at line of text"),
        ] {
            assert_eq!(in_plain_words(message), expected);
        }
    }
}

//! What is wrong at a line of a file, in words.

use serde_path_to_error::Error as PathError;

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
    pub(crate) fn yaml(error: &yaml_serde::Error, line: usize) -> Flaw {
        let inside = error.location().map_or(0, |location| location.line() - 1);
        Flaw::new(line + inside, without_places(&error.to_string()))
    }

    /// The same for the JSON parser.
    pub(crate) fn json(error: &serde_json::Error, line: usize) -> Flaw {
        Flaw::new(
            line + error.line().saturating_sub(1),
            without_places(&error.to_string()),
        )
    }

    /// The same with the path of the field that was being read.
    pub(crate) fn json_at(error: &PathError<serde_json::Error>, line: usize) -> Flaw {
        let mut flaw = Flaw::json(error.inner(), line);
        let path = error.path().to_string();
        if path != "." {
            flaw.message = format!("{path}: {}", flaw.message);
        }
        flaw
    }
}

/// Parsers say where in their input an error is, which is not where in the file.
fn without_places(message: &str) -> String {
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
    text
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
            assert_eq!(without_places(message), expected);
        }
    }
}

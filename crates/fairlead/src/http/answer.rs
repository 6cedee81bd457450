//! Answers as Go's servers give them.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

/// JSON.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Text, said to be so.
pub(super) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// An answer that a browser is not to take for anything else than it says it is.
pub(super) fn answer(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// There is no such page.
pub(super) async fn not_found() -> Response {
    answer(StatusCode::NOT_FOUND, TEXT, "404 page not found\n")
}

/// Text in quotes, as Go's `%q` has it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\'' => quoted.push('\''),
            other => quoted.push_str(&escaped(other)),
        }
    }
    quoted.push('"');
    quoted
}

/// Rust and Go agree on what can be printed, and not on how to write what cannot.
fn escaped(character: char) -> String {
    let escaped = character.escape_debug();
    let code = u32::from(character);
    match (escaped.to_string(), code) {
        (text, _) if !text.starts_with("\\u") && code != 0 => text,
        (_, ..0x80) => format!("\\x{code:02x}"),
        (_, 0x80..=0xffff) => format!("\\u{code:04x}"),
        (_, _) => format!("\\U{code:08x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        assert_eq!(quoted("shop"), r#""shop""#);
        assert_eq!(quoted("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(quoted("it's é 中 😀"), r#""it's é 中 😀""#);
        assert_eq!(quoted("\u{7}\u{8}\t\n\u{b}\u{c}\r"), r#""\a\b\t\n\v\f\r""#);
        assert_eq!(quoted("\0\u{1b}\u{7f}"), r#""\x00\x1b\x7f""#);
        assert_eq!(
            quoted("\u{85}\u{2028}\u{e0001}"),
            "\"\\u0085\\u2028\\U000e0001\""
        );
    }
}

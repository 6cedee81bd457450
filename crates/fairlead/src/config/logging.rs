//! Whether what is said about the log makes sense, by the rules of all of Kubernetes' components.

use super::gates::Gates;
use super::v1alpha1::{Logging, OutputRouting};
use super::validate::Findings;

/// Looks at the section about the log.
pub(super) fn validate(logging: &Logging, gates: &Gates, findings: &mut Findings<'_>) {
    if !matches!(logging.format.as_str(), "text" | "json") {
        let message = format!("{:?} is no log format; write text or json", logging.format);
        findings.refuse("logging.format", message);
    }
    if logging.verbosity > i32::MAX.unsigned_abs() {
        let message = format!("{} must be <= {}", logging.verbosity, i32::MAX);
        findings.refuse("logging.verbosity", message);
    }
    if !logging.vmodule.is_empty() && logging.format != "text" {
        findings.refuse("logging.vmodule", "is only for the log format text");
    }
    for (index, item) in logging.vmodule.iter().enumerate() {
        if item.file_pattern.is_empty() || item.file_pattern.contains(['=', ',']) {
            let field = format!("logging.vmodule[{index}].filePattern");
            let message = format!(
                "{:?} must not be empty, nor contain = or ,",
                item.file_pattern
            );
            findings.refuse(&field, message);
        }
    }
    for (format, routing) in [
        ("text", &logging.options.text),
        ("json", &logging.options.json),
    ] {
        routing_options(format, routing, gates, findings);
    }
}

fn routing_options(
    format: &str,
    routing: &OutputRouting,
    gates: &Gates,
    findings: &mut Findings<'_>,
) {
    let size = format!("logging.options.{format}.infoBufferSize");
    if !is_quantity(&routing.info_buffer_size) {
        let message = format!("{:?} is not a size like 512Ki", routing.info_buffer_size);
        return findings.refuse(&size, message);
    }
    let alpha = [
        (
            format!("logging.options.{format}.splitStream"),
            routing.split_stream,
        ),
        (size, routing.info_buffer_size != "0"),
    ];
    for (field, used) in alpha {
        if used && !gates.log_options() {
            findings.refuse(&field, "needs the feature gate LoggingAlphaOptions=true");
        }
    }
}

/// Whether it is a quantity of the Kubernetes API: a number, and a suffix or an exponent.
fn is_quantity(text: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = unsigned
        .find(|c: char| c != '.' && !c.is_ascii_digit())
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let has_digits = number.bytes().any(|byte| byte.is_ascii_digit());
    let exponent = suffix.strip_prefix(['e', 'E']).map(|exponent| {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    });
    let known = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    has_digits
        && number.matches('.').count() <= 1
        && (known.contains(&suffix) || exponent == Some(true))
}

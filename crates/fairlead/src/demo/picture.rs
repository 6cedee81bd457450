//! The demo's pictures: values in, text out. Whoever prints it takes the colours out where they do
//! not belong.

use std::fmt::Write;
use std::net::SocketAddr;

use anstyle::{AnsiColor, Style};

use fairlead_lab::Series;

use super::path::Step;

/// Headings, and the names of chains.
pub(super) const BOLD: Style = Style::new().bold();
/// What is said beside the point.
pub(super) const DIM: Style = Style::new().dimmed();
/// What is in the kernel's maps.
pub(super) const ELEMENT: Style = AnsiColor::Cyan.on_default();
/// What goes well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What goes away, or wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default();

/// The width that every terminal has.
const WIDTH: usize = 80;
/// The longest bar: all connections.
const BAR: usize = 30;
/// A space that is part of a word, until it is shown.
pub(super) const NO_BREAK: &str = "\u{a0}";
/// Parts of a block, in eighths.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/// A pod and how many connections it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    /// The pod.
    pub(super) endpoint: SocketAddr,
    /// Where it is.
    pub(super) place: String,
    /// The connections that it answered.
    pub(super) count: usize,
}

/// Some text in a style.
pub(super) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// A heading, with an empty line before it.
pub(super) fn heading(text: &str) -> String {
    format!("\n{}\n", styled(BOLD, text))
}

/// The chains that a connection comes through, one below the other.
pub(super) fn path(steps: &[Step]) -> String {
    let mut picture = String::new();
    for step in steps {
        line(&mut picture, "   │");
        line(
            &mut picture,
            &format!("   ▼ {}", styled(BOLD, &format!("chain {}", step.chain))),
        );
        for traced in &step.rules {
            wrapped(
                &mut picture,
                "   │   ",
                &kept_together(&traced.rule),
                Style::new(),
            );
            for element in &traced.elements {
                wrapped(&mut picture, "   │     ", element, ELEMENT);
            }
        }
    }
    if !steps.is_empty() {
        line(&mut picture, "   │");
        line(&mut picture, "   ▼");
    }
    picture
}

/// The share of each pod as a bar, of all connections that were answered.
pub(super) fn shares(shares: &[Share]) -> String {
    let all: usize = shares.iter().map(|share| share.count).sum();
    let width = |of: fn(&Share) -> String| {
        let widths = shares.iter().map(|share| of(share).chars().count());
        widths.max().unwrap_or(0)
    };
    let endpoints = width(|share| share.endpoint.to_string());
    let places = width(|share| share.place.clone());
    // Around the bar: the margin, the spaces between, a count and a percentage.
    let bar = BAR.min(WIDTH.saturating_sub(3 + endpoints + 2 + places + 2 + 6 + 9));
    let mut picture = String::new();
    for share in shares {
        let endpoint = share.endpoint.to_string();
        let place = &share.place;
        let drawn = styled(GOOD, &self::bar(share.count, all, bar));
        let percent = 100.0 * ratio(share.count, all);
        let count = share.count;
        let text = format!(
            "   {endpoint:<endpoints$}  {place:<places$}  {drawn}{count:>6}{percent:>7.1} %"
        );
        line(&mut picture, &text);
    }
    picture
}

/// Whose address the pods saw. Empty when none answered.
pub(super) fn source(series: &Series) -> String {
    match (series.kept, series.masqueraded) {
        (0, 0) => String::new(),
        (_, 0) => note("the pods see the client's own address"),
        (0, _) => note("the pods see the node's address: masqueraded, so that answers come back"),
        (kept, masqueraded) => note(&format!(
            "the pods see the client's own address {kept} times, the node's {masqueraded} times"
        )),
    }
}

/// What went wrong with connections, if anything did.
pub(super) fn failures(series: &Series) -> String {
    let mut picture = String::new();
    for (failure, count) in &series.errors {
        line(
            &mut picture,
            &format!("   {}", styled(BAD, &format!("{count} {failure}"))),
        );
    }
    picture
}

/// A remark beside the point.
pub(super) fn note(text: &str) -> String {
    remark(DIM, text)
}

/// A remark.
pub(super) fn remark(style: Style, text: &str) -> String {
    let mut picture = String::new();
    wrapped(&mut picture, "   ", text, style);
    picture
}

fn ratio(part: usize, all: usize) -> f64 {
    // Far fewer than 2^52 connections are made.
    #[allow(clippy::cast_precision_loss)]
    match all {
        0 => 0.0,
        all => part as f64 / all as f64,
    }
}

/// A bar of full blocks and one part of a block, and spaces up to its longest. However little it
/// is, it is seen.
fn bar(part: usize, all: usize, width: usize) -> String {
    let eighths = (part * width * 8).checked_div(all).unwrap_or(0);
    let eighths = eighths.max(part.min(1));
    let (full, rest) = (eighths / 8, EIGHTHS[eighths % 8]);
    let drawn = format!("{}{rest}", "█".repeat(full));
    format!("{drawn:<width$}")
}

/// A rule whose fields do not break between their words.
fn kept_together(rule: &str) -> String {
    ["ip daddr", "ip saddr", "meta l4proto", "th dport"]
        .into_iter()
        .fold(rule.to_owned(), |rule, field| {
            rule.replace(field, &field.replace(' ', NO_BREAK))
        })
}

/// Breaks text between words, so that it fits; later lines are indented by two more.
fn wrapped(picture: &mut String, margin: &str, text: &str, style: Style) {
    let mut current = String::new();
    let mut indent = "";
    for word in text.split(' ') {
        let length = [margin, indent, &current, " ", word]
            .iter()
            .map(|part| part.chars().count())
            .sum::<usize>();
        if length > WIDTH && !current.is_empty() {
            line(
                picture,
                &format!("{margin}{indent}{}", styled(style, &current)),
            );
            current.clear();
            indent = "  ";
        }
        if !current.is_empty() {
            current.push(' ');
        }
        current.push_str(word);
    }
    line(
        picture,
        &format!("{margin}{indent}{}", styled(style, &current)),
    );
}

fn line(picture: &mut String, text: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(picture, "{}", text.trim_end().replace(NO_BREAK, " "));
}

//! Tables to read and bars to look at.

use std::time::Duration;

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};

/// How long the longest bar is, in characters.
const BAR: u128 = 50;

/// Prints a table: its title, its columns and its rows. All but the first column are numbers.
pub(crate) fn table(title: &str, columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(columns);
    for row in rows {
        table.add_row(row);
    }
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_padding((if index == 0 { 2 } else { 1 }, 1));
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(8)));
    }
    println!("\n{title}\n{table}");
}

/// Prints one bar for each row, of parts that follow each other.
pub(crate) fn bars(parts: &[(&str, char)], rows: &[(String, Vec<Duration>)]) {
    let legend: Vec<String> = parts
        .iter()
        .map(|(name, fill)| format!("{fill} {name}"))
        .collect();
    println!("\n  {}", legend.join("   "));
    let longest = rows
        .iter()
        .map(|(_, row)| row.iter().sum::<Duration>().as_nanos())
        .fold(1, u128::max);
    for (label, row) in rows {
        print!("  {label:>12} ");
        let mut drawn = 0;
        let mut sum = Duration::ZERO;
        for (duration, (_, fill)) in row.iter().zip(parts) {
            // Ends are cut to whole characters, not lengths, so that the parts add up.
            sum += *duration;
            let end = (sum.as_nanos() * BAR / longest) as usize;
            print!("{}", fill.to_string().repeat(end - drawn));
            drawn = end;
        }
        println!(" {}", time(sum));
    }
}

/// A duration, in the unit that fits it.
pub(crate) fn time(duration: Duration) -> String {
    match duration.as_secs_f64() {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 0.1 => format!("{:.0} ms", s * 1e3),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}

/// A factor.
pub(crate) fn factor(whole: Duration, half: Duration) -> String {
    format!("x {:.2}", whole.as_secs_f64() / half.as_secs_f64())
}

/// An amount of memory given in KiB.
pub(crate) fn mebibytes(kibibytes: usize) -> String {
    let tenths = kibibytes * 10 / 1024;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

/// A number in groups of three digits.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|group| std::str::from_utf8(group).ok())
        .collect();
    groups.join(",")
}

/// Prints one bar for each number, none of them negative, as long as it is large.
#[allow(clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn levels(rows: &[(String, f64)], say: fn(f64) -> String) {
    let largest = rows
        .iter()
        .map(|(_, value)| *value)
        .fold(f64::MIN_POSITIVE, f64::max);
    println!();
    for (label, value) in rows {
        let length = (value / largest * BAR as f64).round() as usize;
        println!("  {label:>16} {} {}", "█".repeat(length), say(*value));
    }
}

//! How a field is called where it was written: by its flag, or by file, line and path.

use std::collections::BTreeMap;

use crate::cli::flags::{Flag, Given, Standing, all};

/// Where a configuration comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    /// The flags.
    pub(super) given: &'a Given,
    /// The line of each field of the file, if there is one.
    pub(super) lines: Option<&'a BTreeMap<String, u64>>,
}

impl Origin<'_> {
    /// What to call a field in a message. A flag that stands for no field is called by its name.
    pub(super) fn name(&self, field: &str) -> String {
        if field.starts_with("--") {
            return field.to_owned();
        }
        let plain = field.split('[').next().unwrap_or(field);
        let stands = |flag: &&'static Flag| flag.fields.contains(&plain);
        let given = self.given.flags();
        if let Some(flag) = given.iter().find(|flag| stands(flag) && self.counts(flag)) {
            return flag.to_string();
        }
        match self.lines {
            Some(lines) => self.place(lines, field, plain),
            None => all()
                .find(stands)
                .map_or_else(|| field.to_owned(), ToString::to_string),
        }
    }

    /// A field with its file and line.
    fn place(&self, lines: &BTreeMap<String, u64>, field: &str, plain: &str) -> String {
        let file = &self.given.flags.other.config;
        // Without a mode the section of iptables counts too.
        let other = plain.replace("nftables.", "iptables.");
        match (lines.get(plain), lines.get(&other)) {
            (Some(line), _) => format!("{file}:{line}: {field}"),
            (None, Some(line)) => format!("{file}:{line}: {other}"),
            (None, None) => format!("{file}: {field}"),
        }
    }

    /// Whether the value of a flag counts.
    pub(super) fn counts(&self, flag: &Flag) -> bool {
        self.lines.is_none() || flag.standing == Standing::Always || is_of_the_log(flag)
    }
}

/// Flags about the log count with a file, even those that have no effect.
pub(super) fn is_of_the_log(flag: &Flag) -> bool {
    flag.fields
        .iter()
        .any(|field| field.starts_with("logging."))
}

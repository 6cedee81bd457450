//! A command line by the rules of pflag: `--flag value`, `--flag=value`, switches with `=` or
//! nothing, `-v2`, underscores for dashes. Arguments that belong to no flag are errors.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::slice::Iter;

use super::slot::Slot;
use super::table::{self, Command, Flag};
use super::{Flags, Invocation};
use crate::config::near::did_you_mean;

/// What a command line asks for.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The list of flags.
    Help(String),
    /// The version, in one line.
    Version,
    /// The version in all its parts.
    RawVersion,
    /// The work itself.
    Work(Box<Given>),
}

/// The flags that were given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// All values, of the flags that were given and of all others.
    pub(crate) flags: Flags,
    /// Those that were given, in their order, with their text.
    set: Vec<(&'static Flag, String)>,
    /// What is wrong with the command line. Flags with a wrong value count as not given.
    pub(crate) errors: Vec<String>,
    /// How the program was started.
    pub(crate) invocation: Invocation,
}

impl Given {
    /// Whether a flag was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.set.iter().any(|(flag, _)| flag.name == name)
    }

    /// The text that a flag was last given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let mut of_that_name = self.set.iter().filter(|(flag, _)| flag.name == name);
        let (_, text) = of_that_name.next_back()?;
        Some(text)
    }

    /// The flags that were given, each once, by name.
    pub(crate) fn flags(&self) -> Vec<&'static Flag> {
        let mut flags: Vec<_> = self.set.iter().map(|(flag, _)| *flag).collect();
        flags.sort_by_key(|flag| flag.name);
        flags.dedup_by_key(|flag| flag.name);
        flags
    }

    /// Sets the flags that were given and are wanted once more, on other values.
    pub(crate) fn set_again(&self, flags: &mut Flags, wanted: impl Fn(&Flag) -> bool) {
        let mut seen = Vec::new();
        for (flag, text) in self.set.iter().filter(|(flag, _)| wanted(flag)) {
            // What could be set once can be set again.
            let _ = flag.slot.set(flags, text, seen.contains(&flag.name));
            seen.push(flag.name);
        }
    }

    /// Every flag with its value, by name.
    pub(crate) fn values(&self) -> BTreeMap<String, String> {
        let mut flags = self.flags.clone();
        let value = |flag: &Flag| {
            let told = match flag.slot {
                Slot::Nowhere(..) => self.text(flag.name).map(str::to_owned),
                _ => None,
            };
            let value = told.unwrap_or_else(|| flag.slot.show(&mut flags));
            (flag.name.to_owned(), value)
        };
        table::of(Command::Run).map(value).collect()
    }
}

/// Reads the arguments of a command.
pub(crate) fn parse(command: Command, invocation: Invocation, arguments: &[OsString]) -> Parsed {
    let texts: Vec<String> = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let mut reader = Reader {
        command,
        rest: texts.iter(),
        given: Given {
            flags: Flags::default(),
            set: Vec::new(),
            errors: Vec::new(),
            invocation,
        },
        asked: None,
    };
    reader.read();
    reader
        .asked
        .unwrap_or_else(|| Parsed::Work(Box::new(reader.given)))
}

struct Reader<'a> {
    command: Command,
    rest: Iter<'a, String>,
    given: Given,
    /// What is asked for instead of the work.
    asked: Option<Parsed>,
}

impl Reader<'_> {
    fn read(&mut self) {
        while let Some(argument) = self.rest.next() {
            if argument == "--" {
                let rest: Vec<_> = self.rest.by_ref().collect();
                rest.into_iter().for_each(|argument| self.stray(argument));
            } else if let Some(flag) = argument.strip_prefix("--") {
                self.long(flag);
            } else if argument.len() > 1 && argument.starts_with('-') {
                self.short(&argument[1..], argument);
            } else {
                self.stray(argument);
            }
        }
    }

    fn stray(&mut self, argument: &str) {
        self.given
            .errors
            .push(format!("{argument:?} belongs to no flag; give flags alone"));
    }

    fn long(&mut self, text: &str) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (text, None),
        };
        let name = name.replace('_', "-");
        match name.as_str() {
            "help" => self.asked = Some(Parsed::Help(super::help::help(self.command))),
            "version" => self.version(value),
            _ => match table::of(self.command).find(|flag| flag.is_called(&name)) {
                Some(flag) => self.flag(flag, value),
                None => self.unknown(&name),
            },
        }
    }

    /// `-v2`, `-v=2`, `-v 2`, `-h`.
    fn short(&mut self, text: &str, argument: &str) {
        if let Some(rest) = text.strip_prefix('v')
            && let Some(flag) = table::find("v")
        {
            let value = rest.strip_prefix('=').unwrap_or(rest);
            self.flag(flag, Some(value).filter(|value| !value.is_empty()));
        } else if text == "h" {
            self.asked = Some(Parsed::Help(super::help::help(self.command)));
        } else {
            self.given.errors.push(format!(
                "{argument}: unknown flag; long flags begin with two dashes"
            ));
        }
    }

    fn unknown(&mut self, name: &str) {
        let names = table::of(self.command).map(|flag| flag.name);
        let hint = did_you_mean(name, names, "--");
        self.given
            .errors
            .push(format!("--{name}: unknown flag{hint}"));
    }

    fn version(&mut self, value: Option<&str>) {
        match value.unwrap_or("true") {
            "true" => self.asked = Some(Parsed::Version),
            "raw" => self.asked = Some(Parsed::RawVersion),
            "false" => {}
            other => self.given.errors.push(format!(
                "--version: {other:?} is none of true, false and raw"
            )),
        }
    }

    fn flag(&mut self, flag: &'static Flag, value: Option<&str>) {
        let value = match value {
            Some(value) => value,
            None if flag.slot.is_switch() => "true",
            None => match self.rest.next() {
                Some(value) => value,
                None => return self.given.errors.push(format!("{flag}: needs a value")),
            },
        };
        let again = self.given.has(flag.name);
        match flag.slot.set(&mut self.given.flags, value, again) {
            Ok(()) => self.given.set.push((flag, value.to_owned())),
            Err(error) => self.given.errors.push(format!("{flag}: {error}")),
        }
    }
}

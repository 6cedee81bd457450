//! What a flag's value is, where it goes, and how it is written and read.

use std::collections::BTreeMap;

use fairlead_core::address::parse_ip;

use super::Flags;
use crate::config::address::is_address;
use crate::config::duration::GoDuration;
use crate::config::v1alpha1::VmoduleItem;

/// Leads to one value among all.
type To<T> = fn(&mut Flags) -> &mut T;

/// The type of a flag, with the way to its value.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    Bool(To<bool>),
    Int(To<i32>),
    Count(To<u32>),
    Float(To<f32>),
    Text(To<String>),
    /// An IP address. An empty one changes nothing.
    Ip(To<String>),
    /// An IP address with a port or without. An empty one changes nothing.
    Address(To<String>),
    Duration(To<GoDuration>),
    /// Separated by commas; given again, there are more of them.
    List(To<Option<Vec<String>>>),
    /// `Name=true,Other=false`.
    Gates(To<BTreeMap<String, bool>>),
    /// `file=2,other*=3`.
    Vmodule(To<Vec<VmoduleItem>>),
    /// A value that goes nowhere, with its type and what it is without the flag.
    Nowhere(&'static str, &'static str),
}

impl Slot {
    /// The name of the type in `--help`, as kube-proxy's has it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Slot::Bool(_) => "",
            Slot::Int(_) => "int32",
            Slot::Count(_) => "Level",
            Slot::Float(_) => "float",
            Slot::Text(_) => "string",
            Slot::Ip(_) => "ip",
            Slot::Address(_) => "ipport",
            Slot::Duration(_) => "duration",
            Slot::List(_) => "strings",
            Slot::Gates(_) => "mapStringBool",
            Slot::Vmodule(_) => "pattern=N,...",
            Slot::Nowhere(kind, _) => kind,
        }
    }

    /// Whether the flag alone says `true`, and a value has to follow a `=`.
    pub(crate) fn is_switch(&self) -> bool {
        self.type_name().is_empty()
    }

    /// Sets the value. `again` is whether the flag was there before.
    pub(crate) fn set(&self, flags: &mut Flags, text: &str, again: bool) -> Result<(), String> {
        match self {
            Slot::Bool(to) => *to(flags) = boolean(text)?,
            Slot::Int(to) => *to(flags) = integer(text)?,
            Slot::Count(to) => {
                *to(flags) = u32::try_from(integer(text)?)
                    .map_err(|_| format!("{text:?} is less than 0"))?;
            }
            Slot::Float(to) => *to(flags) = float(text)?,
            Slot::Text(to) => text.clone_into(to(flags)),
            Slot::Ip(_) | Slot::Address(_) if text.is_empty() => {}
            Slot::Ip(to) => {
                parse_ip(text).map_err(|error| error.to_string())?;
                text.clone_into(to(flags));
            }
            Slot::Address(to) if is_address(text) => text.clone_into(to(flags)),
            Slot::Address(_) => {
                return Err(format!(
                    "{text:?} is neither an IP address nor one with a port"
                ));
            }
            Slot::Duration(to) => *to(flags) = text.parse()?,
            Slot::List(to) => add(to(flags).get_or_insert_default(), list(text), again),
            Slot::Gates(to) => {
                let gates = gates(text)?;
                let to = to(flags);
                if !again {
                    to.clear();
                }
                to.extend(gates);
            }
            Slot::Vmodule(to) => add(to(flags), vmodule(text)?, again),
            Slot::Nowhere("", _) => drop(boolean(text)?),
            Slot::Nowhere(..) => {}
        }
        Ok(())
    }

    /// The value as text that sets it.
    pub(crate) fn show(&self, flags: &mut Flags) -> String {
        match self {
            Slot::Bool(to) => to(flags).to_string(),
            Slot::Int(to) => to(flags).to_string(),
            Slot::Count(to) => to(flags).to_string(),
            Slot::Float(to) => to(flags).to_string(),
            Slot::Text(to) | Slot::Ip(to) | Slot::Address(to) => to(flags).clone(),
            Slot::Duration(to) => to(flags).to_string(),
            Slot::List(to) => format!("[{}]", to(flags).as_deref().unwrap_or_default().join(",")),
            Slot::Gates(to) => {
                let gates = to(flags).iter().map(|(name, on)| format!("{name}={on}"));
                gates.collect::<Vec<_>>().join(",")
            }
            Slot::Vmodule(to) => {
                let items = to(flags)
                    .iter()
                    .map(|item| format!("{}={}", item.file_pattern, item.verbosity));
                items.collect::<Vec<_>>().join(",")
            }
            Slot::Nowhere(_, without) => (*without).to_owned(),
        }
    }
}

/// The first time takes the place of what is there without the flag.
fn add<T>(to: &mut Vec<T>, values: Vec<T>, again: bool) {
    if !again {
        to.clear();
    }
    to.extend(values);
}

/// The words of Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

/// A number as Go takes it: also 0x1f, 0o17, 017 and 0b1.
fn integer(text: &str) -> Result<i32, String> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (digits, radix) = match lower.as_bytes() {
        [b'0', b'x', ..] => (&lower[2..], 16),
        [b'0', b'o', ..] => (&lower[2..], 8),
        [b'0', b'b', ..] => (&lower[2..], 2),
        [b'0', _, ..] => (&lower[1..], 8),
        _ => (lower.as_str(), 10),
    };
    // A sign may stand in front of all alone.
    let found = match digits.starts_with(['-', '+']) {
        true => None,
        false => i64::from_str_radix(digits, radix).ok(),
    };
    let signed = found.map(|found| if text.starts_with('-') { -found } else { found });
    signed
        .and_then(|number| i32::try_from(number).ok())
        .ok_or_else(|| format!("{text:?} is not a whole number of 32 bits"))
}

fn float(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| format!("{text:?} is not a number"))
}

fn list(text: &str) -> Vec<String> {
    match text {
        "" => Vec::new(),
        text => text.split(',').map(str::to_owned).collect(),
    }
}

fn pairs(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
}

fn gates(text: &str) -> Result<Vec<(String, bool)>, String> {
    let gate = |pair: &str| {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| format!("{pair:?} says neither true nor false; write {pair}=true"))?;
        let value = boolean(value.trim()).map_err(|error| format!("{}: {error}", name.trim()))?;
        Ok((name.trim().to_owned(), value))
    };
    pairs(text).map(gate).collect()
}

fn vmodule(text: &str) -> Result<Vec<VmoduleItem>, String> {
    let item = |pair: &str| {
        let hint = || format!("{pair:?} is not like file=2");
        let (pattern, level) = pair.split_once('=').ok_or_else(hint)?;
        let verbosity = level.parse().map_err(|_| hint())?;
        if pattern.is_empty() {
            return Err(hint());
        }
        Ok(VmoduleItem {
            file_pattern: pattern.to_owned(),
            verbosity,
        })
    };
    pairs(text).map(item).collect()
}

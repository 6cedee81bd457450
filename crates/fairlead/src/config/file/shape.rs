//! Takes types out of a tree, with the path and the line of everything that does not fit.
//!
//! A value that does not fit is noted and counts as not given, so that one reading finds all there
//! is to say.

mod groups;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use super::tree::{Node, Value};
use groups::{Entries, Items};

/// Something that is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flaw {
    pub(super) line: u64,
    pub(super) path: String,
    pub(super) message: String,
}

/// What was found besides the value.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What is wrong, by line.
    pub(super) flaws: Vec<Flaw>,
    /// Fields that are not known, with their lines and the names that are known there.
    pub(super) unknown: Vec<(Flaw, &'static [&'static str])>,
    /// The line of every field.
    pub(super) lines: BTreeMap<String, u64>,
}

/// Makes a value of a tree. What does not fit counts as not given.
pub(super) fn take<T>(tree: &Node) -> (T, Found)
where
    T: for<'de> Deserialize<'de> + Default,
{
    let (mut flaws, mut unfit) = (Vec::new(), BTreeSet::new());
    loop {
        let notes = Notes {
            unfit: &unfit,
            found: RefCell::default(),
        };
        let place = Place {
            node: tree,
            path: String::new(),
            notes: &notes,
        };
        let taken = T::deserialize(place);
        let mut found = notes.found.into_inner();
        let flaw = match taken {
            Ok(value) => {
                found.flaws.append(&mut flaws);
                found.flaws.sort();
                return (value, found);
            }
            Err(flaw) => flaw.0,
        };
        let again = unfit.insert(flaw.path.clone()) && !flaw.path.is_empty();
        flaws.push(flaw);
        if !again {
            found.flaws = flaws;
            return (T::default(), found);
        }
    }
}

/// What one attempt knows and finds.
struct Notes<'a> {
    /// The paths that did not fit before.
    unfit: &'a BTreeSet<String>,
    found: RefCell<Found>,
}

/// A node in its place.
struct Place<'a> {
    node: &'a Node,
    path: String,
    notes: &'a Notes<'a>,
}

/// A flaw on its way up.
#[derive(Debug)]
struct Unfit(Flaw);

impl std::error::Error for Unfit {}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl de::Error for Unfit {
    fn custom<T: fmt::Display>(message: T) -> Unfit {
        Unfit(Flaw {
            line: 0,
            path: String::new(),
            message: message.to_string(),
        })
    }
}

impl Place<'_> {
    /// Names the place of an error that has none yet.
    fn name(&self, error: Unfit) -> Unfit {
        if error.0.line > 0 {
            return error;
        }
        Unfit(Flaw {
            line: self.node.line,
            path: self.path.clone(),
            ..error.0
        })
    }

    fn unfit(&self, expected: &dyn de::Expected) -> Unfit {
        self.name(de::Error::custom(format!(
            "{} is not {expected}",
            self.node.value
        )))
    }
}

impl<'de> Deserializer<'de> for Place<'_> {
    type Error = Unfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let expected = in_words(Expecting(&visitor).to_string());
        let mismatch = || self.unfit(&expected.as_str());
        let taken = match &self.node.value {
            Value::Null => return visitor.visit_unit().map_err(|_: Unfit| mismatch()),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(nodes) => visitor.visit_seq(Items::of(&self, nodes)),
            Value::Map(entries) => visitor.visit_map(Entries::of(&self, entries)),
        };
        taken.map_err(
            |error: Unfit| match error.0.message.starts_with("invalid ") {
                // What serde says of a type that does not fit speaks of Rust's types.
                true if error.0.line == 0 => mismatch(),
                _ => self.name(error),
            },
        )
    }

    /// `yes` and `on` are true to kube-proxy, whose YAML is of version 1.1.
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        let word = match &self.node.value {
            Value::Text(text) => text.to_ascii_lowercase(),
            _ => String::new(),
        };
        match word.as_str() {
            "yes" | "on" => visitor.visit_bool(true),
            "no" | "off" => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    /// Going by way of JSON, 14.0 is 14 to kube-proxy.
    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.node.value {
            Value::Float(float) if float.fract() == 0.0 && float.abs() < 1e15 => {
                visitor.visit_i64(float as i64)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unfit> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Unfit> {
        let Value::Map(entries) = &self.node.value else {
            return Err(self.unfit(&"a group of fields"));
        };
        self.note_fields(entries, fields);
        let taken = visitor.visit_map(Entries::known(&self, entries, fields));
        taken.map_err(|error| self.name(error))
    }

    forward_to_deserialize_any! {
        i8 i16 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Expecting<'a, V>(&'a V);

impl<'de, V: Visitor<'de>> fmt::Display for Expecting<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// What serde expects, in words of YAML.
fn in_words(expected: String) -> String {
    match expected.as_str() {
        "i32" | "u32" => "a whole number".to_owned(),
        "f32" => "a number".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a string" => "a text".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a map" => "a group of fields".to_owned(),
        _ => expected,
    }
}

//! Field values, with errors that say what to write instead.
//!
//! Manifests follow the YAML 1.1 of Kubernetes' own tools: `ready: yes` is true, and numbers
//! come with and without quotes.

use std::fmt;

use fairlead_core::address::{Family, Protocol};
use fairlead_core::api::{AddressType, IpMode, ServiceType, TrafficPolicy};
use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, Unexpected, Visitor};

/// An integer of 32 bits: a port, a timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Int(pub(super) i32);

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Int, D::Error> {
        input.deserialize_any(IntVisitor)
    }
}

struct IntVisitor;

impl Visitor<'_> for IntVisitor {
    type Value = Int;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of at most 32 bits, such as 8080")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Int, E> {
        i32::try_from(value)
            .map(Int)
            .map_err(|_| E::invalid_value(Unexpected::Signed(value), &self))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Int, E> {
        i32::try_from(value)
            .map(Int)
            .map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    /// Only the plain decimal form: YAML 1.1 reads `010` as 8, YAML 1.2 as 10.
    fn visit_str<E: Error>(self, value: &str) -> Result<Int, E> {
        let number = value
            .parse::<i32>()
            .ok()
            .filter(|number| number.to_string() == value);
        number
            .map(Int)
            .ok_or_else(|| E::invalid_type(Unexpected::Str(value), &self))
    }
}

/// A boolean, also in the words of YAML 1.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag(pub(super) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Flag, D::Error> {
        input.deserialize_any(FlagVisitor)
    }
}

struct FlagVisitor;

impl Visitor<'_> for FlagVisitor {
    type Value = Flag;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Flag, E> {
        Ok(Flag(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Flag, E> {
        match value.to_ascii_lowercase().as_str() {
            "y" | "yes" | "on" | "true" => Ok(Flag(true)),
            "n" | "no" | "off" | "false" => Ok(Flag(false)),
            _ => Err(E::invalid_type(Unexpected::Str(value), &self)),
        }
    }
}

/// A metav1.Time: RFC 3339.
#[derive(Debug, Clone, Copy)]
pub(super) struct Time(pub(super) Timestamp);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Time, D::Error> {
        input.deserialize_str(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = Time;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time such as 2026-01-31T10:00:00Z")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Time, E> {
        value
            .parse()
            .map(Time)
            .map_err(|_| E::invalid_value(Unexpected::Str(value), &self))
    }
}

/// A value out of a closed set of words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<T>(pub(super) T);

/// A closed set of words.
pub(super) trait Words: Copy + 'static {
    /// The words and what they stand for.
    const WORDS: &'static [(&'static str, Self)];
    /// What the empty text stands for, in sets that have a default.
    const EMPTY: Option<Self>;
}

impl Words for Protocol {
    const WORDS: &'static [(&'static str, Protocol)] = &[
        ("TCP", Protocol::Tcp),
        ("UDP", Protocol::Udp),
        ("SCTP", Protocol::Sctp),
    ];
    const EMPTY: Option<Protocol> = Some(Protocol::Tcp);
}

impl Words for Family {
    const WORDS: &'static [(&'static str, Family)] = &[("IPv4", Family::V4), ("IPv6", Family::V6)];
    const EMPTY: Option<Family> = None;
}

impl Words for AddressType {
    const WORDS: &'static [(&'static str, AddressType)] = &[
        ("IPv4", AddressType::Ipv4),
        ("IPv6", AddressType::Ipv6),
        ("FQDN", AddressType::Fqdn),
    ];
    const EMPTY: Option<AddressType> = None;
}

impl Words for ServiceType {
    const WORDS: &'static [(&'static str, ServiceType)] = &[
        ("ClusterIP", ServiceType::ClusterIp),
        ("NodePort", ServiceType::NodePort),
        ("LoadBalancer", ServiceType::LoadBalancer),
        ("ExternalName", ServiceType::ExternalName),
    ];
    const EMPTY: Option<ServiceType> = Some(ServiceType::ClusterIp);
}

impl Words for TrafficPolicy {
    const WORDS: &'static [(&'static str, TrafficPolicy)] = &[
        ("Cluster", TrafficPolicy::Cluster),
        ("Local", TrafficPolicy::Local),
    ];
    const EMPTY: Option<TrafficPolicy> = Some(TrafficPolicy::Cluster);
}

impl Words for IpMode {
    const WORDS: &'static [(&'static str, IpMode)] =
        &[("VIP", IpMode::Vip), ("Proxy", IpMode::Proxy)];
    const EMPTY: Option<IpMode> = Some(IpMode::Vip);
}

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Word<T>, D::Error> {
        input.deserialize_str(WordVisitor(std::marker::PhantomData))
    }
}

struct WordVisitor<T>(std::marker::PhantomData<T>);

impl<T: Words> Visitor<'_> for WordVisitor<T> {
    type Value = Word<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
        write!(f, "one of {}", words.join(", "))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Word<T>, E> {
        let known = T::WORDS
            .iter()
            .find(|(word, _)| *word == value)
            .map(|(_, meaning)| *meaning);
        let meaning = known.or(if value.is_empty() { T::EMPTY } else { None });
        meaning
            .map(Word)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }
}

/// A spec that has to be there. To the YAML parser `spec:` with nothing below is a mapping.
pub(super) fn spec<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(input)?
        .ok_or_else(|| D::Error::custom("spec: is empty, expected a mapping"))
}

/// True when the field is there, whatever its value.
pub(super) fn present<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(input).map(|_| true)
}

//! What a table's sets are made of: reads keys and data back from their bytes.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;

use super::ruleset::{Batch, Bytes, Family, Op, Set, TableId, Type};

/// A table and the definitions of its sets, without which the bytes of an element say nothing.
#[derive(Debug, Clone)]
pub struct Schema<'a> {
    /// The table.
    pub table: TableId,
    sets: HashMap<&'static str, &'a Set>,
}

impl<'a> Schema<'a> {
    /// The table `table` with these sets.
    pub fn new(table: TableId, sets: impl IntoIterator<Item = &'a Set>) -> Self {
        Schema {
            table,
            sets: sets.into_iter().map(|set| (set.name, set)).collect(),
        }
    }

    /// The batch's table with the sets that the batch makes.
    pub fn of(batch: &'a Batch) -> Self {
        let sets = batch.ops.iter().filter_map(|op| match op {
            Op::AddSet(set) => Some(set),
            _ => None,
        });
        Schema::new(batch.table, sets)
    }

    /// The definition of a set or map, if it is known.
    pub fn set(&self, name: &str) -> Option<&'a Set> {
        self.sets.get(name).copied()
    }
}

/// The value of one field of a key or of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// Of a [`Type::Address`].
    Address(IpAddr),
    /// Of a [`Type::Protocol`]: its number (IANA, Assigned Internet Protocol Numbers).
    Protocol(u8),
    /// Of a [`Type::Port`].
    Port(u16),
    /// Of a [`Type::Number`].
    Number(u32),
    /// Of a [`Type::Direction`].
    Direction(u8),
}

/// The fields that `bytes` holds: `None` when it is not as long as these types are.
pub fn fields<const MAX: usize>(
    types: &[Type],
    family: Family,
    bytes: &Bytes<MAX>,
) -> Option<Vec<Field>> {
    let mut rest = bytes.as_slice();
    let fields: Option<Vec<Field>> = types
        .iter()
        .map(|kind| {
            let (field, tail) = rest.split_at_checked(padded_width(*kind, family))?;
            rest = tail;
            read(*kind, family, field)
        })
        .collect();
    fields.filter(|_| rest.is_empty())
}

/// What one field of an element's key matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// One value.
    One(Field),
    /// The addresses of a network.
    Net(IpNet),
    /// From the first value to the last.
    Range(Field, Field),
}

/// What the fields of a key match, which goes to `end` in an interval set. `None` when the
/// bytes are not as long as these types are.
pub fn spans(
    types: &[Type],
    family: Family,
    key: &Bytes,
    end: Option<&Bytes>,
) -> Option<Vec<Span>> {
    let first = fields(types, family, key)?;
    let last = fields(types, family, end.unwrap_or(key))?;
    Some(first.into_iter().zip(last).map(span).collect())
}

fn span((first, last): (Field, Field)) -> Span {
    match (first, last) {
        _ if first == last => Span::One(first),
        (Field::Address(low), Field::Address(high)) => {
            network(low, high).map_or(Span::Range(first, last), Span::Net)
        }
        _ => Span::Range(first, last),
    }
}

/// The network that has just these addresses, if there is one.
fn network(low: IpAddr, high: IpAddr) -> Option<IpNet> {
    let prefix_len = match (low, high) {
        (IpAddr::V4(low), IpAddr::V4(high)) => (low.to_bits() ^ high.to_bits()).leading_zeros(),
        (IpAddr::V6(low), IpAddr::V6(high)) => (low.to_bits() ^ high.to_bits()).leading_zeros(),
        _ => return None,
    };
    let net = IpNet::new(low, prefix_len as u8).ok()?;
    (net.network() == low && net.broadcast() == high).then_some(net)
}

/// The length of fields of these types in [`Bytes`].
pub fn padded_len(types: &[Type], family: Family) -> usize {
    types.iter().map(|kind| padded_width(*kind, family)).sum()
}

/// The length that the kernel has for them: a field that stands alone is not padded.
pub fn kernel_len(types: &[Type], family: Family) -> usize {
    match types {
        [alone] => width(*alone, family),
        _ => padded_len(types, family),
    }
}

fn padded_width(kind: Type, family: Family) -> usize {
    width(kind, family).next_multiple_of(4)
}

fn width(kind: Type, family: Family) -> usize {
    match (kind, family) {
        (Type::Address, Family::Ip) | (Type::Number, _) => 4,
        (Type::Address, Family::Ip6) => 16,
        (Type::Protocol | Type::Direction, _) => 1,
        (Type::Port, _) => 2,
    }
}

fn read(kind: Type, family: Family, field: &[u8]) -> Option<Field> {
    Some(match (kind, family) {
        (Type::Address, Family::Ip) => Field::Address(<[u8; 4]>::try_from(field).ok()?.into()),
        (Type::Address, Family::Ip6) => Field::Address(<[u8; 16]>::try_from(field).ok()?.into()),
        (Type::Protocol, _) => Field::Protocol(*field.first()?),
        (Type::Port, _) => Field::Port(u16::from_be_bytes(*field.first_chunk()?)),
        (Type::Number, _) => Field::Number(u32::from_ne_bytes(*field.first_chunk()?)),
        (Type::Direction, _) => Field::Direction(*field.first()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [Type; 4] = [Type::Address, Type::Protocol, Type::Port, Type::Number];

    #[test]
    fn fields_are_read_as_they_were_written() {
        for (family, address) in [(Family::Ip, "10.96.0.1"), (Family::Ip6, "fd00::1")] {
            let address: IpAddr = address.parse().unwrap();
            let bytes: Bytes = Bytes::new().address(address).protocol(6).port(80).number(7);
            let expected = vec![
                Field::Address(address),
                Field::Protocol(6),
                Field::Port(80),
                Field::Number(7),
            ];
            assert_eq!(fields(&KEY, family, &bytes), Some(expected));
            assert_eq!(padded_len(&KEY, family), bytes.as_slice().len());
        }
    }

    #[test]
    fn bytes_of_another_length_are_not_read() {
        let bytes: Bytes = Bytes::new().protocol(6).port(80);
        assert_eq!(fields(&[Type::Protocol], Family::Ip, &bytes), None);
        assert_eq!(fields(&KEY, Family::Ip, &bytes), None);
    }

    #[test]
    fn a_span_is_a_network_only_if_it_is_all_of_it() {
        let span = |first: &str, last: &str| {
            let [first, last] = [first, last].map(|a| Field::Address(a.parse().unwrap()));
            super::span((first, last))
        };
        let net = |net: &str| Span::Net(net.parse().unwrap());
        assert_eq!(span("192.0.2.0", "192.0.2.255"), net("192.0.2.0/24"));
        assert_eq!(span("0.0.0.0", "255.255.255.255"), net("0.0.0.0/0"));
        assert_eq!(span("fd00::", "fd00::1"), net("fd00::/127"));
        assert!(matches!(span("192.0.2.1", "192.0.2.1"), Span::One(_)));
        assert!(matches!(span("192.0.2.0", "192.0.2.254"), Span::Range(..)));
        assert!(matches!(span("192.0.2.1", "192.0.2.255"), Span::Range(..)));
    }

    #[test]
    fn a_field_alone_is_not_padded_for_the_kernel() {
        assert_eq!(kernel_len(&[Type::Port], Family::Ip), 2);
        assert_eq!(kernel_len(&[Type::Protocol, Type::Port], Family::Ip), 8);
    }
}

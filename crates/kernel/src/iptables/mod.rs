//! iptables: rules as values ([`rule`]), operations on tables ([`ruleset`]), and what speaks them.
//!
//! There are two iptables in Linux, and each has its own tables: the legacy one, which replaces a
//! table as a whole, and the one that is a dialect of nf_tables (`iptables-nft`). [`handle`] is
//! the contract that both and the fake keep.

pub mod dual;
pub mod fake;
pub mod handle;
pub mod info;
pub mod legacy;
pub mod nft;
pub mod rule;
pub mod ruleset;
pub mod text;
pub mod variant;

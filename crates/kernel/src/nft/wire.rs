//! The numbers of nf_tables messages (linux/netfilter/nf_tables.h, except where said otherwise).
//!
//! [`libc`] has some of them, but as signed integers, which none of them is in a message.

use super::ruleset::Family;
use crate::netlink::Builder;

/// `sizeof(struct nfgenmsg)`, which begins every message (linux/netfilter/nfnetlink.h).
pub(crate) const HEADER: usize = 4;

/// Writes a `struct nfgenmsg`. `resource` is 0 but for the begin and the end of a batch.
pub(crate) fn header(builder: &mut Builder, family: u8, resource: u16) {
    let [high, low] = resource.to_be_bytes();
    builder.raw(&[family, NFNETLINK_V0, high, low]);
}

/// Writes the begin or the end of a batch of messages for nf_tables.
pub(crate) fn boundary(builder: &mut Builder, kind: u16, sequence: u32) {
    builder.message(kind, libc::NLM_F_REQUEST, sequence, |body| {
        header(body, 0, NFNL_SUBSYS_NFTABLES);
    });
}

/// linux/netfilter/nfnetlink.h
pub(crate) const NFNETLINK_V0: u8 = 0;
/// linux/netfilter/nfnetlink.h
pub(crate) const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// `NFNL_MSG_COMPAT_GET` (linux/netfilter/nf_tables_compat.h) of `NFNL_SUBSYS_NFT_COMPAT`.
pub(crate) const NFNL_MSG_COMPAT_GET: u16 = 11 << 8;
/// linux/netfilter/nfnetlink.h
pub(crate) const NFNL_MSG_BATCH_BEGIN: u16 = 16;
/// linux/netfilter/nfnetlink.h
pub(crate) const NFNL_MSG_BATCH_END: u16 = 17;
/// linux/netfilter/nfnetlink.h
pub(crate) const NFNLGRP_NFTABLES: u32 = 7;

/// `NFPROTO_IPV4`, `NFPROTO_IPV6` (linux/netfilter.h).
pub(crate) const fn family_number(family: Family) -> u8 {
    match family {
        Family::Ip => 2,
        Family::Ip6 => 10,
    }
}

const fn message(number: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | number
}

pub(crate) const NFT_MSG_NEWTABLE: u16 = message(0);
pub(crate) const NFT_MSG_GETTABLE: u16 = message(1);
pub(crate) const NFT_MSG_DELTABLE: u16 = message(2);
pub(crate) const NFT_MSG_NEWCHAIN: u16 = message(3);
pub(crate) const NFT_MSG_GETCHAIN: u16 = message(4);
pub(crate) const NFT_MSG_DELCHAIN: u16 = message(5);
pub(crate) const NFT_MSG_NEWRULE: u16 = message(6);
pub(crate) const NFT_MSG_GETRULE: u16 = message(7);
pub(crate) const NFT_MSG_DELRULE: u16 = message(8);
pub(crate) const NFT_MSG_NEWSET: u16 = message(9);
pub(crate) const NFT_MSG_GETSET: u16 = message(10);
pub(crate) const NFT_MSG_DELSET: u16 = message(11);
pub(crate) const NFT_MSG_NEWSETELEM: u16 = message(12);
pub(crate) const NFT_MSG_GETSETELEM: u16 = message(13);
pub(crate) const NFT_MSG_DELSETELEM: u16 = message(14);
pub(crate) const NFT_MSG_NEWGEN: u16 = message(15);
pub(crate) const NFT_MSG_GETGEN: u16 = message(16);
pub(crate) const NFT_MSG_NEWOBJ: u16 = message(18);
pub(crate) const NFT_MSG_GETOBJ: u16 = message(19);

/// `NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_RULE_TABLE`, `NFTA_SET_TABLE` and so on: the name
/// of the table has the same number in every message.
pub(crate) const NFTA_TABLE: u16 = 1;

pub(crate) const NFTA_TABLE_USERDATA: u16 = 6;

pub(crate) const NFTA_CHAIN_NAME: u16 = 3;
pub(crate) const NFTA_CHAIN_HOOK: u16 = 4;
pub(crate) const NFTA_CHAIN_POLICY: u16 = 5;
pub(crate) const NFTA_CHAIN_TYPE: u16 = 7;
pub(crate) const NFTA_CHAIN_FLAGS: u16 = 10;
pub(crate) const NFTA_CHAIN_USERDATA: u16 = 12;

pub(crate) const NFT_CHAIN_BASE: u32 = 1;

pub(crate) const NFTA_HOOK_HOOKNUM: u16 = 1;
pub(crate) const NFTA_HOOK_PRIORITY: u16 = 2;

pub(crate) const NFTA_RULE_CHAIN: u16 = 2;
pub(crate) const NFTA_RULE_HANDLE: u16 = 3;
pub(crate) const NFTA_RULE_EXPRESSIONS: u16 = 4;
pub(crate) const NFTA_RULE_COMPAT: u16 = 5;
pub(crate) const NFTA_RULE_USERDATA: u16 = 7;

/// The protocol of a rule that has extensions of iptables, for them to check.
pub(crate) const NFTA_RULE_COMPAT_PROTO: u16 = 1;
pub(crate) const NFTA_RULE_COMPAT_FLAGS: u16 = 2;

/// `NFTA_MATCH_NAME`, `NFTA_TARGET_NAME` and `NFTA_COMPAT_NAME`
/// (linux/netfilter/nf_tables_compat.h).
pub(crate) const NFTA_EXTENSION_NAME: u16 = 1;
/// `NFTA_MATCH_REV`, `NFTA_TARGET_REV` and `NFTA_COMPAT_REV`
/// (linux/netfilter/nf_tables_compat.h).
pub(crate) const NFTA_EXTENSION_REV: u16 = 2;
/// linux/netfilter/nf_tables_compat.h: 0 is a match.
pub(crate) const NFTA_COMPAT_TYPE: u16 = 3;
/// `NFTA_MATCH_INFO` and `NFTA_TARGET_INFO` (linux/netfilter/nf_tables_compat.h).
pub(crate) const NFTA_EXTENSION_INFO: u16 = 3;

pub(crate) const NFTA_SET_NAME: u16 = 2;
pub(crate) const NFTA_SET_FLAGS: u16 = 3;
pub(crate) const NFTA_SET_KEY_TYPE: u16 = 4;
pub(crate) const NFTA_SET_KEY_LEN: u16 = 5;
pub(crate) const NFTA_SET_DATA_TYPE: u16 = 6;
pub(crate) const NFTA_SET_DATA_LEN: u16 = 7;
pub(crate) const NFTA_SET_DESC: u16 = 9;
pub(crate) const NFTA_SET_ID: u16 = 10;
pub(crate) const NFTA_SET_USERDATA: u16 = 13;
pub(crate) const NFTA_SET_EXPR: u16 = 17;
/// Since Linux 6.16.
pub(crate) const NFTA_SET_COUNT: u16 = 20;

pub(crate) const NFTA_SET_DESC_SIZE: u16 = 1;
pub(crate) const NFTA_SET_DESC_CONCAT: u16 = 2;
pub(crate) const NFTA_SET_FIELD_LEN: u16 = 1;

pub(crate) const NFT_SET_ANONYMOUS: u32 = 0x1;
pub(crate) const NFT_SET_CONSTANT: u32 = 0x2;
pub(crate) const NFT_SET_INTERVAL: u32 = 0x4;
pub(crate) const NFT_SET_MAP: u32 = 0x8;
pub(crate) const NFT_SET_TIMEOUT: u32 = 0x10;
pub(crate) const NFT_SET_EVAL: u32 = 0x20;
pub(crate) const NFT_SET_CONCAT: u32 = 0x80;

/// The `NFTA_SET_DATA_TYPE` of a verdict map.
pub(crate) const NFT_DATA_VERDICT: u32 = 0xffff_ff00;

pub(crate) const NFTA_LIST_ELEM: u16 = 1;

pub(crate) const NFTA_SET_ELEM_LIST_SET: u16 = 2;
pub(crate) const NFTA_SET_ELEM_LIST_ELEMENTS: u16 = 3;
pub(crate) const NFTA_SET_ELEM_LIST_SET_ID: u16 = 4;

pub(crate) const NFTA_SET_ELEM_KEY: u16 = 1;
pub(crate) const NFTA_SET_ELEM_DATA: u16 = 2;
pub(crate) const NFTA_SET_ELEM_FLAGS: u16 = 3;
pub(crate) const NFTA_SET_ELEM_USERDATA: u16 = 6;
pub(crate) const NFTA_SET_ELEM_EXPR: u16 = 7;
pub(crate) const NFTA_SET_ELEM_KEY_END: u16 = 10;

pub(crate) const NFT_SET_ELEM_INTERVAL_END: u32 = 1;

pub(crate) const NFTA_DATA_VALUE: u16 = 1;
pub(crate) const NFTA_DATA_VERDICT: u16 = 2;
pub(crate) const NFTA_VERDICT_CODE: u16 = 1;
pub(crate) const NFTA_VERDICT_CHAIN: u16 = 2;

/// `NF_DROP` (linux/netfilter.h).
pub(crate) const NF_DROP: i32 = 0;
/// `NF_ACCEPT` (linux/netfilter.h).
pub(crate) const NF_ACCEPT: i32 = 1;
pub(crate) const NFT_JUMP: i32 = -3;
pub(crate) const NFT_GOTO: i32 = -4;
pub(crate) const NFT_RETURN: i32 = -5;

/// `NFT_REG_VERDICT`.
pub(crate) const NFT_REG_VERDICT: u32 = 0;
/// The first of the four registers of sixteen bytes.
pub(crate) const NFT_REG_1: u32 = 1;
/// The first of the sixteen registers of four bytes.
pub(crate) const NFT_REG32_00: u32 = 8;

pub(crate) const NFTA_EXPR_NAME: u16 = 1;
pub(crate) const NFTA_EXPR_DATA: u16 = 2;

pub(crate) const NFTA_IMMEDIATE_DREG: u16 = 1;
pub(crate) const NFTA_IMMEDIATE_DATA: u16 = 2;

pub(crate) const NFTA_BITWISE_SREG: u16 = 1;
pub(crate) const NFTA_BITWISE_DREG: u16 = 2;
pub(crate) const NFTA_BITWISE_LEN: u16 = 3;
pub(crate) const NFTA_BITWISE_MASK: u16 = 4;
pub(crate) const NFTA_BITWISE_XOR: u16 = 5;

pub(crate) const NFTA_CMP_SREG: u16 = 1;
pub(crate) const NFTA_CMP_OP: u16 = 2;
pub(crate) const NFTA_CMP_DATA: u16 = 3;
pub(crate) const NFT_CMP_EQ: u32 = 0;
pub(crate) const NFT_CMP_NEQ: u32 = 1;

pub(crate) const NFTA_LOOKUP_SET: u16 = 1;
pub(crate) const NFTA_LOOKUP_SREG: u16 = 2;
pub(crate) const NFTA_LOOKUP_DREG: u16 = 3;
pub(crate) const NFTA_LOOKUP_SET_ID: u16 = 4;
pub(crate) const NFTA_LOOKUP_FLAGS: u16 = 5;
pub(crate) const NFT_LOOKUP_F_INV: u32 = 1;

pub(crate) const NFTA_DYNSET_SET_NAME: u16 = 1;
pub(crate) const NFTA_DYNSET_OP: u16 = 3;
pub(crate) const NFTA_DYNSET_SREG_KEY: u16 = 4;
pub(crate) const NFTA_DYNSET_SREG_DATA: u16 = 5;
pub(crate) const NFTA_DYNSET_TIMEOUT: u16 = 6;
pub(crate) const NFT_DYNSET_OP_UPDATE: u32 = 1;
pub(crate) const NFT_DYNSET_OP_DELETE: u32 = 2;

pub(crate) const NFTA_PAYLOAD_DREG: u16 = 1;
pub(crate) const NFTA_PAYLOAD_BASE: u16 = 2;
pub(crate) const NFTA_PAYLOAD_OFFSET: u16 = 3;
pub(crate) const NFTA_PAYLOAD_LEN: u16 = 4;
pub(crate) const NFTA_PAYLOAD_SREG: u16 = 5;
pub(crate) const NFTA_PAYLOAD_CSUM_TYPE: u16 = 6;
pub(crate) const NFTA_PAYLOAD_CSUM_OFFSET: u16 = 7;
pub(crate) const NFTA_PAYLOAD_CSUM_FLAGS: u16 = 8;
pub(crate) const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
pub(crate) const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;
pub(crate) const NFT_PAYLOAD_CSUM_NONE: u32 = 0;
pub(crate) const NFT_PAYLOAD_CSUM_INET: u32 = 1;
pub(crate) const NFT_PAYLOAD_L4CSUM_PSEUDOHDR: u32 = 1;

pub(crate) const NFTA_META_DREG: u16 = 1;
pub(crate) const NFTA_META_KEY: u16 = 2;
pub(crate) const NFTA_META_SREG: u16 = 3;
pub(crate) const NFT_META_MARK: u32 = 3;
pub(crate) const NFT_META_IIFNAME: u32 = 6;
pub(crate) const NFT_META_SKUID: u32 = 10;
pub(crate) const NFT_META_L4PROTO: u32 = 16;

pub(crate) const NFTA_CT_DREG: u16 = 1;
pub(crate) const NFTA_CT_KEY: u16 = 2;
pub(crate) const NFTA_CT_DIRECTION: u16 = 3;
pub(crate) const NFTA_CT_SREG: u16 = 4;
pub(crate) const NFT_CT_STATE: u32 = 0;
pub(crate) const NFT_CT_DIRECTION: u32 = 1;
pub(crate) const NFT_CT_STATUS: u32 = 2;
pub(crate) const NFT_CT_MARK: u32 = 3;
pub(crate) const NFT_CT_PROTO_DST: u32 = 12;
pub(crate) const NFT_CT_DST_IP: u32 = 20;
pub(crate) const NFT_CT_DST_IP6: u32 = 22;
/// `IP_CT_DIR_ORIGINAL` (linux/netfilter/nf_conntrack_tuple_common.h).
pub(crate) const IP_CT_DIR_ORIGINAL: u8 = 0;
/// `IP_CT_DIR_REPLY` (linux/netfilter/nf_conntrack_tuple_common.h).
pub(crate) const IP_CT_DIR_REPLY: u8 = 1;
/// `NF_CT_STATE_BIT(IP_CT_ESTABLISHED)` (linux/netfilter/nf_conntrack_common.h).
pub(crate) const CT_STATE_ESTABLISHED: u32 = 1 << 1;
/// `NF_CT_STATE_BIT(IP_CT_NEW)` (linux/netfilter/nf_conntrack_common.h).
pub(crate) const CT_STATE_NEW: u32 = 1 << 3;
/// `IPS_CONFIRMED` (linux/netfilter/nf_conntrack_common.h).
pub(crate) const IPS_CONFIRMED: u32 = 1 << 3;
/// `IPS_DST_NAT` (linux/netfilter/nf_conntrack_common.h).
pub(crate) const IPS_DST_NAT: u32 = 1 << 5;

pub(crate) const NFTA_NG_DREG: u16 = 1;
pub(crate) const NFTA_NG_MODULUS: u16 = 2;
pub(crate) const NFTA_NG_TYPE: u16 = 3;
pub(crate) const NFTA_NG_OFFSET: u16 = 4;
pub(crate) const NFT_NG_RANDOM: u32 = 1;

pub(crate) const NFTA_FIB_DREG: u16 = 1;
pub(crate) const NFTA_FIB_RESULT: u16 = 2;
pub(crate) const NFTA_FIB_FLAGS: u16 = 3;
pub(crate) const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
pub(crate) const NFTA_FIB_F_SADDR: u32 = 1;
pub(crate) const NFTA_FIB_F_DADDR: u32 = 2;
/// linux/rtnetlink.h
pub(crate) const RTN_LOCAL: u32 = 2;

pub(crate) const NFTA_NAT_TYPE: u16 = 1;
pub(crate) const NFTA_NAT_FAMILY: u16 = 2;
pub(crate) const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
pub(crate) const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
pub(crate) const NFT_NAT_DNAT: u32 = 1;

pub(crate) const NFTA_SOCKET_KEY: u16 = 1;
pub(crate) const NFTA_SOCKET_DREG: u16 = 2;
pub(crate) const NFT_SOCKET_TRANSPARENT: u32 = 0;

pub(crate) const NFTA_TPROXY_FAMILY: u16 = 1;
pub(crate) const NFTA_TPROXY_REG_ADDR: u16 = 2;
pub(crate) const NFTA_TPROXY_REG_PORT: u16 = 3;

pub(crate) const NFTA_MASQ_FLAGS: u16 = 1;
/// `NF_NAT_RANGE_PROTO_RANDOM_FULLY` (linux/netfilter/nf_nat.h).
pub(crate) const NF_NAT_RANGE_PROTO_RANDOM_FULLY: u32 = 1 << 4;

pub(crate) const NFTA_REJECT_TYPE: u16 = 1;
pub(crate) const NFTA_REJECT_ICMP_CODE: u16 = 2;
pub(crate) const NFT_REJECT_ICMP_UNREACH: u32 = 0;
pub(crate) const NFT_REJECT_TCP_RST: u32 = 1;
/// `ICMP_PORT_UNREACH` (linux/icmp.h).
pub(crate) const ICMP_PORT_UNREACH: u8 = 3;
/// `ICMPV6_PORT_UNREACH` (linux/icmpv6.h).
pub(crate) const ICMPV6_PORT_UNREACH: u8 = 4;

pub(crate) const NFTA_OBJ_NAME: u16 = 2;
pub(crate) const NFTA_OBJ_TYPE: u16 = 3;
pub(crate) const NFTA_OBJ_DATA: u16 = 4;
pub(crate) const NFTA_OBJ_USERDATA: u16 = 8;
pub(crate) const NFT_OBJECT_COUNTER: u32 = 1;

pub(crate) const NFTA_OBJREF_IMM_TYPE: u16 = 1;
pub(crate) const NFTA_OBJREF_IMM_NAME: u16 = 2;

pub(crate) const NFTA_COUNTER_BYTES: u16 = 1;
pub(crate) const NFTA_COUNTER_PACKETS: u16 = 2;

pub(crate) const NFTA_GEN_ID: u16 = 1;

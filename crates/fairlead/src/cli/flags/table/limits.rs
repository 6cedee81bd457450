//! Flags about what the kernel keeps for us, and us for it.

use super::{Flag, Slot};
use crate::config::v1alpha1::Conntrack;

pub(super) static FLAGS: [Flag; 8] = [
    Flag::of(
        "conntrack-max-per-core",
        &["conntrack.maxPerCore"],
        Slot::Int(|flags| flags.config.conntrack.max_per_core.get_or_insert_default()),
        "How many connections the kernel may track for each CPU; 0 leaves its limit as it is.",
    ),
    Flag::of(
        "conntrack-min",
        &["conntrack.min"],
        Slot::Int(|flags| flags.config.conntrack.min.get_or_insert_default()),
        "How many it may track at least, unless --conntrack-max-per-core is 0.",
    ),
    Flag::of(
        "conntrack-tcp-timeout-established",
        &["conntrack.tcpEstablishedTimeout"],
        Slot::Duration(|flags| {
            let conntrack: &mut Conntrack = &mut flags.config.conntrack;
            conntrack.tcp_established_timeout.get_or_insert_default()
        }),
        "How long an idle TCP connection is tracked; 0 leaves the kernel's value.",
    ),
    Flag::of(
        "conntrack-tcp-timeout-close-wait",
        &["conntrack.tcpCloseWaitTimeout"],
        Slot::Duration(|flags| {
            let conntrack: &mut Conntrack = &mut flags.config.conntrack;
            conntrack.tcp_close_wait_timeout.get_or_insert_default()
        }),
        "How long a TCP connection is tracked that one side has closed; 0 leaves the kernel's value.",
    ),
    Flag::of(
        "conntrack-tcp-be-liberal",
        &["conntrack.tcpBeLiberal"],
        Slot::Bool(|flags| &mut flags.config.conntrack.tcp_be_liberal),
        "Track TCP packets that lie outside their window as well.",
    ),
    Flag::of(
        "conntrack-udp-timeout",
        &["conntrack.udpTimeout"],
        Slot::Duration(|flags| &mut flags.config.conntrack.udp_timeout),
        "How long UDP without an answer is tracked; 0 leaves the kernel's value.",
    ),
    Flag::of(
        "conntrack-udp-timeout-stream",
        &["conntrack.udpStreamTimeout"],
        Slot::Duration(|flags| &mut flags.config.conntrack.udp_stream_timeout),
        "How long UDP with answers is tracked; 0 leaves the kernel's value.",
    ),
    Flag::of(
        "oom-score-adj",
        &["oomScoreAdj"],
        Slot::Int(|flags| flags.config.oom_score_adj.get_or_insert_default()),
        "How unwilling the kernel is to kill this process for its memory, -1000 to 1000, the less the more unwilling.",
    ),
];

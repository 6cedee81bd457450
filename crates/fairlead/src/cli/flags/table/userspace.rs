//! Flags of userspace mode: those that kube-proxy had for it, and ours.

use super::{Flag, Slot, Standing};

pub(super) static FLAGS: [Flag; 7] = [
    Flag::of(
        "proxy-port-range",
        &["portRange"],
        Slot::Text(|flags| &mut flags.config.port_range),
        "The ports that listeners take on localhost in userspace mode, as FIRST-LAST, FIRST+MORE or a single one; empty, \
         0 or 0-0 means 11000-29999.",
    ),
    Flag::of(
        "udp-timeout",
        &["udpIdleTimeout"],
        Slot::Duration(|flags| &mut flags.other.udp_timeout),
        "How long userspace mode remembers a UDP client that says and hears nothing.",
    ),
    Flag::new(
        "userspace-source-address",
        Slot::Text(|flags| &mut flags.other.userspace_source_address),
        "Whom endpoints see in userspace mode: node, this node; or client, the client itself where the endpoint is on \
         this node and other modes would show it.",
    )
    .standing(Standing::Always),
    Flag::new(
        "userspace-dial-timeouts",
        Slot::Text(|flags| &mut flags.other.userspace_dial_timeouts),
        "How long userspace mode waits for one endpoint before it tries the next, for each try, 1 to 8 of them, \
         separated by commas.",
    )
    .standing(Standing::Always),
    Flag::new(
        "userspace-max-connections",
        Slot::Int(|flags| &mut flags.other.userspace_max_connections),
        "How many connections userspace mode carries at a time; 0 means as many as there are descriptors for.",
    )
    .standing(Standing::Always),
    Flag::new(
        "userspace-drain-timeout",
        Slot::Duration(|flags| &mut flags.other.userspace_drain_timeout),
        "How long connections of userspace mode may go on when the program ends; 0 means that they end with it.",
    )
    .standing(Standing::Always),
    Flag::new(
        "userspace-threads",
        Slot::Int(|flags| &mut flags.other.userspace_threads),
        "How many threads carry in userspace mode; 0 means one for each CPU, at most 4.",
    )
    .standing(Standing::Always),
];

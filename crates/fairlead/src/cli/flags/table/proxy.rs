//! Flags that shape the rules, and where the servers listen.

use super::{Flag, Slot, Standing};

pub(super) static FLAGS: [Flag; 27] = [
    Flag::of(
        "proxy-mode",
        &["mode"],
        Slot::Text(|flags| &mut flags.config.mode),
        "How Services are implemented: nftables, which is also meant by nothing, iptables, ipvs or userspace.",
    ),
    Flag::of(
        "bind-address",
        &["bindAddress"],
        Slot::Ip(|flags| &mut flags.config.bind_address),
        "This node's address where it is not the Node object's; 0.0.0.0 and :: mean that it is. Nothing listens on it.",
    ),
    Flag::of(
        "healthz-bind-address",
        &["healthzBindAddress"],
        Slot::Address(|flags| &mut flags.config.healthz_bind_address),
        "Where /healthz and /livez answer. As `fairlead run`, empty for nowhere.",
    ),
    Flag::of(
        "metrics-bind-address",
        &["metricsBindAddress"],
        Slot::Address(|flags| &mut flags.config.metrics_bind_address),
        "Where /metrics, /proxyMode and /configz answer. As `fairlead run`, empty for nowhere.",
    ),
    Flag::of(
        "healthz-port",
        &["healthzBindAddress"],
        Slot::Int(|flags| &mut flags.other.healthz_port),
        "The port of the health server if its address says none; 0 for no such server.",
    )
    .standing(Standing::Deprecated("use --healthz-bind-address")),
    Flag::of(
        "metrics-port",
        &["metricsBindAddress"],
        Slot::Int(|flags| &mut flags.other.metrics_port),
        "The port of the metrics server if its address says none.",
    )
    .standing(Standing::Deprecated("use --metrics-bind-address")),
    Flag::of(
        "bind-address-hard-fail",
        &["bindAddressHardFail"],
        Slot::Bool(|flags| &mut flags.config.bind_address_hard_fail),
        "Exit when a server cannot listen.",
    ),
    Flag::of(
        "profiling",
        &["enableProfiling"],
        Slot::Bool(|flags| &mut flags.config.enable_profiling),
        "Serve /debug with the metrics.",
    ),
    Flag::of(
        "show-hidden-metrics-for-version",
        &["showHiddenMetricsForVersion"],
        Slot::Text(|flags| &mut flags.config.show_hidden_metrics_for_version),
        "The release before this one, to have the metrics that it still had.",
    ),
    Flag::of(
        "detect-local-mode",
        &["detectLocalMode"],
        Slot::Text(|flags| &mut flags.config.detect_local_mode),
        "How traffic of local pods is told from other traffic: ClusterCIDR, NodeCIDR, BridgeInterface or \
         InterfaceNamePrefix.",
    ),
    Flag::of(
        "cluster-cidr",
        &["clusterCIDR"],
        Slot::Text(|flags| &mut flags.config.cluster_cidr),
        "The addresses of the cluster's pods, one network for each IP family, separated by commas.",
    ),
    Flag::of(
        "pod-bridge-interface",
        &["detectLocal.bridgeInterface"],
        Slot::Text(|flags| &mut flags.config.detect_local.bridge_interface),
        "The bridge that local pods are behind (with --detect-local-mode BridgeInterface).",
    ),
    Flag::of(
        "pod-interface-name-prefix",
        &["detectLocal.interfaceNamePrefix"],
        Slot::Text(|flags| &mut flags.config.detect_local.interface_name_prefix),
        "How the interfaces of local pods begin (with --detect-local-mode InterfaceNamePrefix).",
    ),
    Flag::of(
        "nodeport-addresses",
        &["nodePortAddresses"],
        Slot::List(|flags| &mut flags.config.node_port_addresses),
        "Where node ports answer: networks, primary (the addresses of the Node object), localhost, all. Nothing means \
         primary in nftables mode, and all in iptables mode.",
    ),
    Flag::of(
        "masquerade-all",
        &["nftables.masqueradeAll", "iptables.masqueradeAll"],
        Slot::Bool(|flags| &mut flags.other.masquerade_all),
        "Masquerade all traffic to cluster IPs.",
    ),
    Flag::of(
        "iptables-masquerade-bit",
        &["iptables.masqueradeBit"],
        Slot::Int(|flags| flags.config.iptables.masquerade_bit.get_or_insert_default()),
        "The bit of the packet mark, 0 to 31, that asks for masquerading in iptables and ipvs mode, and where no mode \
         is given.",
    ),
    Flag::of(
        "iptables-localhost-nodeports",
        &["iptables.localhostNodePorts"],
        Slot::Bool(|flags| {
            flags
                .config
                .iptables
                .localhost_node_ports
                .get_or_insert_default()
        }),
        "Whether node ports answer on the IPv4 localhost in iptables mode, where --nodeport-addresses holds it.",
    ),
    Flag::of(
        "iptables-sync-period",
        &["nftables.syncPeriod", "iptables.syncPeriod"],
        Slot::Duration(|flags| &mut flags.other.iptables_sync_period),
        "The longest time until a sync that failed is tried again, in every mode but ipvs.",
    ),
    Flag::of(
        "iptables-min-sync-period",
        &["nftables.minSyncPeriod", "iptables.minSyncPeriod"],
        Slot::Duration(|flags| &mut flags.other.iptables_min_sync_period),
        "The least time between two syncs, in every mode but ipvs.",
    ),
    Flag::of(
        "ipvs-sync-period",
        &["ipvs.syncPeriod"],
        Slot::Duration(|flags| &mut flags.other.ipvs_sync_period),
        "The longest time until a sync that failed is tried again, in ipvs mode.",
    ),
    Flag::of(
        "ipvs-min-sync-period",
        &["ipvs.minSyncPeriod"],
        Slot::Duration(|flags| &mut flags.other.ipvs_min_sync_period),
        "The least time between two syncs, in ipvs mode.",
    ),
    Flag::of(
        "ipvs-scheduler",
        &["ipvs.scheduler"],
        Slot::Text(|flags| &mut flags.config.ipvs.scheduler),
        "Who chooses an endpoint in ipvs mode where a Service has no annotation fairlead.dev/scheduler: rr, wrr, lc, wlc, \
         lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf; empty means rr.",
    ),
    Flag::of(
        "ipvs-exclude-cidrs",
        &["ipvs.excludeCIDRs"],
        Slot::List(|flags| &mut flags.config.ipvs.exclude_cidrs),
        "Networks whose virtual servers ipvs mode leaves alone.",
    ),
    Flag::of(
        "ipvs-strict-arp",
        &["ipvs.strictARP"],
        Slot::Bool(|flags| &mut flags.config.ipvs.strict_arp),
        "Do not answer ARP for addresses of Services, in ipvs mode.",
    ),
    Flag::of(
        "ipvs-tcp-timeout",
        &["ipvs.tcpTimeout"],
        Slot::Duration(|flags| &mut flags.config.ipvs.tcp_timeout),
        "How long ipvs mode remembers an idle TCP connection; 0 leaves the kernel's value.",
    ),
    Flag::of(
        "ipvs-tcpfin-timeout",
        &["ipvs.tcpFinTimeout"],
        Slot::Duration(|flags| &mut flags.config.ipvs.tcp_fin_timeout),
        "How long after a FIN; 0 leaves the kernel's value.",
    ),
    Flag::of(
        "ipvs-udp-timeout",
        &["ipvs.udpTimeout"],
        Slot::Duration(|flags| &mut flags.config.ipvs.udp_timeout),
        "How long ipvs mode remembers a UDP client; 0 leaves the kernel's value.",
    ),
];

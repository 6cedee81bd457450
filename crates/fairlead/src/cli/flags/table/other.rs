//! Flags about files and what to do at all, our own, and those that never count.

use super::{Flag, Slot, Standing};

const WINDOWS_ALONE: &str = "it is for Windows";
const NOT_SINCE_126: &str = "kube-proxy 1.25 was the last to have it; logs go to standard error";
const FEW_REQUESTS: &str = "the API is sent a few requests, and less when it fails";

/// Fairlead's own.
pub(super) static OURS: [Flag; 10] = [
    Flag::new(
        "manifests",
        Slot::Text(|flags| &mut flags.other.manifests),
        "A YAML or JSON file, or a folder of them, with Services, EndpointSlices, Nodes and ServiceCIDRs to follow \
         instead of the Kubernetes API.",
    )
    .standing(Standing::Always),
    Flag::new(
        "once",
        Slot::Bool(|flags| &mut flags.other.once),
        "Program the rules once and exit. They stay.",
    )
    .standing(Standing::Always),
    Flag::new(
        "sync-period",
        Slot::Duration(|flags| &mut flags.other.sync_period),
        "The longest time until a sync that failed is tried again, whatever the mode.",
    )
    .standing(Standing::Always),
    Flag::new(
        "min-sync-period",
        Slot::Duration(|flags| &mut flags.other.min_sync_period),
        "The least time between two syncs, whatever the mode; a change on a quiet node is programmed at once.",
    )
    .standing(Standing::Always),
    Flag::new(
        "startup-taint",
        Slot::Text(|flags| &mut flags.other.startup_taint),
        "The key of a taint to remove from this node's Node object after the first sync.",
    )
    .standing(Standing::Always),
    Flag::new(
        "traffic-counters",
        Slot::Bool(|flags| &mut flags.other.traffic_counters),
        "Count packets, bytes and connections of each Service, in nftables mode.",
    )
    .standing(Standing::Always),
    Flag::new(
        "metrics-max-services",
        Slot::Int(|flags| &mut flags.other.metrics_max_services),
        "How many Services may have metrics of their own, in nftables and userspace mode.",
    )
    .standing(Standing::Always),
    Flag::of(
        "nftables-masquerade-bit",
        &["nftables.masqueradeBit"],
        Slot::Int(|flags| flags.config.nftables.masquerade_bit.get_or_insert_default()),
        "The bit of the packet mark, 0 to 31, that asks for masquerading in nftables mode.",
    ),
    Flag::new(
        "iptables-variant",
        Slot::Text(|flags| &mut flags.other.iptables_variant),
        "Which of the kernel's two iptables is written in iptables mode: nft, legacy, or auto for the one that has \
         rules already, or else that of the program iptables.",
    )
    .standing(Standing::Always),
    Flag::new(
        "ipvs-fallback",
        Slot::Text(|flags| &mut flags.other.ipvs_fallback),
        "The mode that runs where ipvs mode is asked for and the kernel has no IPVS: nftables, iptables, or none to end \
         with an error instead.",
    )
    .standing(Standing::Always),
];

/// What `fairlead render` takes besides.
pub(super) static RENDER: [Flag; 1] = [Flag::new(
    "format",
    Slot::Text(|flags| &mut flags.other.format),
    "text, which `nft -f` loads, or json, as of libnftables-json(5).",
)
.standing(Standing::Always)];

/// Where the configuration is, where the API is, and what to do at all.
pub(super) static FILES: [Flag; 12] = [
    Flag::new(
        "config",
        Slot::Text(|flags| &mut flags.other.config),
        "The configuration file. It is read again when it changes.",
    )
    .standing(Standing::Always),
    Flag::new(
        "write-config-to",
        Slot::Text(|flags| &mut flags.other.write_config_to),
        "Write the configuration as it would be used to this file, and exit.",
    )
    .standing(Standing::Always),
    Flag::new(
        "cleanup",
        Slot::Bool(|flags| &mut flags.other.cleanup),
        "Remove all rules, and exit.",
    )
    .standing(Standing::Always),
    Flag::new(
        "init-only",
        Slot::Bool(|flags| &mut flags.other.init_only),
        "Do what needs all of root's privileges, and exit. CAP_NET_ADMIN will do for the rest.",
    )
    .standing(Standing::Always),
    Flag::of(
        "feature-gates",
        &["featureGates"],
        Slot::Gates(|flags| &mut flags.config.feature_gates),
        "Features to turn on and off.",
    ),
    Flag::of(
        "kubeconfig",
        &["clientConnection.kubeconfig"],
        Slot::Text(|flags| &mut flags.config.client_connection.kubeconfig),
        "The kubeconfig file. With neither this nor --master the pod's own service account is used.",
    ),
    Flag::new(
        "master",
        Slot::Text(|flags| &mut flags.other.master),
        "The address of the API server; counts more than the kubeconfig's.",
    )
    .standing(Standing::Always),
    Flag::of(
        "kube-api-content-type",
        &["clientConnection.contentType"],
        Slot::Text(|flags| &mut flags.config.client_connection.content_type),
        "",
    )
    .standing(Standing::Never("the API is always asked for JSON")),
    Flag::of(
        "kube-api-qps",
        &["clientConnection.qps"],
        Slot::Float(|flags| &mut flags.config.client_connection.qps),
        "",
    )
    .standing(Standing::Never(FEW_REQUESTS)),
    Flag::of(
        "kube-api-burst",
        &["clientConnection.burst"],
        Slot::Int(|flags| &mut flags.config.client_connection.burst),
        "",
    )
    .standing(Standing::Never(FEW_REQUESTS)),
    Flag::of(
        "config-sync-period",
        &["configSyncPeriod"],
        Slot::Duration(|flags| &mut flags.config.config_sync_period),
        "",
    )
    .standing(Standing::Never(
        "watches lose nothing that listing again would find",
    )),
    Flag::of(
        "hostname-override",
        &["hostnameOverride"],
        Slot::Text(|flags| &mut flags.other.hostname_override),
        "The name of this node's Node object, if it is not the host's name.",
    )
    .standing(Standing::Always),
];

/// For another system.
pub(super) static WINDOWS: [Flag; 6] = [
    Flag::of(
        "network-name",
        &["winkernel.networkName"],
        Slot::Text(|flags| &mut flags.config.winkernel.network_name),
        "",
    )
    .standing(Standing::Never(WINDOWS_ALONE)),
    Flag::of(
        "source-vip",
        &["winkernel.sourceVip"],
        Slot::Text(|flags| &mut flags.config.winkernel.source_vip),
        "",
    )
    .standing(Standing::Never(WINDOWS_ALONE)),
    Flag::of(
        "enable-dsr",
        &["winkernel.enableDSR"],
        Slot::Bool(|flags| &mut flags.config.winkernel.enable_dsr),
        "",
    )
    .standing(Standing::Never(WINDOWS_ALONE)),
    Flag::of(
        "root-hnsendpoint-name",
        &["winkernel.rootHnsEndpointName"],
        Slot::Text(|flags| &mut flags.config.winkernel.root_hns_endpoint_name),
        "",
    )
    .standing(Standing::Never(WINDOWS_ALONE)),
    Flag::of(
        "forward-healthcheck-vip",
        &["winkernel.forwardHealthCheckVip"],
        Slot::Bool(|flags| &mut flags.config.winkernel.forward_health_check_vip),
        "",
    )
    .standing(Standing::Never(WINDOWS_ALONE)),
    Flag::of(
        "windows-service",
        &["windowsRunAsService"],
        Slot::Bool(|flags| &mut flags.config.windows_run_as_service),
        "",
    )
    .standing(Standing::Never(WINDOWS_ALONE)),
];

/// Taken because command lines have them.
pub(super) static PAST: [Flag; 18] = [
    Flag::never(
        "boot-id-file",
        Slot::Nowhere("string", "/proc/sys/kernel/random/boot_id"),
        "nothing here asks for the boot's id",
    ),
    Flag::never(
        "machine-id-file",
        Slot::Nowhere("string", "/etc/machine-id,/var/lib/dbus/machine-id"),
        "nothing here asks for the machine's id",
    ),
    Flag::never("add-dir-header", Slot::Nowhere("", "false"), NOT_SINCE_126),
    Flag::never("alsologtostderr", Slot::Nowhere("", "false"), NOT_SINCE_126),
    Flag::never(
        "log-backtrace-at",
        Slot::Nowhere("string", ""),
        NOT_SINCE_126,
    ),
    Flag::never("log-dir", Slot::Nowhere("string", ""), NOT_SINCE_126),
    Flag::never("log-file", Slot::Nowhere("string", ""), NOT_SINCE_126),
    Flag::never(
        "log-file-max-size",
        Slot::Nowhere("uint", "1800"),
        NOT_SINCE_126,
    ),
    Flag::never("logtostderr", Slot::Nowhere("", "true"), NOT_SINCE_126),
    Flag::never("one-output", Slot::Nowhere("", "false"), NOT_SINCE_126),
    Flag::never("skip-headers", Slot::Nowhere("", "false"), NOT_SINCE_126),
    Flag::never(
        "skip-log-headers",
        Slot::Nowhere("", "false"),
        NOT_SINCE_126,
    ),
    Flag::never(
        "stderrthreshold",
        Slot::Nowhere("severity", "2"),
        NOT_SINCE_126,
    ),
    Flag::never(
        "cleanup-iptables",
        Slot::Nowhere("", "false"),
        "--cleanup took its place",
    ),
    Flag::never(
        "cleanup-ipvs",
        Slot::Nowhere("", "true"),
        "--cleanup never leaves anything",
    ),
    Flag::never(
        "conntrack-max",
        Slot::Nowhere("int32", "0"),
        "--conntrack-max-per-core and --conntrack-min took its place",
    ),
    Flag::never(
        "masquerade-bit",
        Slot::Nowhere("int32", "14"),
        "--iptables-masquerade-bit took its place",
    ),
    Flag::never(
        "resource-container",
        Slot::Nowhere("string", "/kube-proxy"),
        "a container has its limits from its pod",
    ),
];

//! What kube-proxy's ipvs mode leaves behind is removed, and nothing else.

use std::fmt::Write as _;
use std::process::Command;

use fairlead_kernel::netns::Netns;
use libtest_mimic::Failed;

use crate::rig::FAIRLEAD;

/// Each name of a set with its type, but for `KUBE-` or `KUBE-6-`, as kube-proxy makes them.
const SETS: [(&str, &str); 17] = [
    ("LOOP-BACK", "hash:ip,port,ip"),
    ("CLUSTER-IP", "hash:ip,port"),
    ("EXTERNAL-IP", "hash:ip,port"),
    ("EXTERNAL-IP-LOCAL", "hash:ip,port"),
    ("LOAD-BALANCER", "hash:ip,port"),
    ("LOAD-BALANCER-FW", "hash:ip,port"),
    ("LOAD-BALANCER-LOCAL", "hash:ip,port"),
    ("LOAD-BALANCER-SOURCE-IP", "hash:ip,port,ip"),
    ("LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net"),
    ("NODE-PORT-TCP", "bitmap:port"),
    ("NODE-PORT-LOCAL-TCP", "bitmap:port"),
    ("NODE-PORT-UDP", "bitmap:port"),
    ("NODE-PORT-LOCAL-UDP", "bitmap:port"),
    ("NODE-PORT-SCTP-HASH", "hash:ip,port"),
    ("NODE-PORT-LOCAL-SCTP-HASH", "hash:ip,port"),
    ("HEALTH-CHECK-NODE-PORT", "bitmap:port"),
    ("IPVS-IPS", "hash:ip"),
];

/// The virtual servers of two Services and a node port, and others': one in a network of theirs,
/// and one of a packet mark.
const SERVERS: &str = "\
-A -t 10.96.0.1:443 -s rr
-A -t 10.96.80.1:80 -s rr
-a -t 10.96.80.1:80 -r 10.244.1.130:8080 -m -w 1
-a -t 10.96.80.1:80 -r 10.244.2.5:8080 -m -w 1
-A -t 192.0.2.10:30800 -s rr
-a -t 192.0.2.10:30800 -r 10.244.1.130:8080 -m -w 1
-A -u [fd00:10:96::8003]:53 -s rr
-a -u [fd00:10:96::8003]:53 -r [fd00:10:244:2::12]:5353 -m -w 1
-A -t 203.0.113.5:80 -s wlc
-a -t 203.0.113.5:80 -r 203.0.113.9:80 -m -w 3
-A -f 7 -s rr
";

/// What of it is others'.
const OTHERS: [&str; 3] = [
    "-A -t 203.0.113.5:80 -s wlc",
    "-a -t 203.0.113.5:80 -r 203.0.113.9:80 -m -w 3",
    "-A -f 7 -s rr",
];

/// kube-proxy's rules, without those that say the same of another set.
const RULES: &str = r#"*nat
:KUBE-LOAD-BALANCER - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODE-PORT -p tcp -m set --match-set {}NODE-PORT-TCP dst -j KUBE-MARK-MASQ
-A KUBE-POSTROUTING -m set --match-set {}LOOP-BACK dst,dst,src -j MASQUERADE
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-SERVICES -m set --match-set {}CLUSTER-IP dst,dst -j KUBE-MARK-MASQ
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT
-A KUBE-SERVICES -m set --match-set {}CLUSTER-IP dst,dst -j ACCEPT
COMMIT
*filter
:KUBE-FORWARD - [0:0]
:KUBE-IPVS-FILTER - [0:0]
:KUBE-IPVS-OUT-FILTER - [0:0]
:KUBE-NODE-PORT - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
:KUBE-SOURCE-RANGES-FIREWALL - [0:0]
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER
-A INPUT -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-A INPUT -m comment --comment "kubernetes health check rules" -j KUBE-NODE-PORT
-A FORWARD -m comment --comment "kube-proxy firewall rules" -j KUBE-PROXY-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A OUTPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-OUT-FILTER
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A KUBE-IPVS-FILTER -m set --match-set {}CLUSTER-IP dst,dst -j RETURN
-A KUBE-IPVS-FILTER -m conntrack --ctstate NEW -m set --match-set {}IPVS-IPS dst -j REJECT
-A KUBE-NODE-PORT -m set --match-set {}HEALTH-CHECK-NODE-PORT dst -j ACCEPT
-A KUBE-SOURCE-RANGES-FIREWALL -j DROP
COMMIT
"#;

pub(crate) fn of_ipvs_go() -> Result<(), Failed> {
    for variant in ["nft", "legacy"] {
        Netns::anonymous()?.run(|| all_goes(variant))??;
        Netns::anonymous()?.run(|| goes_without_exclusions(variant))??;
    }
    Netns::anonymous()?.run(without_the_device_ipvs_is_not_touched)?
}

/// With the configuration that kube-proxy had, `kube-proxy --cleanup` leaves what it calls others'.
fn all_goes(variant: &str) -> Result<(), Failed> {
    leave(variant)?;
    let cleanup = format!(
        "{FAIRLEAD} kube-proxy --proxy-mode=ipvs --cleanup --ipvs-exclude-cidrs=203.0.113.0/24"
    );
    let told = said(&cleanup)?;
    for place in ["sets of ipvs mode", "virtual servers", "device kube-ipvs0"] {
        assert!(told.contains(place), "{place}: {told}");
    }
    nothing_is_left(variant)?;
    let left = said("ipvsadm -Sn")?;
    let mut left: Vec<_> = left.lines().map(str::trim).collect();
    let mut others = OTHERS;
    left.sort_unstable();
    others.sort_unstable();
    assert_eq!(left, others, "{variant}");
    let again = said(&cleanup)?;
    assert_eq!(again, "there is nothing of fairlead to remove\n");
    Ok(())
}

fn goes_without_exclusions(variant: &str) -> Result<(), Failed> {
    leave(variant)?;
    said(&format!("{FAIRLEAD} cleanup"))?;
    nothing_is_left(variant)?;
    assert_eq!(said("ipvsadm -Sn")?.trim(), "-A -f 7 -s rr");
    Ok(())
}

/// Then no mode of kube-proxy's or ours made what is in IPVS.
fn without_the_device_ipvs_is_not_touched() -> Result<(), Failed> {
    leave("nft")?;
    said("ip link del kube-ipvs0")?;
    let before = said("ipvsadm -Sn")?;
    said(&format!("{FAIRLEAD} cleanup"))?;
    assert_eq!(said("ipvsadm -Sn")?, before);
    Ok(())
}

/// Makes what kube-proxy leaves, and a set of another program's.
fn leave(variant: &str) -> Result<(), Failed> {
    let mut script = String::from("set -e; ip link set lo up; ip link add kube-ipvs0 type dummy\n");
    for address in ["10.96.0.1/32", "10.96.80.1/32", "fd00:10:96::8003/128"] {
        writeln!(script, "ip addr add {address} dev kube-ipvs0")?;
    }
    for (family, of, program) in [
        ("KUBE-", "inet", "iptables"),
        ("KUBE-6-", "inet6", "ip6tables"),
    ] {
        for (name, kind) in SETS {
            let mut name = format!("{family}{name}");
            name.truncate(31);
            let rest = match kind {
                "bitmap:port" => "range 0-65535".to_owned(),
                _ => format!("family {of} hashsize 1024 maxelem 65536"),
            };
            writeln!(script, "ipset create {name} {kind} {rest}")?;
        }
        let rules = RULES.replace("{}", family);
        writeln!(script, "{program}-{variant}-restore <<'END'\n{rules}END")?;
    }
    writeln!(script, "ipset add KUBE-CLUSTER-IP 10.96.80.1,tcp:80")?;
    writeln!(script, "ipset create others hash:ip")?;
    writeln!(script, "ipvsadm -R <<'END'\n{SERVERS}END")?;
    said(&script)?;
    assert_eq!(said("ipset list -n")?.lines().count(), 2 * SETS.len() + 1);
    Ok(())
}

fn nothing_is_left(variant: &str) -> Result<(), Failed> {
    for program in ["iptables", "ip6tables"] {
        let rules = said(&format!("{program}-{variant}-save"))?;
        assert!(!rules.contains("KUBE-"), "{rules}");
    }
    assert_eq!(said("ipset list -n")?, "others\n");
    assert!(!said("ip link")?.contains("kube-ipvs0"));
    Ok(())
}

/// What a script says, which must succeed.
fn said(script: &str) -> Result<String, Failed> {
    let output = Command::new("sh").args(["-c", script]).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("{script}: {output:?}").into()),
    }
}

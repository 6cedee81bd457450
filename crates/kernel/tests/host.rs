//! Kernel parameters and features, as the real kernel has them in a namespace of its own.

mod privilege;

use fairlead_kernel::features::{Features, NFTABLES_MINIMUM, NoNfTables};
use fairlead_kernel::netns::Netns;
use fairlead_kernel::sysctl::{ProcSys, Sysctls};

const FORWARD: &str = "net/ipv4/ip_forward";

#[test]
fn parameters_of_the_network_are_those_of_the_namespace() {
    if !privilege::is_root() {
        return;
    }
    let outside = ProcSys.read(FORWARD).unwrap();
    let netns = Netns::anonymous().unwrap();
    netns
        .run(|| {
            ProcSys.write(FORWARD, "0").unwrap();
            ProcSys.write(FORWARD, "1").unwrap();
            assert_eq!(ProcSys.read(FORWARD).unwrap(), "1");
            let refused = ProcSys.write(FORWARD, "nonsense").unwrap_err();
            assert_eq!(refused.errno, libc::EINVAL, "{refused}");
        })
        .unwrap();
    assert_eq!(ProcSys.read(FORWARD).unwrap(), outside);
}

#[test]
fn features_are_those_of_the_namespace() {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let (with, without) = netns
        .run(|| {
            let with = Features::probe(&ProcSys);
            ProcSys
                .write("net/ipv6/conf/all/disable_ipv6", "1")
                .unwrap();
            (with, Features::probe(&ProcSys))
        })
        .unwrap();
    assert!(with.ipv6 && !without.ipv6, "{with:?} {without:?}");
    assert!(with.version.unwrap() >= NFTABLES_MINIMUM, "{with:?}");
    assert!(with.net_admin);
    assert_eq!(with.nf_tables, Ok(()));
}

#[test]
fn without_the_right_the_features_say_so() {
    if !privilege::is_root() {
        return;
    }
    let netns = Netns::anonymous().unwrap();
    let features = netns
        .run(|| {
            privilege::give_up_capabilities();
            Features::probe(&ProcSys)
        })
        .unwrap();
    assert!(!features.net_admin);
    assert!(
        matches!(features.nf_tables, Err(NoNfTables::NotPermitted(_))),
        "{features:?}"
    );
}

//! Counters by name, in the kernel.

mod privilege;

use std::net::UdpSocket;
use std::process::Command;

use fairlead_kernel::netns::Netns;
use fairlead_kernel::nfacct::{Counts, Nfacct};

/// Works in a new network namespace, if the kernel counts by name.
fn in_namespace(work: impl FnOnce(Nfacct) + Send) {
    if !privilege::is_root() {
        return;
    }
    let work = || {
        let mut nfacct = Nfacct::open().unwrap();
        if nfacct.is_supported().unwrap() {
            work(nfacct);
        } else {
            eprintln!("skipped: this kernel has no nfnetlink_acct");
        }
    };
    Netns::anonymous().unwrap().run(work).unwrap();
}

fn run(words: &str) {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

#[test]
fn a_counter_is_made_once_and_read_and_deleted() {
    in_namespace(|mut nfacct| {
        assert_eq!(nfacct.read("seen").unwrap(), None);
        nfacct.ensure("seen").unwrap();
        nfacct.ensure("seen").unwrap();
        assert_eq!(nfacct.read("seen").unwrap(), Some(Counts::default()));
        nfacct.delete("seen").unwrap();
        nfacct.delete("seen").unwrap();
        assert_eq!(nfacct.read("seen").unwrap(), None);
    });
}

#[test]
fn names_have_one_to_31_bytes() {
    in_namespace(|mut nfacct| {
        let name = "n".repeat(31);
        nfacct.ensure(&name).unwrap();
        assert!(nfacct.read(&name).unwrap().is_some());
        for bad in ["", &(name + "n")] {
            let error = nfacct.ensure(bad).unwrap_err();
            assert!(
                [libc::EINVAL, libc::ERANGE].contains(&error.errno),
                "{error}"
            );
        }
    });
}

#[test]
fn rules_count_in_it_and_keep_it() {
    in_namespace(|mut nfacct| {
        nfacct.ensure("seen").unwrap();
        run("ip link set lo up");
        run("iptables-legacy -w -A OUTPUT -p udp -m nfacct --nfacct-name seen");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..3 {
            socket.send_to(&[0; 12], "127.0.0.1:9").unwrap();
        }
        // The headers of IP and UDP have 28 bytes.
        let expected = Counts {
            packets: 3,
            bytes: 3 * 40,
        };
        assert_eq!(nfacct.read("seen").unwrap(), Some(expected));
        nfacct.ensure("seen").unwrap();
        assert_eq!(nfacct.read("seen").unwrap(), Some(expected));
        assert_eq!(nfacct.delete("seen").unwrap_err().errno, libc::EBUSY);
        run("iptables-legacy -w -F OUTPUT");
        nfacct.delete("seen").unwrap();
        assert_eq!(nfacct.read("seen").unwrap(), None);
    });
}

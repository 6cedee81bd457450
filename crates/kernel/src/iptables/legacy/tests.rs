//! Programs that are old, that hang, and that find the lock taken: scripts that stand for them.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use rustix::fs::FlockOperation;

use super::tools::Version;
use super::*;
use crate::iptables::handle::ApplyError;
use crate::iptables::ruleset::{Op, Table};
use crate::netns::Netns;

const NAT: TableId = TableId {
    family: Family::Ip,
    table: Table::Nat,
};

/// A folder of scripts, which goes with this value.
struct Scripts(PathBuf);

impl Scripts {
    fn new(name: &str, scripts: &[(&str, &str)]) -> Scripts {
        let folder = format!("fairlead-iptables-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).unwrap();
        for (name, script) in scripts {
            let file = folder.join(name);
            fs::write(&file, format!("#!/bin/sh\nexport LC_ALL=C\n{script}\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Scripts(folder)
    }

    fn tools(&self) -> Result<Tools, CallError> {
        Tools::find_in(Family::Ip, self.0.as_os_str())
    }

    fn open(&self, limit: Duration) -> LegacyIptables {
        let side = Side {
            family: Family::Ip,
            tools: self.tools().unwrap(),
            info: TableInfo::open(Family::Ip).unwrap(),
        };
        LegacyIptables {
            sides: vec![side],
            ours: |_| true,
            left: HashMap::new(),
            limit,
        }
    }
}

impl Drop for Scripts {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SAVE: (&str, &str) = ("iptables-save", "exec iptables-legacy-save \"$@\"");

/// A program that says its version and then does something.
fn versioned(said: &str, then: &str) -> String {
    format!("[ \"$1\" = --version ] && {{ echo 'iptables-restore {said}'; exit; }}\n{then}")
}

fn one_chain() -> [Batch; 1] {
    let ops = vec![Op::Create("new".into())];
    [Batch { table: NAT, ops }]
}

#[test]
fn versions_and_variants_are_told_apart() {
    for (said, version, random_fully) in [
        ("v1.8.9 (legacy)", Version(1, 8, 9), true),
        ("v1.6.2", Version(1, 6, 2), true),
        ("v1.6.1", Version(1, 6, 1), false),
        ("v1.10", Version(1, 10, 0), true),
    ] {
        let restore = versioned(said, "");
        let scripts = Scripts::new(said, &[("iptables-restore", &restore), SAVE]);
        let tools = scripts.tools().unwrap();
        assert_eq!(
            (tools.version, tools.random_fully()),
            (version, random_fully)
        );
        // Whoever knows the question of the version can wait, too.
        assert!(tools.waits);
    }
}

#[test]
fn the_other_variant_alone_is_not_enough_but_stands_in_nobodys_way() {
    let nft = versioned("v1.8.9 (nf_tables)", "");
    let legacy = versioned("v1.8.9 (legacy)", "");
    let scripts = [("iptables-restore", &*nft), SAVE];
    let error = Scripts::new("nft", &scripts).tools().unwrap_err();
    assert_eq!(error.errno, libc::ENOENT);
    assert!(error.to_string().contains("install"), "{error}");
    let more = [
        scripts[0],
        SAVE,
        ("iptables-legacy-restore", &*legacy),
        ("iptables-legacy-save", ""),
    ];
    let scripts = Scripts::new("both", &more);
    let restore = scripts.tools().unwrap().restore;
    assert_eq!(restore, scripts.0.join("iptables-legacy-restore"));
}

#[test]
fn an_old_program_is_run_without_waiting_under_both_locks() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    // As 1.4.21 did: it knows no version, takes the first word for a file, and no `-w`.
    let restore = "case \"$*\" in *version*) exit 1;; *-w*) echo 'what is -w?' >&2; exit 2;; esac\n\
        grep -q @xtables /proc/net/unix || { echo 'no socket' >&2; exit 2; }\n\
        flock -n /run/xtables.lock true && { echo 'no lock' >&2; exit 2; }\n\
        # The one that stands in for it takes a lock of its own accord.\n\
        export XTABLES_LOCKFILE=$0.lock; exec iptables-legacy-restore \"$@\"";
    let version = versioned("v1.4.21", "");
    let scripts = [("iptables-restore", restore), ("iptables", &*version), SAVE];
    let scripts = Scripts::new("old", &scripts);
    let in_netns = || {
        let mut old = scripts.open(LIMIT);
        assert!(!old.random_fully());
        old.apply(&one_chain()).unwrap();
        let observed = old.observe(NAT).unwrap().unwrap();
        assert_eq!(observed.chains.concat(), "new");
        // The lock's file is the whole machine's; the socket is this namespace's.
        let (family, kind) = (
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
        );
        let socket = rustix::net::socket(family, kind, None).unwrap();
        let address = rustix::net::SocketAddrUnix::new_abstract_name(b"xtables").unwrap();
        rustix::net::bind(&socket, &address).unwrap();
        let error = old.apply(&one_chain()).unwrap_err();
        assert!(error.to_string().contains("@xtables"), "{error}");
    };
    Netns::anonymous().unwrap().run(in_netns).unwrap();
}

#[test]
fn a_lock_that_another_program_keeps_is_told_with_what_to_do() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    let restore = "export XTABLES_LOCKFILE=$(dirname \"$0\")/lock\n\
        [ \"$*\" = '--noflush --counters -w 5' ] && set -- --noflush --counters -w 1\n\
        exec iptables-legacy-restore \"$@\"";
    let scripts = Scripts::new("held", &[("iptables-restore", restore), SAVE]);
    let held = File::create(scripts.0.join("lock")).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    let in_netns = || scripts.open(LIMIT).apply(&one_chain()).unwrap_err();
    let error = Netns::anonymous().unwrap().run(in_netns).unwrap();
    let ApplyError::Program { said, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        said.contains("Stopped waiting after 1s") && said.contains("fuser"),
        "{said}"
    );
}

#[test]
fn programs_that_hang_are_killed_and_the_limit_is_told() {
    let hangs = versioned("v1.8.9 (legacy)", "sleep 600");
    let scripts = [
        ("iptables-restore", &*hangs),
        ("iptables-save", "sleep 600"),
    ];
    let scripts = Scripts::new("hangs", &scripts);
    let mut legacy = scripts.open(Duration::from_secs(1));
    let error = legacy.apply(&one_chain()).unwrap_err();
    assert!(
        error.to_string().contains("within 1 s and was killed"),
        "{error}"
    );
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped in part: needs root");
        return;
    }
    let in_netns = || {
        let legacy = scripts.open(Duration::from_secs(1));
        assert!(legacy.save(NAT).unwrap().is_none());
        TableInfo::open(Family::Ip)
            .unwrap()
            .size(NAT.table)
            .unwrap();
        legacy.save(NAT).unwrap_err()
    };
    let error = Netns::anonymous().unwrap().run(in_netns).unwrap();
    assert_eq!(error.errno, libc::ETIMEDOUT);
    let said = error.to_string();
    assert!(said.contains("within 1 s and was killed"), "{said}");
}

#[test]
fn what_is_not_one_line_is_refused_and_nothing_runs() {
    let never = versioned("v1.8.9 (legacy)", "exit 9");
    let scripts = Scripts::new("lines", &[("iptables-restore", &*never), SAVE]);
    let mut legacy = scripts.open(LIMIT);
    let ops = ["good", "a\nCOMMIT", "a\0b"].map(|name| Op::Create(name.into()));
    let [good, lines, nul] = ops;
    for bad in [lines, nul] {
        let ops = vec![good.clone(), bad];
        let result = legacy.apply(&[Batch { table: NAT, ops }]);
        let Err(ApplyError::Refused(refusal)) = result else {
            panic!("{result:?}")
        };
        assert_eq!((refusal.batch, refusal.op), (0, 1));
    }
}

/// As Debian's alternatives have it.
#[test]
fn what_iptables_is_follows_from_what_it_is_a_link_to() {
    for (program, is_legacy) in [
        ("xtables-legacy-multi", true),
        ("xtables-multi", true),
        ("xtables-nft-multi", false),
        ("iptables-wrapper", false),
    ] {
        let scripts = Scripts::new(&format!("link-{program}"), &[(program, "")]);
        let folder = &scripts.0;
        symlink(folder.join(program), folder.join("alternative")).unwrap();
        symlink(folder.join("alternative"), folder.join("iptables")).unwrap();
        let is = tools::is_what_iptables_is_in(folder.as_os_str());
        assert_eq!(is, is_legacy, "{program}");
    }
    let nothing = Scripts::new("link-nothing", &[]);
    assert!(!tools::is_what_iptables_is_in(nothing.0.as_os_str()));
}

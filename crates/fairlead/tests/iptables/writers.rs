//! Programs that write their own rules while Fairlead writes its.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;
use std::{fs, io};

use fairlead_core::address::Family;
use fairlead_lab::Lab;
use fairlead_lab::iptables::Variant;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::objects::{service, slice};
use crate::rig::{Folder, Mode, Proxy};
use crate::rules::Rules;
use crate::tests;
use crate::watch::on_node;

tests! {
    no_rule_is_lost_while_two_programs_write,
}

/// So many changes of Services and endpoints.
const CHANGES: usize = 300;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(15);

/// Adds rules to chains that all programs share, and takes every other away again. `$1` is the
/// program, `$2` a file that is there as long as it is to go on, `$3` where it says what stays.
const ONE_BY_ONE: &str = r#"
n=0
"$1" -w -t nat -N OTHER-CHAIN
while [ -e "$2" ]; do
    n=$((n + 1))
    "$1" -w -t nat -A OTHER-CHAIN -m comment --comment "other own $n" -j RETURN
    for place in "nat PREROUTING" "nat POSTROUTING" "nat OUTPUT" "filter FORWARD" "filter INPUT"; do
        set -- "$1" "$2" "$3" $place
        "$1" -w -t "$4" -A "$5" -p tcp --dport 9 -m comment --comment "other $4 $n" -j ACCEPT
        if [ $((n % 2)) = 0 ]; then
            "$1" -w -t "$4" -D "$5" -p tcp --dport 9 -m comment --comment "other $4 $n" -j ACCEPT
        else
            echo "$4 $5 other $4 $n" >>"$3"
        fi
    done
    echo "nat OTHER-CHAIN other own $n" >>"$3"
done
"#;

/// The same by whole tables, with a chain that is written anew each time.
const BY_TABLES: &str = r#"
n=0
while [ -e "$2" ]; do
    n=$((n + 1))
    "$1-restore" -w --noflush <<END
*nat
:OTHER-TABLES - [0:0]
-A OTHER-TABLES -m comment --comment "other tables $n" -j RETURN
-I PREROUTING -p udp --dport 9 -m comment --comment "other before $n" -j OTHER-TABLES
COMMIT
*filter
-A OUTPUT -p udp --dport 9 -m comment --comment "other after $n" -j ACCEPT
COMMIT
END
    echo "nat PREROUTING other before $n" >>"$3"
    echo "filter OUTPUT other after $n" >>"$3"
done
echo "nat OTHER-TABLES other tables $n" >>"$3"
"#;

fn no_rule_is_lost_while_two_programs_write(variant: Variant) -> Result<(), Failed> {
    let lab = Lab::new()?;
    let mut folder = Folder::new(&[])?;
    let flags = ["--min-sync-period=0s".to_owned()];
    let mut proxy = Proxy::start_in(Mode::Iptables(variant), &lab, &folder, &flags)?;
    proxy.settle(&mut folder)?;
    let dir = TempDir::new()?;
    fs::write(dir.path().join("go-on"), "")?;
    let writers = [("one-by-one", ONE_BY_ONE), ("by-tables", BY_TABLES)];
    let writers =
        writers.map(|(name, script)| Writer::start(&lab, variant, dir.path(), name, script));
    change(&mut folder)?;
    fs::remove_file(dir.path().join("go-on"))?;
    for writer in writers {
        writer?
            .end()
            .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    }
    proxy.settle(&mut folder)?;
    all_is_there(&lab, variant, dir.path())
        .map_err(|error| proxy.failed(error.message().unwrap_or_default()))?;
    let found = Rules::without(&lab, variant, &["OTHER", "\"other "])?;
    let differences = found.differences(&Rules::fresh(variant, &folder, "")?);
    match differences.is_empty() {
        true => proxy.end(Signal::SIGTERM),
        false => Err(proxy.failed(&differences)),
    }
}

/// Another program.
struct Writer {
    child: Child,
    name: &'static str,
}

impl Writer {
    fn start(
        lab: &Lab,
        variant: Variant,
        dir: &Path,
        name: &'static str,
        script: &str,
    ) -> Result<Writer, Failed> {
        let mut command = Command::new("sh");
        command
            .args(["-euc", script, name, &variant.program(Family::V4)])
            .args([dir.join("go-on"), dir.join(name)])
            .stderr(Stdio::piped());
        let child = lab.node().run(|| command.spawn())??;
        Ok(Writer { child, name })
    }

    /// Waits for its end, which has to be a good one.
    fn end(self) -> Result<(), Failed> {
        let output = self.child.wait_with_output()?;
        match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                Err(format!("{}: {}\n{said}", self.name, output.status).into())
            }
        }
    }
}

/// Services come, go and get other endpoints.
fn change(folder: &mut Folder) -> Result<(), Failed> {
    for n in 0..CHANGES {
        let (name, host) = (format!("web{}", n % 20), n % 20 + 1);
        match n / 20 % 3 {
            0 => {
                let spec = json!({
                    "type": "NodePort", "clusterIP": format!("10.96.30.{host}"),
                    "ports": [{"port": 80, "nodePort": 30300 + host}],
                });
                folder.apply(&service(&name, &spec))?;
            }
            1 => {
                let addresses = [1, 2, 3].map(|m| format!("10.244.2.{}", (n + m) % 200 + 1));
                let addresses = addresses.each_ref().map(String::as_str);
                folder.apply(&slice(&name, "TCP", 8080, &addresses))?;
            }
            _ => folder.delete(&format!("Service {name}"))?,
        }
        sleep(PAUSE);
    }
    Ok(())
}

/// Whether each rule that another program says it has left is there once, and no other of theirs.
fn all_is_there(lab: &Lab, variant: Variant, dir: &Path) -> Result<(), Failed> {
    let mut expected: Vec<String> = Vec::new();
    for name in ["one-by-one", "by-tables"] {
        let text = fs::read_to_string(dir.join(name)).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
        expected.extend(text.lines().map(str::to_owned));
    }
    let mut found = Vec::new();
    for table in ["nat", "filter"] {
        let program = variant.program(Family::V4);
        let saved = on_node(lab, &format!("{program}-save -t {table}"))?;
        found.extend(saved.lines().filter_map(|line| {
            let (rule, comment) = line.strip_prefix("-A ")?.split_once("--comment \"other")?;
            let (chain, comment) = (rule.split(' ').next()?, comment.split('"').next()?);
            Some(format!("{table} {chain} other{comment}"))
        }));
    }
    expected.sort();
    found.sort();
    let missing: Vec<_> = expected
        .iter()
        .filter(|rule| !found.contains(rule))
        .collect();
    let too_much: Vec<_> = found
        .iter()
        .filter(|rule| !expected.contains(rule))
        .collect();
    if expected.len() < 20 {
        return Err(format!("the others wrote {} rules", expected.len()).into());
    }
    match expected == found {
        true => Ok(()),
        false => Err(format!("missing: {missing:?}\ntoo much: {too_much:?}").into()),
    }
}

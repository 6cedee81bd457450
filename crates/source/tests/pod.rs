//! In a pod: the server that the environment names, and the service account that is mounted.
//!
//! Both are the process's own, and the mount is always in the same place. So what listens is a
//! process in namespaces of its own, and this program once more.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead_core::api::{Change, Kind};
use fairlead_kernel::error::CallError;
use fairlead_kernel::link::Rtnetlink;
use fairlead_kernel::netns;
use fairlead_lab::api_server::ApiServer;
use fairlead_source::cluster::{Access, Cluster, Wanted};
use libtest_mimic::{Arguments, Failed, Trial};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

/// Where a pod has its service account. `/var/run` is `/run`, and that is ours alone.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The argument by which this program listens.
const LISTEN: &str = "listen";

/// How long one who listens waits for more.
const PATIENCE: Duration = Duration::from_mins(1);

type Test = (&'static str, fn() -> Result<(), Failed>);

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(LISTEN) {
        return listen();
    }
    let mut arguments = Arguments::from_args();
    // There is one place for a service account.
    arguments.test_threads = Some(1);
    // Before there is a second thread.
    let allowed = private().map_err(|error| format!("{error}; {}", netns::USER_NAMESPACE_HINT));
    let tests: [Test; 3] = [
        (
            "a_pod_listens_by_its_service_account",
            a_pod_listens_by_its_service_account,
        ),
        (
            "without_a_service_account_it_is_said_what_is_missing",
            without_a_service_account_it_is_said_what_is_missing,
        ),
        (
            "outside_of_a_cluster_it_is_said_what_to_give",
            outside_of_a_cluster_it_is_said_what_to_give,
        ),
    ];
    let trial = |(name, test): Test| {
        let allowed = allowed.clone();
        Trial::test(name, move || {
            allowed?;
            test()
        })
    };
    libtest_mimic::run(&arguments, tests.map(trial).into()).exit_code()
}

fn private() -> Result<(), CallError> {
    netns::become_root_in_private()?;
    Rtnetlink::open()?.set_up("lo")
}

/// Says each Service that it is told of in a line, and as the last why there are no more.
fn listen() -> ExitCode {
    let wanted = Wanted {
        node_name: "node-1".to_owned(),
    };
    let mut cluster = match Cluster::open(&Access::default(), wanted, Arc::new(|_| ())) {
        Ok(cluster) => cluster,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut told = Instant::now();
    while told.elapsed() < PATIENCE {
        let mut fds = [PollFd::new(cluster.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::from(100_u8));
        let news = cluster.changes(&mut |change| {
            told = Instant::now();
            match change {
                Change::Service(service) => println!("{}", service.name),
                Change::Synced(Kind::Service) => println!("synced"),
                _ => {}
            }
        });
        for news in news {
            println!("{news}");
        }
    }
    println!("nothing more was told");
    ExitCode::FAILURE
}

/// One who listens. It ends with this value.
struct Pod {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Pod {
    /// Starts one to which the server of its cluster is named, if there is one.
    fn start(server: Option<&ApiServer>) -> Result<Pod, Failed> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(LISTEN).stdout(Stdio::piped());
        command.env_remove("KUBERNETES_SERVICE_HOST");
        command.env_remove("KUBERNETES_SERVICE_PORT");
        if let Some(server) = server {
            let address = server.address();
            command.env("KUBERNETES_SERVICE_HOST", address.ip().to_string());
            command.env("KUBERNETES_SERVICE_PORT", address.port().to_string());
        }
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let lines = BufReader::new(output).lines();
        Ok(Pod { child, lines })
    }

    /// Reads until a line has this in it.
    fn until(&mut self, part: &str) -> Result<String, Failed> {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line?;
            if line.contains(part) {
                return Ok(line);
            }
            seen.push(line);
        }
        Err(format!("no {part:?} in {seen:#?}").into())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that wants to know who asks.
fn guarded() -> Result<ApiServer, Failed> {
    let server = ApiServer::builder().tls().authenticate().start()?;
    apply(&server, "web")?;
    Ok(server)
}

fn apply(server: &ApiServer, name: &str) -> Result<(), Failed> {
    server.apply(&json!({
        "kind": "Service",
        "metadata": { "name": name, "namespace": "shop" },
        "spec": { "clusterIP": "10.96.0.1", "ports": [{ "port": 80 }] },
    }))?;
    Ok(())
}

/// Mounts, as the kubelet does, what a pod needs to know of a server.
fn mount(server: &ApiServer) -> Result<(), Failed> {
    let account = Path::new(ACCOUNT);
    fs::create_dir_all(account)?;
    fs::copy(server.authority(), account.join("ca.crt"))?;
    fs::write(account.join("namespace"), "kube-system")?;
    fs::write(account.join("token"), server.token())?;
    Ok(())
}

fn a_pod_listens_by_its_service_account() -> Result<(), Failed> {
    let server = guarded()?;
    mount(&server)?;
    let mut pod = Pod::start(Some(&server))?;
    pod.until("shop/web")?;
    pod.until("synced")?;
    // The kubelet replaces the token long before it expires; here it comes late.
    server.expire_token();
    server.reset_connections();
    pod.until("who we are is not accepted")?;
    fs::write(Path::new(ACCOUNT).join("token"), server.token())?;
    apply(&server, "late")?;
    pod.until("shop/late")?;
    Ok(())
}

fn without_a_service_account_it_is_said_what_is_missing() -> Result<(), Failed> {
    let server = guarded()?;
    let _ = fs::remove_dir_all(ACCOUNT);
    let line = Pod::start(Some(&server))?.until("")?;
    assert!(line.contains("with a service account"), "{line}");
    assert!(line.contains("No such file or directory"), "{line}");
    Ok(())
}

fn outside_of_a_cluster_it_is_said_what_to_give() -> Result<(), Failed> {
    let line = Pod::start(None)?.until("")?;
    assert!(line.contains("give --kubeconfig or --master"), "{line}");
    assert!(line.contains("KUBERNETES_SERVICE_HOST"), "{line}");
    Ok(())
}

//! Who we are, and which server: kubeconfigs, tokens, certificates, plugins.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use fairlead_lab::api_server::{ApiServer, Credentials};
use fairlead_source::cluster::{Access, Cluster, ClusterError, Patience, Wanted};
use serde_json::{Value, json};

use crate::ear::{Ear, NODE, PATIENCE, quick};
use crate::objects::{furnish, service};

/// What must not be told.
const SECRET: &str = "c2VjcmV0";

fn guarded() -> ApiServer {
    let server = ApiServer::builder().tls().authenticate().start().unwrap();
    furnish(&server);
    server
}

fn open(access: &Access) -> Result<Cluster, ClusterError> {
    let wanted = Wanted {
        node_name: NODE.to_owned(),
    };
    Cluster::open(access, wanted, Arc::new(|_| ()))
}

#[test]
fn tls_with_an_authority_and_any_credentials() {
    let server = guarded();
    for credentials in [
        Credentials::Token,
        Credentials::TokenFile,
        Credentials::ClientCertificate,
        Credentials::ExecPlugin,
    ] {
        let kubeconfig = server.kubeconfig_with(credentials).unwrap();
        let mut ear = Ear::with(&kubeconfig, quick());
        ear.until_equal(&server);
        ear.until_synced();
        assert_eq!(ear.warnings(), [""; 0], "{credentials:?}");
    }
}

#[test]
fn a_token_that_changed_is_read_again() {
    for credentials in [Credentials::TokenFile, Credentials::ExecPlugin] {
        let server = guarded();
        let kubeconfig = server.kubeconfig_with(credentials).unwrap();
        let mut ear = Ear::with(&kubeconfig, quick());
        ear.until_equal(&server);
        ear.until_synced();
        server.expire_token();
        server.reset_connections();
        let news = ear.until_news("who we are is not accepted");
        assert!(
            news.text.contains("credentials are read again"),
            "{}",
            news.text
        );
        server.apply(&service("web", "10.96.3.3")).unwrap();
        server.publish_token().unwrap();
        ear.until_equal(&server);
        ear.until_news("services are watched again after ");
    }
}

#[test]
fn a_token_file_may_end_in_a_line_end() {
    let server = guarded();
    let kubeconfig = server.kubeconfig_with(Credentials::TokenFile).unwrap();
    fs::write(server.token_file(), format!("{}\n", server.token())).unwrap();
    let mut ear = Ear::with(&kubeconfig, quick());
    ear.until_equal(&server);
    server.expire_token();
    server.reset_connections();
    ear.until_news("who we are is not accepted");
    fs::write(server.token_file(), format!("{}\n", server.token())).unwrap();
    server.apply(&service("web", "10.96.3.3")).unwrap();
    ear.until_equal(&server);
}

#[test]
fn without_credentials_it_is_said_who_is_asked_for() {
    let server = guarded();
    let kubeconfig = server.kubeconfig_with(Credentials::None).unwrap();
    let mut ear = Ear::with(&kubeconfig, quick());
    ear.until("told", |ear| !ear.warnings().is_empty());
    assert!(!ear.is_synced(fairlead_core::api::Kind::Service));
    let text = ear.warnings()[0].to_owned();
    assert!(
        text.contains("who we are is not accepted") || text.contains("may not"),
        "{text}"
    );
}

#[test]
fn a_wrong_authority_is_told() {
    let server = guarded();
    let kubeconfig = server.kubeconfig_with_wrong_authority().unwrap();
    let mut ear = Ear::with(&kubeconfig, quick());
    let news = ear.until_news("cannot be reached: ");
    assert!(news.text.starts_with(&server.url()), "{}", news.text);
    assert!(
        news.text.contains("invalid peer certificate"),
        "{}",
        news.text
    );
    assert!(news.text.contains("check"), "{}", news.text);
}

#[test]
fn an_authority_that_is_replaced_is_read_again() {
    let server = guarded();
    let wrong = fs::read(server.kubeconfig_with_wrong_authority().unwrap()).unwrap();
    let right = fs::read(server.kubeconfig_with(Credentials::Token).unwrap()).unwrap();
    let kubeconfig = server.kubeconfig().with_file_name("replaced");
    fs::write(&kubeconfig, wrong).unwrap();
    let mut ear = Ear::with(&kubeconfig, quick());
    ear.until_news("invalid peer certificate");
    fs::write(&kubeconfig, right).unwrap();
    ear.until_equal(&server);
}

#[test]
fn a_plugin_that_fails_is_told_and_tried_again() {
    let server = guarded();
    let kubeconfig = server.kubeconfig_with(Credentials::ExecPlugin).unwrap();
    let text = fs::read_to_string(&kubeconfig).unwrap();
    let broken = kubeconfig.with_file_name("broken");
    fs::write(&broken, text.replace("\"cat\"", "\"false\"")).unwrap();
    let mut ear = Ear::with(&broken, quick());
    ear.until_news("the exec plugin of the kubeconfig failed (exit status: 1)");
    fs::write(&broken, text).unwrap();
    ear.until_equal(&server);
}

#[test]
fn what_is_wrong_with_credentials_is_told_without_them() {
    let server = guarded();
    let kubeconfig = server.kubeconfig_with(Credentials::ExecPlugin).unwrap();
    let mut config: Value = serde_json::from_slice(&fs::read(&kubeconfig).unwrap()).unwrap();
    let exec = &mut config["users"][0]["user"]["exec"];
    exec["command"] = json!("sh");
    exec["env"] = json!([{"name": "KEY", "value": SECRET}]);
    let failing = kubeconfig.with_file_name("failing");
    for (script, part) in [
        (
            "echo \"token: $KEY\"; echo no luck >&2; exit 3",
            "(exit status: 3): no luck",
        ),
        ("echo \"{status: {token: $KEY\"", "is no ExecCredential"),
    ] {
        config["users"][0]["user"]["exec"]["args"] = json!(["-c", script]);
        fs::write(&failing, config.to_string()).unwrap();
        let mut ear = Ear::with(&failing, quick());
        let text = ear.until_news("the exec plugin of the kubeconfig").text;
        assert!(text.contains(part) && !text.contains(SECRET), "{text}");
    }
    let typo = kubeconfig.with_file_name("typo");
    let text = format!("users:\n- name: a\n  user:\n    token: {SECRET}\n   tokenFile: 7\n");
    fs::write(&typo, text).unwrap();
    let access = Access {
        kubeconfig: Some(typo),
        master: None,
        patience: Patience::default(),
    };
    let error = open(&access).unwrap_err().to_string();
    assert!(error.contains("line 5"), "{error}");
    assert!(!error.contains(SECRET), "{error}");
}

#[test]
fn a_plugin_that_hangs_is_run_once_and_holds_up_no_end() {
    let server = guarded();
    let kubeconfig = server.kubeconfig_with(Credentials::ExecPlugin).unwrap();
    let [pipe, runs, hanging] = ["pipe", "runs", "hanging"].map(|n| kubeconfig.with_file_name(n));
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut config: Value = serde_json::from_slice(&fs::read(&kubeconfig).unwrap()).unwrap();
    let plugin = &mut config["users"][0]["user"]["exec"];
    plugin["command"] = json!("sh");
    plugin["args"] = json!(["-c", "echo >> \"$0\"; exec cat \"$1\"", runs, pipe]);
    fs::write(&hanging, config.to_string()).unwrap();
    let patience = Patience {
        plugin: Duration::from_millis(20),
        ..quick()
    };
    let mut ear = Ear::with(&hanging, patience);
    ear.until_news("the exec plugin of the kubeconfig has not answered within 20ms");
    // All four watches have given up by then, and some of them more than once.
    ear.listen_for(Duration::from_millis(200));
    // Opens when there is a reader, and ends the plugin when it is dropped.
    let answer = fs::File::options().write(true).open(&pipe).unwrap();
    assert_eq!(fs::read_to_string(&runs).unwrap(), "\n");
    let (ended, end) = channel();
    thread::spawn(move || {
        drop(ear);
        ended.send(())
    });
    end.recv_timeout(PATIENCE).unwrap();
    drop(answer);
}

#[test]
fn a_master_alone_is_spoken_to_plainly() {
    let server = ApiServer::start().unwrap();
    furnish(&server);
    for master in [server.url(), server.address().to_string()] {
        let access = Access {
            kubeconfig: None,
            master: Some(master),
            patience: quick(),
        };
        let mut ear = Ear::by(&access);
        assert_eq!(ear.cluster.server(), server.url());
        ear.until_equal(&server);
    }
}

#[test]
fn a_master_is_spoken_to_instead_of_the_kubeconfigs_server() {
    let server = guarded();
    let text = fs::read_to_string(server.kubeconfig()).unwrap();
    let elsewhere = server.kubeconfig().with_file_name("elsewhere");
    fs::write(
        &elsewhere,
        text.replace(&server.url(), "https://192.0.2.1:6443"),
    )
    .unwrap();
    let access = Access {
        kubeconfig: Some(elsewhere),
        master: Some(server.url()),
        patience: quick(),
    };
    let mut ear = Ear::by(&access);
    ear.until_equal(&server);
}

#[test]
fn a_server_that_is_not_there_is_told_by_its_address() {
    let access = Access {
        kubeconfig: None,
        // Port 1 of loopback: tcpmux, which nobody runs.
        master: Some("http://127.0.0.1:1".to_owned()),
        patience: quick(),
    };
    let mut ear = Ear::by(&access);
    let news = ear.until_news("cannot be reached");
    assert_eq!(
        news.text,
        "http://127.0.0.1:1 cannot be reached: Connection refused (os error 111); what was heard last stays, trying again"
    );
    ear.listen_for(Duration::from_millis(300));
    assert_eq!(ear.warnings().len(), 1, "told once: {ear:?}");
}

#[test]
fn configurations_that_lead_nowhere_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let context = "contexts: [{name: a, context: {cluster: a, user: a}}]";
    let server = "clusters: [{name: a, cluster: {server: 'https://192.0.2.1:6443'}}]";
    let cases = [
        (
            folder.path().join("none"),
            "none cannot be read: No such file or directory (os error 2)",
        ),
        (
            write("typo", "{clusters: 7}"),
            "typo does not lead to a cluster: ",
        ),
        (write("empty", "{}"), "current-context is not set"),
        (
            write("nowhere", "current-context: a"),
            "failed to load current context: a",
        ),
        (
            write("clusterless", &format!("current-context: a\n{context}")),
            "failed to load the cluster of context: a",
        ),
        (
            write(
                "userless",
                &format!("current-context: a\n{context}\n{server}"),
            ),
            "the context a names the user a, and there is no such user",
        ),
        (
            write(
                "caless",
                &format!(
                    "current-context: a\n{context}\nusers: [{{name: a, user: {{}}}}]\n{}",
                    server.replace("}}]", ", certificate-authority: /nowhere/ca.crt}}]")
                ),
            ),
            "/nowhere/ca.crt",
        ),
        (
            write(
                "tokenless",
                &format!(
                    "current-context: a\n{context}\n{server}\nusers: [{{name: a, user: {{tokenFile: /nowhere/token}}}}]"
                ),
            ),
            "/nowhere/token",
        ),
        (
            write(
                "keyless",
                &format!(
                    "current-context: a\n{context}\n{server}\nusers: [{{name: a, user: {{client-certificate: /nowhere/client.crt, client-key: /nowhere/client.key}}}}]"
                ),
            ),
            "/nowhere/client",
        ),
    ];
    for (path, part) in cases {
        let access = Access {
            kubeconfig: Some(path.clone()),
            master: None,
            patience: Patience::default(),
        };
        let error = open(&access).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
    }
}

#[test]
fn masters_that_are_no_servers_are_refused() {
    for master in ["ftp://192.0.2.1", "https://", "not a url"] {
        let access = Access {
            kubeconfig: None,
            master: Some(master.to_owned()),
            patience: Patience::default(),
        };
        let error = open(&access).expect_err(master).to_string();
        assert!(
            error.contains("is not the URL of a server: write it like"),
            "{error}"
        );
    }
}

//! TLS, certificates, tokens and the files that clients find them in.

use std::fs;
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fairlead_lab::api_server::{ApiServer, Credentials, Fault, On, Resource, Verb};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{Answer, Client, PATIENCE};

const SERVICES: &str = "/api/v1/services";

/// Connects as a kubeconfig says.
fn connect(server: &ApiServer, kubeconfig: &Path) -> io::Result<Client> {
    let config = read(kubeconfig);
    let (cluster, user) = (
        &config["clusters"][0]["cluster"],
        &config["users"][0]["user"],
    );
    assert_eq!(cluster["server"], server.url());
    let mut roots = RootCertStore::empty();
    let authority = cluster["certificate-authority"].as_str().unwrap();
    roots
        .add(CertificateDer::from_pem_file(authority).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match user["client-certificate"].as_str() {
        Some(certificate) => {
            let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
            let key = user["client-key"].as_str().unwrap();
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::from(server.address().ip());
    let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let stream = TcpStream::connect(server.address())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(Client::over(StreamOwned::new(tls, stream)))
}

fn read(kubeconfig: &Path) -> Value {
    serde_json::from_slice(&fs::read(kubeconfig).unwrap()).unwrap()
}

fn with_token(client: Client, token: &str) -> Answer {
    let token = format!("Authorization: Bearer {token}");
    client.ask("GET", SERVICES, &[&token], "").unwrap()
}

#[test]
fn tls_is_spoken_and_the_authority_counts() {
    let server = ApiServer::builder().tls().start().unwrap();
    let mut answer = connect(&server, server.kubeconfig())
        .unwrap()
        .get("/livez")
        .unwrap();
    assert_eq!(answer.body().unwrap(), b"ok");
    let wrong = server.kubeconfig_with_wrong_authority().unwrap();
    let refused = connect(&server, &wrong)
        .unwrap()
        .get("/livez")
        .err()
        .unwrap();
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

#[test]
fn who_shows_nothing_is_unauthorized() {
    let server = ApiServer::builder().tls().authenticate().start().unwrap();
    let without = server.kubeconfig_with(Credentials::None).unwrap();
    let mut answer = connect(&server, &without).unwrap().get(SERVICES).unwrap();
    assert_eq!(answer.status, 401);
    let status = answer.json();
    assert_eq!(
        (&status["message"], &status["reason"]),
        (&json!("Unauthorized"), &json!("Unauthorized"))
    );
    let certified = server
        .kubeconfig_with(Credentials::ClientCertificate)
        .unwrap();
    assert_eq!(
        connect(&server, &certified)
            .unwrap()
            .get(SERVICES)
            .unwrap()
            .status,
        200
    );
}

#[test]
fn a_token_is_good_until_there_is_another() {
    let server = ApiServer::builder().authenticate().start().unwrap();
    let ask = |token: &str| with_token(Client::to(&server).unwrap(), token).status;
    let in_file = || fs::read_to_string(server.token_file()).unwrap();
    let first = in_file();
    assert_eq!((ask(&first), ask("other")), (200, 401));
    server.expire_token();
    assert_eq!((in_file(), ask(&first)), (first, 401));
    server.publish_token().unwrap();
    let second = in_file();
    assert_eq!(ask(&second), 200);
    server.rotate_token().unwrap();
    assert_eq!((ask(&second), ask(&in_file())), (401, 200));
}

#[test]
fn every_kubeconfig_leads_to_the_token() {
    let server = ApiServer::builder().authenticate().start().unwrap();
    let user = |path: &Path| read(path)["users"][0]["user"].clone();
    assert_eq!(user(server.kubeconfig())["token"], server.token());
    let file = user(&server.kubeconfig_with(Credentials::TokenFile).unwrap());
    let plugin = user(&server.kubeconfig_with(Credentials::ExecPlugin).unwrap());
    server.rotate_token().unwrap();
    let file = fs::read_to_string(file["tokenFile"].as_str().unwrap()).unwrap();
    assert_eq!(file, server.token());
    let arguments = plugin["exec"]["args"].as_array().unwrap();
    let output = Command::new(plugin["exec"]["command"].as_str().unwrap())
        .args(arguments.iter().map(|argument| argument.as_str().unwrap()))
        .output()
        .unwrap();
    let credential: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(credential["kind"], "ExecCredential");
    assert_eq!(credential["status"]["token"], server.token());
}

#[test]
fn rights_can_be_missing() {
    let server = ApiServer::builder().authenticate().start().unwrap();
    server.fail(
        On::verb(Verb::List).of(Resource::EndpointSlices),
        Fault::Forbidden,
    );
    let token = format!("Authorization: Bearer {}", server.token());
    let ask = |path: &str| {
        Client::to(&server)
            .unwrap()
            .ask("GET", path, &[&token], "")
            .unwrap()
    };
    let mut refused = ask("/apis/discovery.k8s.io/v1/endpointslices");
    assert_eq!(refused.status, 403);
    let refused = refused.json();
    assert_eq!(refused["reason"], "Forbidden");
    assert_eq!(
        refused["message"],
        "endpointslices.discovery.k8s.io is forbidden: User \
         \"system:serviceaccount:kube-system:kube-proxy\" cannot list resource \"endpointslices\" \
         in API group \"discovery.k8s.io\" at the cluster scope"
    );
    assert_eq!(ask(SERVICES).status, 200);
}

#[test]
fn files_go_with_the_server() {
    let server = ApiServer::start().unwrap();
    let kubeconfig = server.kubeconfig().to_owned();
    assert!(kubeconfig.exists());
    drop(server);
    assert!(!kubeconfig.exists());
}

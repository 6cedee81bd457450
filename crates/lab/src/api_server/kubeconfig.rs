//! Files by which a client finds the server and shows who it is.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ApiServerError;
use super::tls::Certificates;

/// How a client shows who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// Not at all.
    None,
    /// By a token in the kubeconfig.
    Token,
    /// By a token in a file of its own, as pods have it.
    TokenFile,
    /// By a certificate. Needs TLS.
    ClientCertificate,
    /// By what a program prints.
    ExecPlugin,
}

/// A folder with the files of one server. Gone when dropped.
pub(super) struct Files {
    folder: TempDir,
    url: String,
    tls: bool,
}

impl Files {
    pub(super) fn new(
        url: String,
        token: &str,
        certificates: Option<&Certificates>,
    ) -> Result<Files, ApiServerError> {
        let folder = tempfile::tempdir().map_err(failed(&std::env::temp_dir()))?;
        let files = Files {
            folder,
            url,
            tls: certificates.is_some(),
        };
        files.write_token(token)?;
        if let Some(certificates) = certificates {
            files.write("ca.crt", &certificates.authority)?;
            files.write("other-ca.crt", &certificates.stranger)?;
            files.write("client.crt", &certificates.client.certificate)?;
            files.write("client.key", &certificates.client.key)?;
        }
        Ok(files)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes what clients read again: the file with the token, and what the program prints.
    pub(super) fn write_token(&self, token: &str) -> Result<(), ApiServerError> {
        self.write("token", token)?;
        let credential = json!({
            "apiVersion": "client.authentication.k8s.io/v1",
            "kind": "ExecCredential",
            "status": {"token": token},
        });
        self.write("credential.json", &credential.to_string())
            .map(drop)
    }

    /// Writes a kubeconfig, in which `authority` is said to vouch for the server.
    pub(super) fn kubeconfig(
        &self,
        name: &str,
        authority: &str,
        user: &Value,
    ) -> Result<PathBuf, ApiServerError> {
        let mut cluster = json!({"server": self.url});
        if self.tls {
            cluster["certificate-authority"] = text(&self.path(authority));
        }
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        });
        // Every JSON text is YAML.
        self.write(name, &format!("{config:#}"))
    }

    /// What a kubeconfig says of the user.
    pub(super) fn user(&self, credentials: Credentials, token: &str) -> Value {
        match credentials {
            Credentials::None => json!({}),
            Credentials::Token => json!({"token": token}),
            Credentials::TokenFile => json!({"tokenFile": text(&self.path("token"))}),
            Credentials::ClientCertificate => json!({
                "client-certificate": text(&self.path("client.crt")),
                "client-key": text(&self.path("client.key")),
            }),
            Credentials::ExecPlugin => json!({"exec": {
                "apiVersion": "client.authentication.k8s.io/v1",
                "command": "cat",
                "args": [text(&self.path("credential.json"))],
                "interactiveMode": "Never",
            }}),
        }
    }

    fn write(&self, name: &str, content: &str) -> Result<PathBuf, ApiServerError> {
        // In one step, for a client may be reading it.
        let (path, new) = (self.path(name), self.path(".new"));
        fs::write(&new, content).map_err(failed(&new))?;
        fs::rename(&new, &path).map_err(failed(&path))?;
        Ok(path)
    }
}

fn text(path: &Path) -> Value {
    path.to_string_lossy().into_owned().into()
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> ApiServerError {
    |error| ApiServerError::File {
        path: path.to_owned(),
        error,
    }
}

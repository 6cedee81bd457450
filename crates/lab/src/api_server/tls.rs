//! Certificates: an authority of the server's own, the server's, a client's, and an authority that
//! has nothing to do with it.

use std::net::IpAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::ApiServerError;

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// All that is needed to serve and to be a client.
pub(super) struct Certificates {
    /// Who vouches for the server and for the client.
    pub(super) authority: String,
    /// Who vouches for neither.
    pub(super) stranger: String,
    pub(super) client: Pair,
    pub(super) acceptor: TlsAcceptor,
}

impl Certificates {
    /// Makes them, the server's for this address and for loopback.
    pub(super) fn new(address: IpAddr) -> Result<Certificates, ApiServerError> {
        let authority = authority("Kubernetes test authority")?;
        let mut names = vec!["localhost", "127.0.0.1", "::1", "kubernetes.default.svc"];
        let address = address.to_string();
        names.push(&address);
        let server = ExtendedKeyUsagePurpose::ServerAuth;
        let (certificate, key) = issue("kube-apiserver", &names, server, &authority)?;
        let acceptor = acceptor(certificate.der().clone(), &key, authority.der().clone())?;
        let client = ExtendedKeyUsagePurpose::ClientAuth;
        let (certificate, key) = issue(super::CERTIFIED_USER, &[], client, &authority)?;
        Ok(Certificates {
            authority: authority.pem(),
            stranger: self::authority("Another authority")?.pem(),
            client: Pair {
                certificate: certificate.pem(),
                key: key.serialize_pem(),
            },
            acceptor,
        })
    }
}

fn authority(name: &str) -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new([])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn issue(
    name: &str,
    names: &[&str],
    purpose: ExtendedKeyUsagePurpose,
    authority: &CertifiedIssuer<'_, KeyPair>,
) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, authority)?, key))
}

/// A client may show a certificate, and need not.
fn acceptor(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    authority: CertificateDer<'static>,
) -> Result<TlsAcceptor, ApiServerError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| ApiServerError::Verifier(error.to_string()))?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key.into())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

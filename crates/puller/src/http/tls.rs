//! TLS towards one upstream: whose certificates are trusted, and which certificate is shown.

use std::{collections::HashMap, fmt, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;

use super::certificates::{self, Certificates};
use crate::{Config, Error};

/// The configurations of TLS for one upstream.
pub(super) struct Tls {
    /// `None` on a machine without system certificates, for an upstream that needs none.
    verified: Option<Arc<ClientConfig>>,
    /// Endpoints with certificates of their own, by host and port.
    endpoints: HashMap<String, Arc<ClientConfig>>,
    unverified: Arc<ClientConfig>,
}

impl Tls {
    pub(super) fn new(config: &Config) -> Result<Self, Error> {
        let provider = match (&config.crypto_provider, CryptoProvider::get_default()) {
            (Some(given), _) => Arc::clone(given),
            (None, Some(installed)) => Arc::clone(installed),
            (None, None) => Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        };
        let ca = config.ca.as_deref().map(certificates::read_ca);
        let ca = ca.transpose()?.unwrap_or_default();
        let shared = Certificates {
            ca,
            client: config.client_certificate.clone(),
        };
        let mut endpoints = HashMap::new();
        for endpoint in &config.endpoints {
            let host = certificates::host(endpoint.url());
            let own = Certificates::of_host(&config.certs_dirs, &host)?;
            let own = own.unwrap_or_default().or(&shared);
            if !own.is_empty() {
                let tls = client(&provider, own.ca, own.client)?;
                endpoints.insert(host, Arc::new(tls));
            }
        }
        let is_plain = config.endpoints.iter().all(|e| e.url().scheme() == "http");
        // What an endpoint points to sees no certificate of ours.
        let verified = match client(&provider, shared.ca, None) {
            Ok(tls) => Some(Arc::new(tls)),
            Err(_) if is_plain || !endpoints.is_empty() => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            verified,
            endpoints,
            unverified: Arc::new(unverified(&provider, config)?),
        })
    }

    /// For an endpoint itself, `host` with its port.
    pub(super) fn endpoint(&self, host: &str) -> Option<Arc<ClientConfig>> {
        let found = self.endpoints.get(host).or(self.verified.as_ref());
        found.map(Arc::clone)
    }

    /// For what an endpoint points to.
    pub(super) fn pointed(&self) -> Option<Arc<ClientConfig>> {
        self.verified.as_ref().map(Arc::clone)
    }

    /// Takes any certificate.
    pub(super) fn unverified(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.unverified)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    ca: Vec<CertificateDer<'static>>,
    client: Option<certificates::Client>,
) -> Result<ClientConfig, Error> {
    let unusable = |error: rustls::Error| Error::Config {
        key: "ca",
        problem: "no usable certificates",
        source: Some(Arc::new(error)),
    };
    let chains = Verifier::new_with_extra_roots(ca.iter().cloned(), Arc::clone(provider));
    let verifier = Named {
        chains: Arc::new(chains.map_err(unusable)?),
        named: ca,
    };
    finish(provider, Arc::new(verifier), client)
}

fn unverified(provider: &Arc<CryptoProvider>, config: &Config) -> Result<ClientConfig, Error> {
    let verifier = Unverified(
        provider
            .signature_verification_algorithms
            .supported_schemes(),
    );
    let client = config.client_certificate.clone();
    finish(provider, Arc::new(verifier), client)
}

fn finish(
    provider: &Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    client: Option<certificates::Client>,
) -> Result<ClientConfig, Error> {
    let unusable = |key, problem| {
        move |error: rustls::Error| Error::Config {
            key,
            problem,
            source: Some(Arc::new(error)),
        }
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable("crypto_provider", "no version of tls"))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut tls = match client {
        Some(client) => builder
            .with_client_auth_cert(client.chain, client.key.clone_key())
            .map_err(unusable("client_certificate", "not usable with its key"))?,
        None => builder.with_no_client_auth(),
    };
    // One connection of HTTP/2 is slower for blobs, and its windows bind all of them together.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

/// Trusts chains that end at an authority of the system or of `ca`, and beside them the certificates of `ca` themselves, as
/// OpenSSL and Go do: a server may show one that signed itself.
#[derive(Debug)]
struct Named {
    chains: Arc<dyn ServerCertVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.chains.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match verified {
            Err(error) if has_no_chain(&error) && self.named.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

/// Whether only the chain was found missing: webpki looks at the validity of the certificate itself first.
fn has_no_chain(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => true,
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            matches!(
                cause.downcast_ref::<webpki::Error>(),
                Some(webpki::Error::CaUsedAsEndEntity)
            )
        }
        _ => false,
    }
}

/// Takes any certificate: for insecure endpoints.
#[derive(Debug)]
struct Unverified(Vec<SignatureScheme>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

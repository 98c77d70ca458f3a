//! TLS by rustls, with the meanings that libpq gives to `sslmode`.
//!
//! `require`, `prefer` and `allow` encrypt and verify nothing, but `require` with a root certificate is `verify-ca`.
//! `verify-ca` wants a chain to a root, `verify-full` the host's name besides. Sockets never use TLS.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::{TlsConnector, client};

use super::config::wrong;
use super::passfile::private;
use crate::error::{Error, Result};
use crate::model::nearest;

/// `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(super) enum Mode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

const MODES: [(&str, Mode); 6] = [
    ("disable", Mode::Disable),
    ("allow", Mode::Allow),
    ("prefer", Mode::Prefer),
    ("require", Mode::Require),
    ("verify-ca", Mode::VerifyCa),
    ("verify-full", Mode::VerifyFull),
];

impl Mode {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let names = MODES.map(|(name, _)| name);
        // As JDBC and libpq's URLs have `ssl`.
        let text = match text {
            "true" => "require",
            "false" => "disable",
            text => text,
        };
        MODES.iter().find(|(name, _)| *name == text).map(|(_, mode)| *mode).ok_or_else(|| {
            wrong(format!("unknown sslmode {text}")).with_hint(match nearest(text, &names) {
                Some(name) => format!("did you mean {name}?"),
                None => format!("known modes: {}", names.join(", ")),
            })
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        MODES.iter().find(|(_, mode)| *mode == self).map_or("prefer", |(name, _)| name)
    }

    /// What is tried on a server, in order. The driver's `Prefer` goes on without TLS where the server has none.
    pub(super) fn tries(self, socket: bool) -> &'static [SslMode] {
        match self {
            _ if socket => &[SslMode::Disable],
            Self::Disable => &[SslMode::Disable],
            Self::Allow => &[SslMode::Disable, SslMode::Require],
            Self::Prefer => &[SslMode::Prefer, SslMode::Disable],
            Self::Require | Self::VerifyCa | Self::VerifyFull => &[SslMode::Require],
        }
    }
}

/// What is said of TLS, before any file is read.
#[derive(Debug, Clone)]
pub(super) struct TlsSettings {
    pub(super) mode: Mode,
    /// A PEM file, or the word `system`.
    pub(super) root: Option<String>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    /// libpq's folder `~/.postgresql`, whose files are taken where they exist.
    pub(super) home: Option<PathBuf>,
}

impl TlsSettings {
    /// Reads the certificates. `None` where no TLS is wanted.
    ///
    /// # Errors
    /// Configuration: a file cannot be read, or holds nothing of use.
    pub(super) fn connector(&self) -> Result<Tls> {
        if self.mode == Mode::Disable {
            return Ok(Tls::default());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            Verifier { roots: self.roots()?, name: self.mode == Mode::VerifyFull, provider: provider.clone() };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| wrong(format!("TLS cannot be set up: {e}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match self.own()? {
            None => builder.with_no_client_auth(),
            Some((chain, key, file)) => builder.with_client_auth_cert(chain, key).map_err(|e| {
                wrong(format!("the client certificate {} cannot be used: {e}", file.display()))
                    .with_hint("sslcert and sslkey must be a pair")
            })?,
        };
        Ok(Tls { config: Some(Arc::new(config)), used: Arc::default() })
    }

    /// The roots to verify by; `None` where nothing is verified.
    fn roots(&self) -> Result<Option<Roots>> {
        let default = || self.home.as_ref().map(|home| home.join("root.crt")).filter(|file| file.exists());
        let file = match self.root.as_deref() {
            _ if self.mode < Mode::Require => return Ok(None),
            Some("system") => None,
            Some(file) => Some(PathBuf::from(file)),
            None => match default() {
                None if self.mode == Mode::Require => return Ok(None),
                file => file,
            },
        };
        let certificates = match &file {
            Some(file) => certificates("sslrootcert", file)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut store = RootCertStore::empty();
        // The system's store may hold a few that rustls does not take; a file of one's own may not.
        let (taken, refused) = store.add_parsable_certificates(certificates.iter().cloned());
        match &file {
            Some(file) if taken == 0 => {
                Err(wrong(format!("sslrootcert {}: {refused} certificates, none of use", file.display()))
                    .with_hint("it must be X.509 in PEM: -----BEGIN CERTIFICATE-----"))
            }
            None if taken == 0 => Err(wrong("the system has no root certificates")
                .with_hint("install them (Debian: ca-certificates), or give the authority's as sslrootcert=FILE")),
            _ => Ok(Some(Roots { store, certificates: if file.is_some() { certificates } else { Vec::new() } })),
        }
    }

    /// The client's own certificate and key.
    #[allow(clippy::type_complexity)]
    fn own(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>, PathBuf)>> {
        let home = |name: &str| self.home.as_ref().map(|home| home.join(name)).filter(|file| file.exists());
        let Some(file) = self.certificate.clone().or_else(|| home("postgresql.crt")) else {
            return Ok(None);
        };
        let key = self.key.clone().or_else(|| home("postgresql.key")).ok_or_else(|| {
            wrong(format!("the client certificate {} has no key", file.display())).with_hint("give it as sslkey=FILE")
        })?;
        let metadata = std::fs::metadata(&key).map_err(|e| unreadable("sslkey", &key, &e))?;
        if !private(&metadata) {
            return Err(wrong(format!("sslkey {} can be read by group or world", key.display()))
                .with_hint(format!("chmod 0600 {}", key.display())));
        }
        let text = std::fs::read(&key).map_err(|e| unreadable("sslkey", &key, &e))?;
        let parsed = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
            wrong(format!("sslkey {} holds no private key that can be read", key.display()))
                .with_hint("it must be PEM without a passphrase: `openssl pkey -in KEY -out PLAIN_KEY`")
        })?;
        Ok(Some((certificates("sslcert", &file)?, parsed, file)))
    }
}

fn unreadable(what: &str, file: &Path, error: &dyn std::fmt::Display) -> Error {
    wrong(format!("{what} {} cannot be read: {error}", file.display())).with_hint("check the path and its permissions")
}

fn certificates(what: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let text = std::fs::read(file).map_err(|e| unreadable(what, file, &e))?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<std::result::Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(wrong(format!("{what} {} holds no certificate in PEM", file.display()))
            .with_hint("it must hold -----BEGIN CERTIFICATE-----")),
    }
}

#[derive(Debug)]
struct Roots {
    store: RootCertStore,
    /// Those of a file: a server's own certificate may stand there, signed by itself.
    certificates: Vec<CertificateDer<'static>>,
}

#[derive(Debug)]
struct Verifier {
    roots: Option<Roots>,
    name: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    /// A certificate so old that rustls cannot read it, where nothing is verified anyway.
    fn unread(&self, certificate: &CertificateDer<'_>) -> bool {
        self.roots.is_none() && ParsedCertificate::try_from(certificate).is_err()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        use CertificateError as E;
        let Some(roots) = &self.roots else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        match verify_server_cert_signed_by_trust_anchor(&parsed, &roots.store, intermediates, now, algorithms) {
            // A certificate that is itself a root of the file: its dates are checked before its issuer is.
            Err(rustls::Error::InvalidCertificate(E::UnknownIssuer | E::Other(_)))
                if roots.certificates.iter().any(|root| **root == **certificate) => {}
            other => other?,
        }
        if self.name {
            verify_server_name(&parsed, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        if self.unread(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        if self.unread(certificate) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Makes TLS sessions for the driver.
#[derive(Debug, Clone, Default)]
pub(super) struct Tls {
    config: Option<Arc<ClientConfig>>,
    /// Whether the server took the offer of TLS.
    used: Arc<AtomicBool>,
}

impl Tls {
    /// The same for another attempt.
    pub(super) fn fresh(&self) -> Self {
        Self { config: self.config.clone(), used: Arc::default() }
    }

    pub(super) fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, host: &str) -> io::Result<Handshake> {
        Ok(Handshake { tls: self.clone(), host: host.to_string() })
    }
}

pub(super) struct Handshake {
    tls: Tls,
    host: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        self.tls.used.store(true, Ordering::Relaxed);
        Box::pin(async move {
            let config = self.tls.config.ok_or_else(|| io::Error::other("TLS is switched off"))?;
            let name = ServerName::try_from(self.host)
                .map_err(|_| io::Error::other("the host's name is none that a certificate can have"))?;
            Ok(Encrypted(TlsConnector::from(config).connect(name, stream).await?))
        })
    }
}

/// A connection under TLS.
pub(super) struct Encrypted<S>(client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Encrypted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Encrypted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let certificate = self.0.get_ref().1.peer_certificates().and_then(<[_]>::first);
        // Without its key proved (see `unread`) a certificate binds nothing.
        let bound = certificate.filter(|c| ParsedCertificate::try_from(*c).is_ok()).and_then(|c| end_point(c));
        bound.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

/// RFC 5929: the certificate's hash by the hash of its own signature, SHA-256 in the place of MD5 and SHA-1.
fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use ring::digest::{SHA256, SHA384, SHA512, digest};
    let (certificate_body, _) = element(certificate)?;
    let (_, rest) = element(certificate_body)?;
    let (algorithm, _) = element(rest)?;
    let (oid, _) = element(algorithm)?;
    // 1.2.840.113549.1.1.n is RSA, 1.2.840.10045.4.3.n ECDSA, 1.2.840.10045.4.1 ECDSA with SHA-1.
    let hash = match oid {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4 | 5 | 11] => &SHA256,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2] => &SHA256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3] => &SHA384,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4] => &SHA512,
        _ => return None,
    };
    Some(digest(hash, certificate).as_ref().to_vec())
}

/// The content of the first DER element, and what stands behind it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = usize::from(*der.get(1)?);
    let (length, head) = match first {
        0..=0x7f => (first, 2),
        0x81..=0x84 => {
            let bytes = der.get(2..2 + (first - 0x80))?;
            (bytes.iter().fold(0, |sum, byte| (sum << 8) | usize::from(*byte)), 2 + bytes.len())
        }
        _ => return None,
    };
    let end = head.checked_add(length)?;
    Some((der.get(head..end)?, der.get(end..)?))
}

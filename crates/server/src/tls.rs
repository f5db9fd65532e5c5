//! TLS, with a certificate that can be renewed while the server runs.

use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::config::Tls;
use crate::server::ServeError;

/// The current certificate.
pub(crate) struct Certificate {
    files: Tls,
    current: RwLock<Arc<ServerConfig>>,
}

impl Certificate {
    pub(crate) fn load(files: Tls) -> Result<Self, ServeError> {
        let current = RwLock::new(read(&files)?);
        Ok(Self { files, current })
    }

    /// Reads the files again. If that fails, the certificate stays what it was.
    pub(crate) fn reload(&self) -> Result<(), ServeError> {
        *self.current.write() = read(&self.files)?;
        Ok(())
    }

    /// For the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.current.read()).into()
    }
}

fn read(files: &Tls) -> Result<Arc<ServerConfig>, ServeError> {
    let fail =
        |path: &Path, problem: String| ServeError::Tls(format!("{}: {problem}", dictrack::url::shown_path(path)));
    let certificates: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fail(&files.certificate, error.to_string()))?;
    if certificates.is_empty() {
        return Err(fail(&files.certificate, "no certificate; expected PEM".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fail(&files.key, error.to_string()))?;
    let unusable = |error: rustls::Error| fail(&files.certificate, format!("cannot be used with the key: {error}"));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

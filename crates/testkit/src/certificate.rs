//! A certificate authority for one server.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// The TLS files of a server.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The certificate that clients must trust.
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Creates an authority and a certificate for this machine.
    pub(crate) fn make(directory: &Path) -> Self {
        Self::try_make(directory).expect("a certificate can be created")
    }

    fn try_make(directory: &Path) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::new([])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "dictrack test authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["127.0.0.1".into(), "localhost".into()])?;
        params.distinguished_name.push(DnType::CommonName, "dictrack test server");
        let certificate = params.signed_by(&key, &authority)?;

        let write = |name: &str, text: String| {
            let path = directory.join(name);
            fs::write(&path, text).expect("the server's directory can be written");
            path
        };
        Ok(Self {
            authority: write("ca.pem", authority.pem()),
            certificate: write("server.pem", certificate.pem()),
            key: write("server.key", key.serialize_pem()),
        })
    }
}

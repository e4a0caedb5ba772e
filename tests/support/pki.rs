//! Certificates of an authority of our own, as files.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub pem: String,
    der: CertificateDer<'static>,
}

/// What it has signed, PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), der: certificate.der().clone(), issuer: Issuer::new(params, key) }
    }

    fn signed(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, year: i32) -> Signed {
        self.signed_until(names, usage, (year, 1, 1))
    }

    /// A server's that ends on this day.
    pub fn server_until(&self, names: &[&str], end: (i32, u8, u8)) -> Signed {
        self.signed_until(names, ExtendedKeyUsagePurpose::ServerAuth, end)
    }

    fn signed_until(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        (year, month, day): (i32, u8, u8),
    ) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        params.not_after = date_time_ymd(year, month, day);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Signed { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A server's, for these names.
    pub fn server(&self, names: &[&str]) -> Signed {
        self.signed(names, ExtendedKeyUsagePurpose::ServerAuth, 4000)
    }

    /// One that is over.
    pub fn expired(&self, names: &[&str]) -> Signed {
        self.signed(names, ExtendedKeyUsagePurpose::ServerAuth, 1990)
    }

    /// A visitor's.
    pub fn client(&self) -> Signed {
        self.signed(&["visitor.example.test"], ExtendedKeyUsagePurpose::ClientAuth, 4000)
    }

    /// Those who trust it and nobody else.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        roots
    }
}

impl Signed {
    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        std::fs::write(&certificate, &self.certificate).unwrap();
        std::fs::write(&key, &self.key).unwrap();
        (certificate, key)
    }

    /// As rustls takes them.
    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        use rustls::pki_types::pem::PemObject as _;
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).map(Result::unwrap).collect();
        (chain, PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap())
    }
}

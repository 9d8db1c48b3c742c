//! The HTTP client of all caches of the process, unless the program installed another one.
//!
//! The default client of `OpenDAL` panics where the system has no CA certificates, even for a storage that is reached without
//! TLS, as in small container images.

use std::error::Error as StdError;
use std::iter;
use std::sync::LazyLock;

use http_types::{Request, Response};
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport, HttpTransporter, Result};
use opendal_http_transport_reqwest::ReqwestTransport;

pub(crate) fn install_default() {
    HttpTransporter::install_default(DefaultClient);
}

/// The error of a client that cannot verify servers.
pub(crate) fn no_certificates(error: &(dyn StdError + 'static)) -> Error {
    let reason = "no CA certificates were found, which https needs; install `ca-certificates`, or name a file in SSL_CERT_FILE";
    let causes = iter::successors(Some(error), |&error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    Error::new(ErrorKind::ConfigInvalid, reason).with_context("cause", causes.join(": "))
}

/// Made by the first request.
static CLIENT: LazyLock<std::result::Result<Client, reqwest::Error>> = LazyLock::new(Client::new);

struct Client {
    transport: ReqwestTransport,
    /// Why it cannot be used for https.
    no_tls: Option<reqwest::Error>,
}

impl Client {
    fn new() -> std::result::Result<Self, reqwest::Error> {
        let (client, no_tls) = match reqwest::Client::builder().build() {
            Ok(client) => (client, None),
            Err(error) => {
                let client = reqwest::Client::builder().tls_certs_only([]).build()?;
                (client, Some(error))
            }
        };
        Ok(Self {
            transport: client.into(),
            no_tls,
        })
    }
}

struct DefaultClient;

impl HttpTransport for DefaultClient {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let client = CLIENT.as_ref().map_err(|error| {
            Error::new(ErrorKind::ConfigInvalid, "cannot make an HTTP client")
                .with_context("cause", error.to_string())
        })?;
        match &client.no_tls {
            Some(error) if request.uri().scheme_str() == Some("https") => {
                Err(no_certificates(error))
            }
            _ => client.transport.fetch(request).await,
        }
    }
}

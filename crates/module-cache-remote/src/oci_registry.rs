//! One repository of an OCI registry.
//!
//! `oci-client` fetches tokens and uploads. Other requests are made here: that client reads manifests and lists whole, however
//! long they are, cannot delete, and does not return the link to the next page of a list.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use docker_credential::DockerCredential;
use http_types::header::{ACCEPT, AUTHORIZATION, LINK, RANGE};
use http_types::{HeaderMap, HeaderValue, Request, StatusCode};
use oci_client::client::{Client, ClientConfig, ClientProtocol, TagResponse};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OCI_IMAGE_MEDIA_TYPE;
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use opendal::raw::oio::ReadStream as _;
use opendal::raw::{
    build_header_value, format_authorization_by_basic, format_authorization_by_bearer,
    new_request_build_error, parse_content_range, percent_decode_path,
};
use opendal::{Buffer, Error, ErrorKind, HttpBody, OperationContext, OperatorUri, Result};
use parking_lot::Mutex;

use crate::http_client::no_certificates;
use crate::io_thread;
use crate::oci_artifact::{EMPTY, Layer, NewArtifact, digest};

/// No manifest of an entry is longer. Of other answers, no more is read either.
const LONGEST_MANIFEST: usize = 64 << 10;

/// Registries without pages send all of a list at once.
const LONGEST_LIST: usize = 8 << 20;

/// How many tags are asked for at a time.
const PAGE: usize = 1000;

const OTHER_LENGTH: &str = "a blob is not as long as its manifest says";

pub(crate) struct Registry {
    client: Client,
    address: String,
    repository: String,
    /// How the address of everything in the repository begins.
    base: String,
    /// Those of the URI. Others are asked for when the registry demands some: `docker login` may have other ones by then.
    auth: Option<RegistryAuth>,
    /// What is sent with requests, once the registry has demanded it.
    authorization: Mutex<BTreeMap<RegistryOperation, HeaderValue>>,
    /// Whether the empty configuration, which all artifacts name, has been uploaded.
    has_empty: AtomicBool,
}

impl Registry {
    /// The repository that `uri` names. Nothing is asked yet.
    pub(crate) fn new(uri: &OperatorUri) -> Result<Self> {
        let address = uri.authority().unwrap_or_default().to_owned();
        let repository = uri.root().unwrap_or_default().to_owned();
        // Only the repository's name is checked, so any registry will do.
        let parsed = Reference::try_from(format!("localhost/{repository}:tag"));
        let is_name = parsed.is_ok_and(|parsed| parsed.repository() == repository);
        if address.is_empty() || !is_name {
            let reason = "the URI names no registry and repository, such as oci://registry.example/team/modules";
            return Err(invalid(reason));
        }
        let mut plain_http = uri.name().is_some_and(is_loopback);
        for (name, value) in uri.options() {
            let is_known = name == "plain_http" && value.parse().map(|is| plain_http = is).is_ok();
            if !is_known {
                let reason = "a parameter is unknown, or has a value that is not allowed";
                return Err(invalid(reason).with_context("parameter", name));
            }
        }
        let (scheme, protocol) = if plain_http {
            ("http", ClientProtocol::Http)
        } else {
            ("https", ClientProtocol::Https)
        };
        let config = ClientConfig {
            protocol,
            use_monolithic_push: true,
            user_agent: concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| no_certificates(&error))?;
        let reference = Reference::with_tag(address.clone(), repository.clone(), String::new());
        Ok(Self {
            client,
            base: format!(
                "{scheme}://{}/v2/{repository}/",
                reference.resolve_registry()
            ),
            auth: credentials(uri),
            address,
            repository,
            authorization: Mutex::default(),
            has_empty: AtomicBool::new(false),
        })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn repository(&self) -> &str {
        &self.repository
    }

    /// The manifest that has a tag; without content, if it is too long to be that of an entry.
    pub(crate) async fn manifest(&self, context: &OperationContext, tag: &str) -> Result<Vec<u8>> {
        let place = format!("manifests/{tag}");
        let (_, manifest) = self.get(context, &place, LONGEST_MANIFEST).await?;
        Ok(manifest.unwrap_or_default())
    }

    /// A part of a blob as it comes.
    pub(crate) async fn blob(
        &self,
        context: &OperationContext,
        layer: &Layer,
        range: Range<usize>,
    ) -> Result<HttpBody> {
        let range = format!("bytes={}-{}", range.start, range.end - 1);
        let request =
            Request::get(format!("{}blobs/{}", self.base, layer.digest)).header(RANGE, range);
        let (status, headers, body) = self.send(context, RegistryOperation::Pull, request).await?;
        match status {
            StatusCode::PARTIAL_CONTENT => {
                let total = parse_content_range(&headers)?.and_then(|range| range.size());
                if total == Some(layer.len) {
                    Ok(body)
                } else {
                    Err(Error::new(ErrorKind::RangeNotSatisfied, OTHER_LENGTH))
                }
            }
            StatusCode::OK => {
                let reason = "the registry does not support range requests for blobs";
                Err(Error::new(ErrorKind::Unexpected, reason))
            }
            status => Err(refusal(status)),
        }
    }

    /// A page of the list of tags, and the query for the next one.
    pub(crate) async fn tags(
        &self,
        context: &OperationContext,
        query: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>)> {
        let first = format!("n={PAGE}");
        let place = format!("tags/list?{}", query.unwrap_or(&first));
        let (headers, list) = self.get(context, &place, LONGEST_LIST).await?;
        match list.and_then(|list| serde_json::from_slice::<TagResponse>(&list).ok()) {
            Some(list) => Ok((list.tags, next_query(&headers))),
            None => Err(Error::new(
                ErrorKind::Unexpected,
                "the registry did not send a list of tags, or sent one that is too long",
            )),
        }
    }

    /// Removes a manifest, and with it all tags that it has.
    pub(crate) async fn delete(&self, context: &OperationContext, manifest: Vec<u8>) -> Result<()> {
        let address = format!("{}manifests/{}", self.base, digest(manifest));
        let request = Request::delete(address);
        let (status, _, body) = self.send(context, RegistryOperation::Push, request).await?;
        read(body, LONGEST_MANIFEST).await?;
        match status {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(refusal(status)),
        }
    }

    /// Stores an artifact. Its tag is written last, when everything that its manifest names is there.
    pub(crate) async fn push(&self, artifact: &NewArtifact) -> Result<()> {
        let pushed = self.push_parts(artifact).await;
        self.has_empty.store(pushed.is_ok(), Ordering::Relaxed);
        pushed
    }

    async fn push_parts(&self, artifact: &NewArtifact) -> Result<()> {
        self.push_blob(artifact.content.clone(), &artifact.content_digest)
            .await?;
        if !self.has_empty.load(Ordering::Relaxed) {
            let empty = EMPTY.into();
            self.push_blob(empty, &digest(EMPTY)).await?;
        }
        if let Some((tag, module)) = &artifact.module {
            self.push_manifest(tag, module).await?;
        }
        self.push_manifest(&artifact.tag, &artifact.manifest).await
    }

    async fn push_blob(&self, content: Bytes, digest: &str) -> Result<()> {
        let place = self.reference(String::new());
        let push = || self.client.push_blob(&place, content.clone(), digest);
        self.authorized(push).await
    }

    async fn push_manifest(&self, tag: &str, manifest: &[u8]) -> Result<()> {
        let place = self.reference(tag.to_owned());
        let of_manifest = HeaderValue::from_static(OCI_IMAGE_MEDIA_TYPE);
        let push = || {
            let (manifest, of_manifest) = (manifest.to_vec(), of_manifest.clone());
            self.client.push_manifest_raw(&place, manifest, of_manifest)
        };
        self.authorized(push).await
    }

    /// Writes, and writes again with credentials if the registry demands them.
    async fn authorized<T, W>(&self, work: impl Fn() -> W) -> Result<()>
    where
        W: Future<Output = oci_client::errors::Result<T>>,
    {
        let mut done = work().await;
        if let Err(OciDistributionError::ServerError { code: 401, .. }) = &done {
            self.authorize(RegistryOperation::Push).await?;
            done = work().await;
        }
        done.map(drop).map_err(explained)
    }

    /// The answer to a request; without content, if it is longer than `longest`.
    async fn get(
        &self,
        context: &OperationContext,
        place: &str,
        longest: usize,
    ) -> Result<(HeaderMap, Option<Vec<u8>>)> {
        let request = Request::get(format!("{}{place}", self.base));
        let request = request.header(ACCEPT, OCI_IMAGE_MEDIA_TYPE);
        let (status, headers, body) = self.send(context, RegistryOperation::Pull, request).await?;
        // Whatever the status is, so that the connection can be used again.
        let content = read(body, longest).await?;
        if status.is_success() {
            Ok((headers, content))
        } else {
            Err(refusal(status))
        }
    }

    async fn send(
        &self,
        context: &OperationContext,
        operation: RegistryOperation,
        request: http_types::request::Builder,
    ) -> Result<(StatusCode, HeaderMap, HttpBody)> {
        let request = request
            .body(Buffer::new())
            .map_err(new_request_build_error)?;
        let mut is_repeated = false;
        loop {
            let mut request = request.clone();
            let authorization = self.authorization.lock().get(&operation).cloned();
            if let Some(value) = authorization {
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            let (head, body) = context.http_transport().fetch(request).await?.into_parts();
            if head.status != StatusCode::UNAUTHORIZED || is_repeated {
                return Ok((head.status, head.headers, body));
            }
            // There was no token, or it has expired.
            self.authorize(operation).await?;
            is_repeated = true;
        }
    }

    async fn authorize(&self, operation: RegistryOperation) -> Result<()> {
        let place = self.reference(String::new());
        let auth = if let Some(auth) = &self.auth {
            auth.clone()
        } else {
            let address = self.address.clone();
            // It may run a program.
            let found = io_thread::compute(move || docker_credentials(&address)).await;
            found.unwrap_or(RegistryAuth::Anonymous)
        };
        let token = self.client.auth(&place, &auth, operation).await;
        let value = match (token.map_err(explained)?, &auth) {
            (Some(token), _) => format_authorization_by_bearer(&token)?,
            (None, RegistryAuth::Basic(user, password)) => {
                format_authorization_by_basic(user, password)?
            }
            (None, _) => return Err(refusal(StatusCode::UNAUTHORIZED)),
        };
        let value = build_header_value(&value)?;
        self.authorization.lock().insert(operation, value);
        Ok(())
    }

    fn reference(&self, tag: String) -> Reference {
        Reference::with_tag(self.address.clone(), self.repository.clone(), tag)
    }
}

impl fmt::Debug for Registry {
    /// Without credentials.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// Those in the URI.
fn credentials(uri: &OperatorUri) -> Option<RegistryAuth> {
    let decoded = |text: Option<&str>| percent_decode_path(text.unwrap_or_default());
    let is_given = uri.username().is_some() || uri.password().is_some();
    is_given.then(|| RegistryAuth::Basic(decoded(uri.username()), decoded(uri.password())))
}

/// Those of `docker login` or of its helpers.
fn docker_credentials(address: &str) -> RegistryAuth {
    match docker_credential::get_credential(address) {
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            RegistryAuth::Basic(user, password)
        }
        Ok(DockerCredential::IdentityToken(_)) => {
            tracing::warn!(
                "`docker login` stored an identity token for the registry, which is not supported"
            );
            RegistryAuth::Anonymous
        }
        // A registry that demands credentials refuses the request, which is then the error.
        Err(_) => RegistryAuth::Anonymous,
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

/// All of a body, unless it is longer than `longest`.
async fn read(mut body: HttpBody, longest: usize) -> Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    loop {
        let part = body.read().await?;
        if part.is_empty() {
            return Ok(Some(content));
        }
        if content.len() + part.len() > longest {
            return Ok(None);
        }
        part.for_each(|bytes| content.extend_from_slice(&bytes));
    }
}

/// The query of the link to the next page. Its address is not followed: it may name another host.
fn next_query(headers: &HeaderMap) -> Option<String> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (address, relation) = link.trim().strip_prefix('<')?.split_once('>')?;
    let (_, query) = address.split_once('?')?;
    relation.contains("next").then(|| query.to_owned())
}

fn invalid(reason: &'static str) -> Error {
    Error::new(ErrorKind::ConfigInvalid, reason)
}

fn refusal(status: StatusCode) -> Error {
    let (kind, reason) = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => (
            ErrorKind::PermissionDenied,
            "the registry refused the request",
        ),
        StatusCode::NOT_FOUND => (ErrorKind::NotFound, "the registry has no such object"),
        StatusCode::METHOD_NOT_ALLOWED => (
            ErrorKind::Unsupported,
            "the registry does not support this request",
        ),
        StatusCode::RANGE_NOT_SATISFIABLE => (ErrorKind::RangeNotSatisfied, OTHER_LENGTH),
        StatusCode::TOO_MANY_REQUESTS => (ErrorKind::RateLimited, "the registry is overloaded"),
        _ => (ErrorKind::Unexpected, "the registry failed"),
    };
    let error = Error::new(kind, reason).with_context("status", status.as_u16());
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        error.set_temporary()
    } else {
        error
    }
}

fn explained(error: OciDistributionError) -> Error {
    let explained = match &error {
        OciDistributionError::ServerError { code, .. } => {
            refusal(StatusCode::from_u16(*code).unwrap_or_default())
        }
        OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::UnauthorizedError { .. } => refusal(StatusCode::UNAUTHORIZED),
        OciDistributionError::RequestError(_) => {
            Error::new(ErrorKind::Unexpected, "the registry does not answer").set_temporary()
        }
        _ => Error::new(
            ErrorKind::Unexpected,
            "the registry sent an unexpected response",
        ),
    };
    explained.set_source(error)
}

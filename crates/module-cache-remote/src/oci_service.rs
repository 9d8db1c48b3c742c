//! An OCI registry as a storage of entries: each is an artifact, which its path finds by a tag.
//!
//! A load fetches the manifest of the tag, and then parts of the blob that it names. Neither is trusted, and no digest of the
//! registry is checked: each frame of an entry is verified when it is used. Registries have no conditional writes, so there are
//! no leases.

use std::collections::HashSet;
use std::sync::Arc;

use opendal::raw::{
    OpDelete, OpList, OpRead, OpStat, OpWrite, RpRead, RpStat, Service, ServiceInfo, oio,
};
use opendal::{
    Buffer, BytesRange, Capability, Error, ErrorKind, Metadata, MetadataBuilder, OperationContext,
    Operator, OperatorUri, Result,
};
use parking_lot::Mutex;

use crate::io_thread;
use crate::oci_artifact::{self, Artifact, Layer, NewArtifact};
use crate::oci_registry::Registry;
use crate::unsupported::unsupported_operations;

/// A list of more tags does not end.
const MOST_TAGS: usize = 1_000_000;

/// How many manifests a list of a signer's folders reads: each folder takes one, also those of other signers.
const MOST_MANIFESTS: usize = 10_000;

const NOT_ITS_ENTRY: &str = "what has the tag is not an entry of this path";

/// An operator on the repository that `uri` names.
pub(crate) fn operator(uri: &OperatorUri) -> Result<Operator> {
    let registry = Registry::new(uri)?;
    let root = format!("/{}", registry.repository());
    let info = ServiceInfo::new("oci", root, registry.address());
    let registry = Arc::new(registry);
    let service = Arc::new(OciService { registry, info });
    Ok(Operator::from_parts(OperationContext::default(), service))
}

#[derive(Debug, Clone)]
struct OciService {
    registry: Arc<Registry>,
    info: ServiceInfo,
}

/// What is, or may be, at a path.
#[derive(Debug, Clone)]
struct Object {
    registry: Arc<Registry>,
    context: OperationContext,
    path: String,
    /// The blob that an earlier read has found.
    etag: Option<String>,
}

impl OciService {
    fn object(&self, context: &OperationContext, path: &str) -> Object {
        Object {
            registry: Arc::clone(&self.registry),
            context: context.clone(),
            path: path.to_owned(),
            etag: None,
        }
    }
}

impl Object {
    /// The manifest of the path's tag, and what it says if it is that of an entry at this path.
    async fn look(&self) -> Result<(Vec<u8>, Option<Layer>)> {
        let tag = oci_artifact::tag(&self.path);
        let manifest = self.registry.manifest(&self.context, &tag).await?;
        let artifact = Artifact::parse(&manifest).filter(|artifact| artifact.path == self.path);
        Ok((manifest, artifact.map(|artifact| artifact.layer)))
    }

    async fn layer(&self) -> Result<Layer> {
        // The blob of a digest never changes, so it is read without asking for the manifest again.
        if let Some(layer) = self.etag.as_deref().and_then(Layer::from_etag) {
            return Ok(layer);
        }
        let (_, layer) = self.look().await?;
        // The reader takes this for an empty object, and that for a bad entry.
        layer.ok_or_else(|| Error::new(ErrorKind::RangeNotSatisfied, NOT_ITS_ENTRY))
    }
}

fn metadata(layer: &Layer) -> Metadata {
    let mut metadata = MetadataBuilder::file(layer.len);
    metadata.etag(layer.to_etag());
    metadata.build()
}

impl Service for OciService {
    type Reader = oio::StreamReader<Object>;
    type Writer = oio::OneShotWriter<Object>;
    type Lister = oio::PageLister<Tags>;
    type Deleter = oio::OneShotDeleter<Deleter>;
    type Copier = ();
    type Composer = ();

    fn info(&self) -> ServiceInfo {
        self.info.clone()
    }

    fn capability(&self) -> Capability {
        Capability {
            read: true,
            read_with_if_match: true,
            read_with_suffix: true,
            write: true,
            delete: true,
            stat: true,
            list: true,
            shared: true,
            ..Capability::default()
        }
    }

    async fn stat(&self, context: &OperationContext, path: &str, _: OpStat) -> Result<RpStat> {
        let (_, layer) = self.object(context, path).look().await?;
        let layer = layer.ok_or_else(|| Error::new(ErrorKind::NotFound, NOT_ITS_ENTRY))?;
        Ok(RpStat::new(metadata(&layer)))
    }

    fn read(&self, context: &OperationContext, path: &str, how: OpRead) -> Result<Self::Reader> {
        let mut object = self.object(context, path);
        object.etag = how.if_match().map(str::to_owned);
        Ok(oio::StreamReader::new(object))
    }

    fn write(&self, context: &OperationContext, path: &str, _: OpWrite) -> Result<Self::Writer> {
        Ok(oio::OneShotWriter::new(self.object(context, path)))
    }

    fn delete(&self, context: &OperationContext) -> Result<Self::Deleter> {
        Ok(oio::OneShotDeleter::new(Deleter {
            service: self.clone(),
            context: context.clone(),
        }))
    }

    fn list(&self, context: &OperationContext, path: &str, _: OpList) -> Result<Self::Lister> {
        Ok(oio::PageLister::new(Tags {
            registry: Arc::clone(&self.registry),
            context: context.clone(),
            folder: path.to_owned(),
            seen: Mutex::default(),
        }))
    }

    unsupported_operations!();
}

impl oio::StreamRead for Object {
    async fn open(&self, range: BytesRange) -> Result<(RpRead, Box<dyn oio::ReadStreamDyn>)> {
        let layer = self.layer().await?;
        let range = range.to_content_range(usize::try_from(layer.len).unwrap_or(usize::MAX))?;
        if range.is_empty() {
            return Ok((RpRead::new(metadata(&layer)), Box::new(Buffer::new())));
        }
        let blob = self.registry.blob(&self.context, &layer, range).await?;
        Ok((RpRead::new(metadata(&layer)), Box::new(blob)))
    }
}

impl oio::OneShotWrite for Object {
    async fn write_once(&self, content: Buffer) -> Result<Metadata> {
        let (path, len) = (self.path.clone(), content.len());
        let describe = move || NewArtifact::new(&path, content.to_bytes());
        let artifact = io_thread::compute(describe).await;
        let artifact = artifact.ok().and_then(std::result::Result::ok);
        let failed = || Error::new(ErrorKind::Unexpected, "the artifact cannot be described");
        self.registry.push(&artifact.ok_or_else(failed)?).await?;
        Ok(MetadataBuilder::file(len as u64).build())
    }
}

struct Deleter {
    service: OciService,
    context: OperationContext,
}

impl oio::OneShotDelete for Deleter {
    async fn delete_once(&self, path: String, _: OpDelete) -> Result<()> {
        let object = self.service.object(&self.context, &path);
        match object.look().await {
            Ok((manifest, Some(_))) => object.registry.delete(&self.context, manifest).await,
            // It is not an entry, so it is left alone.
            Ok((_, None)) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Lists a folder by the tags of the repository. Only the folder of a signer has folders in it.
struct Tags {
    registry: Arc<Registry>,
    context: OperationContext,
    folder: String,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    tags: usize,
    manifests: usize,
    /// The hashes of the folders that were looked at.
    folders: HashSet<String>,
}

impl oio::PageList for Tags {
    async fn next_page(&self, page: &mut oio::PageContext) -> Result<()> {
        let query = Some(&*page.token).filter(|query| !query.is_empty());
        let (tags, next) = match self.registry.tags(&self.context, query).await {
            Ok(found) => found,
            // The first push makes the repository.
            Err(error) if error.kind() == ErrorKind::NotFound => Default::default(),
            Err(error) => return Err(error),
        };
        {
            let mut seen = self.seen.lock();
            seen.tags += 1 + tags.len();
            if seen.tags > MOST_TAGS {
                let reason = "the registry's list of tags does not end";
                return Err(Error::new(ErrorKind::Unexpected, reason));
            }
        }
        let folder = self.folder.trim_end_matches('/');
        let folder_hash = oci_artifact::folder_hash(folder);
        let is_of_signer = folder.matches('/').count() == 1;
        for tag in &tags {
            let found = match oci_artifact::parse_tag(tag) {
                // Only its manifest tells its length.
                Some((module, of)) if of == folder_hash => {
                    Some((format!("{folder}/{module}"), MetadataBuilder::file(0)))
                }
                Some((_, of)) if is_of_signer => {
                    let folder = self.new_folder(tag, of).await?;
                    folder.map(|folder| (folder, MetadataBuilder::dir()))
                }
                _ => None,
            };
            let entry = found.map(|(path, metadata)| oio::Entry::with(path, metadata.build()));
            page.entries.extend(entry);
        }
        page.done = next.is_none();
        page.token = next.unwrap_or_default();
        Ok(())
    }
}

impl Tags {
    /// The folder of the entry that has a tag, if it is in the listed folder and was not found before.
    async fn new_folder(&self, tag: &str, hash: &str) -> Result<Option<String>> {
        {
            let mut seen = self.seen.lock();
            if !seen.folders.insert(hash.to_owned()) {
                return Ok(None);
            }
            seen.manifests += 1;
            if seen.manifests > MOST_MANIFESTS {
                let reason = "the repository has too many folders to be listed";
                return Err(Error::new(ErrorKind::Unexpected, reason));
            }
        }
        let manifest = match self.registry.manifest(&self.context, tag).await {
            Ok(manifest) => manifest,
            // The entry was removed in the meantime.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(Artifact { path, .. }) = Artifact::parse(&manifest) else {
            return Ok(None);
        };
        match oci_artifact::split(&path) {
            Some((folder, _)) if oci_artifact::tag(&path) == tag => {
                let is_here = folder.starts_with(&self.folder);
                Ok(is_here.then(|| format!("{folder}/")))
            }
            _ => Ok(None),
        }
    }
}

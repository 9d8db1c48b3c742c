//! An entry as an artifact of an OCI registry: the tag that it has, its manifest, and the module that the manifest refers to.
//!
//! ```text
//! <module hash>-<32 hex of the folder's hash>   an entry: its only layer is the sealed entry
//! <module hash>                                 the module, without content: the subject of its entries
//! _<hash of the path>                           anything else
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use module_cache_core::ModuleHash;
use oci_client::client::{Config, ImageLayer};
use oci_client::manifest::{OCI_IMAGE_MEDIA_TYPE, OciDescriptor, OciImageManifest};

/// The types of an entry, its manifest and its layer alike, and of a module.
const ENTRY: &str = "application/vnd.module-cache.entry.v1";
const MODULE: &str = "application/vnd.module-cache.module.v1";

/// The specification's placeholder for the configuration of an image.
pub(crate) const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// The annotations with the whole path of an entry, and with the hash of a module.
const PATH: &str = "vnd.module-cache.path";
const BLAKE3: &str = "vnd.module-cache.blake3";

/// No path of an entry is longer.
const LONGEST_PATH: usize = 1 << 10;

/// What is to be stored, with what describes it.
pub(crate) struct NewArtifact {
    pub(crate) tag: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) content: Bytes,
    pub(crate) content_digest: String,
    /// The tag and the manifest of the module that it belongs to.
    pub(crate) module: Option<(String, Vec<u8>)>,
}

/// What a manifest says of an entry. None of it is proven.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    pub(crate) path: String,
    pub(crate) layer: Layer,
}

/// Where the content of an entry is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) digest: String,
    pub(crate) len: u64,
}

/// The tag of what lies at `path`. Two paths have different tags, unless their hashes collide.
pub(crate) fn tag(path: &str) -> String {
    match split(path) {
        Some((folder, module)) => format!("{module}-{}", folder_hash(folder)),
        None => format!("_{}", ModuleHash::of(path.as_bytes())),
    }
}

/// What the tags of entries in a folder end with.
pub(crate) fn folder_hash(folder: &str) -> String {
    let mut hash = ModuleHash::of(folder.as_bytes()).to_string();
    hash.truncate(32);
    hash
}

/// The module and the folder's hash that the tag of an entry names.
pub(crate) fn parse_tag(tag: &str) -> Option<(ModuleHash, &str)> {
    let (name, folder) = tag.split_once('-')?;
    Some((name.parse().ok()?, folder))
}

/// The folder and the module of an entry.
pub(crate) fn split(path: &str) -> Option<(&str, ModuleHash)> {
    let (folder, name) = path.rsplit_once('/')?;
    let module: ModuleHash = name.parse().ok()?;
    (module.to_string() == name).then_some((folder, module))
}

/// The digest by which a registry knows `content`.
pub(crate) fn digest(content: impl Into<Bytes>) -> String {
    Config::new(content, String::new(), None).sha256_digest()
}

impl NewArtifact {
    pub(crate) fn new(path: &str, content: Bytes) -> serde_json::Result<Self> {
        let layer = ImageLayer::new(content.clone(), ENTRY.into(), None);
        let mut manifest = manifest(ENTRY, layer, (PATH, path.to_owned()));
        let content_digest = manifest.layers[0].digest.clone();
        let mut module = None;
        if let Some((_, hash)) = split(path) {
            let named = module_manifest(hash)?;
            manifest.subject = Some(OciDescriptor {
                media_type: OCI_IMAGE_MEDIA_TYPE.into(),
                digest: digest(named.clone()),
                size: i64::try_from(named.len()).unwrap_or(i64::MAX),
                artifact_type: Some(MODULE.into()),
                ..OciDescriptor::default()
            });
            module = Some((hash.to_string(), named));
        }
        Ok(Self {
            tag: tag(path),
            manifest: serde_json::to_vec(&manifest)?,
            content,
            content_digest,
            module,
        })
    }
}

/// The manifest that names a module by its hash. Every host makes the same one.
fn module_manifest(hash: ModuleHash) -> serde_json::Result<Vec<u8>> {
    let empty = ImageLayer::new(EMPTY, EMPTY_TYPE.into(), None);
    serde_json::to_vec(&manifest(MODULE, empty, (BLAKE3, hash.to_string())))
}

fn manifest(
    artifact_type: &str,
    layer: ImageLayer,
    (name, value): (&str, String),
) -> OciImageManifest {
    let config = Config::new(EMPTY, EMPTY_TYPE.into(), None);
    let annotations = BTreeMap::from([(name.to_owned(), value)]);
    OciImageManifest {
        media_type: Some(OCI_IMAGE_MEDIA_TYPE.into()),
        artifact_type: Some(artifact_type.into()),
        ..OciImageManifest::build(&[layer], &config, Some(annotations))
    }
}

impl Artifact {
    /// What this manifest says, if it is that of an entry.
    pub(crate) fn parse(manifest: &[u8]) -> Option<Self> {
        let manifest: OciImageManifest = serde_json::from_slice(manifest).ok()?;
        let [layer] = &manifest.layers[..] else {
            return None;
        };
        let path = manifest.annotations?.remove(PATH)?;
        let is_entry = manifest.artifact_type.is_some_and(|of| of == ENTRY)
            && layer.media_type == ENTRY
            && path.len() <= LONGEST_PATH;
        let layer = is_entry.then(|| Layer::new(&layer.digest, layer.size.try_into().ok()?))??;
        Some(Self { path, layer })
    }
}

impl Layer {
    /// `None` if the digest is not one: it becomes a part of an address.
    fn new(digest: &str, len: u64) -> Option<Self> {
        let hex = digest.strip_prefix("sha256:")?;
        let is_digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_digest && len > 0).then(|| Self {
            digest: digest.to_owned(),
            len,
        })
    }

    pub(crate) fn to_etag(&self) -> String {
        format!("{}/{}", self.digest, self.len)
    }

    pub(crate) fn from_etag(etag: &str) -> Option<Self> {
        let (digest, len) = etag.split_once('/')?;
        Self::new(digest, len.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE_NAME: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn path() -> String {
        format!("v1/unsigned/engine_1.0-0123456789abcdef/{MODULE_NAME}")
    }

    #[test]
    fn every_path_has_a_tag_of_its_own_that_a_registry_takes() {
        let mut tags = BTreeMap::new();
        let long = format!("v1/{}/{MODULE_NAME}", "x".repeat(500));
        let other = path().replace("engine_1.0", "engine/1.0");
        for path in [
            &path(),
            &other,
            &long,
            "v1/probe",
            "v1/",
            MODULE_NAME,
            "ä/ö",
            &path().to_uppercase(),
        ] {
            let tag = tag(path);
            assert!(tag.len() <= 128 && !tag.starts_with(['.', '-']), "{tag}");
            let is_of_tag = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            assert!(tag.chars().all(is_of_tag), "{tag}");
            assert_eq!(tags.insert(tag, path), None);
        }
        let tag = tag(&path());
        let (folder, module) = split(&path())
            .map(|(folder, module)| (folder_hash(folder), module))
            .unwrap();
        assert_eq!(parse_tag(&tag), Some((module, &*folder)));
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written_and_refers_to_its_module() {
        let new = NewArtifact::new(&path(), Bytes::from_static(b"sealed")).unwrap();
        let read = Artifact::parse(&new.manifest).unwrap();
        assert_eq!(read.path, path());
        assert_eq!(
            (&read.layer.digest, read.layer.len),
            (&new.content_digest, 6)
        );
        assert_eq!(Layer::from_etag(&read.layer.to_etag()), Some(read.layer));
        let (tag, module) = new.module.unwrap();
        assert_eq!(tag, MODULE_NAME);
        assert_eq!(Artifact::parse(&module), None);
        let manifest: OciImageManifest = serde_json::from_slice(&new.manifest).unwrap();
        let subject = manifest.subject.unwrap();
        assert_eq!(subject.size, i64::try_from(module.len()).unwrap());
        assert_eq!(subject.digest, digest(module));
    }

    #[test]
    fn what_is_no_manifest_of_an_entry_says_nothing() {
        let new = NewArtifact::new(&path(), Bytes::from_static(b"sealed")).unwrap();
        let text = String::from_utf8(new.manifest).unwrap();
        let layer = text
            .split_once(r#""layers":["#)
            .unwrap()
            .1
            .split_once(']')
            .unwrap()
            .0;
        for (from, to) in [
            (ENTRY, "application/vnd.example.v1"),
            (layer, ""),
            (layer, &format!("{layer},{layer}")),
            (r#""size":6"#, r#""size":-6"#),
            (r#""size":6"#, r#""size":0"#),
            (&*new.content_digest, "sha256:../../manifests/x"),
            (&*new.content_digest, "blake3:0123"),
            (PATH, "another"),
            (&*path(), &"x".repeat(LONGEST_PATH + 1)),
            (&*text, "<html>please log in</html>"),
        ] {
            let other = text.replacen(from, to, 9);
            assert!(other != text, "{from}");
            assert_eq!(Artifact::parse(other.as_bytes()), None, "{to}");
        }
    }
}

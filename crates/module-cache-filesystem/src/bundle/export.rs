//! Writing a bundle.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use module_cache_core::format::Footer;
use module_cache_core::{CacheError, InvalidEntry, ListedEntry, SealedEntry, Trust};
use tar::{EntryType, Header};

use super::{MAX_ENTRY, MAX_MEMBERS};
use crate::folder::Folder;
use crate::layout;
use crate::open_entry::{Refusal, read_whole};

/// What a tar archive is made of.
const BLOCK: u64 = 512;

/// The end of one.
const END: [u8; 1024] = [0; 1024];

/// What [`FileSystemCache::export`](crate::FileSystemCache::export) wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExportReport {
    /// Entries in the bundle.
    pub entries: u64,
    /// The size of these entries in bytes, without the headers of the archive.
    pub bytes: u64,
    /// Entries that were selected and cannot be used, and the reasons.
    pub skipped: Vec<(PathBuf, String)>,
}

/// Writes the entries in `chosen`. Equal entries under an equal trust give equal bundles.
pub(crate) fn export(
    folder: &Folder,
    mut chosen: Vec<ListedEntry>,
    trust: &Trust,
    out: &mut dyn Write,
) -> Result<ExportReport, CacheError> {
    if chosen.len() as u64 > MAX_MEMBERS {
        let reason = format!(
            "{} entries were selected, and a bundle can hold {MAX_MEMBERS}",
            chosen.len()
        );
        return Err(CacheError::backend("the bundle", "put the entries", reason));
    }
    chosen.sort_by(|a, b| (&a.engine, a.hash).cmp(&(&b.engine, b.hash)));
    let written = |error| CacheError::backend("the bundle", "put the entries", error);
    let mut report = ExportReport::default();
    for listed in &chosen {
        let name = layout::entry_of(&listed.engine, listed.hash);
        match read(folder, listed, &name, trust) {
            Ok(Some(entry)) => {
                append(&name, &entry, out).map_err(written)?;
                report.entries += 1;
                report.bytes += entry.len() as u64;
            }
            // Removed since it was listed.
            Ok(None) => {}
            Err(Unusable(reason)) => {
                let path = folder.directory.path().join(name);
                report.skipped.push((path, reason));
            }
        }
    }
    // Two blocks of zeros.
    out.write_all(&END).map_err(written)?;
    out.flush().map_err(written)?;
    Ok(report)
}

/// Why an entry is not exported.
struct Unusable(String);

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<InvalidEntry> for Unusable {
    fn from(reason: InvalidEntry) -> Self {
        Self(reason.to_string())
    }
}

/// Reads and verifies an entry as a load does, but in memory whatever the policy of the cache: once its
/// member is begun, it must be what it is. It is returned as it is transported.
fn read(
    folder: &Folder,
    listed: &ListedEntry,
    name: &str,
    trust: &Trust,
) -> Result<Option<Vec<u8>>, Unusable> {
    let (file, attributes) = match folder.open_listed(&listed.engine, listed.hash)? {
        Ok(opened) => opened,
        Err(Refusal::Missing) => return Ok(None),
        Err(Refusal::Invalid { reason, .. }) => return Err(reason.into()),
        Err(Refusal::Unusable(reason)) => return Err(Unusable(reason)),
        Err(Refusal::Unreadable { error, .. }) => return Err(error.into()),
    };
    if attributes.size > MAX_ENTRY {
        return Err(Unusable(format!(
            "it is larger than {MAX_ENTRY} bytes, the most that a bundle takes"
        )));
    }
    let bytes = read_whole(&file, &attributes)?;
    let footer = Footer::parse(&bytes)?;
    let key = *footer.key();
    // The name tells the module in full, and enough of the engine.
    if key.to_string() != name {
        return Err(InvalidEntry::KeyMismatch(Box::new(key)).into());
    }
    let origin = folder.policy.trust_in(footer.key_id());
    let entry = SealedEntry::open(bytes, &key, origin)?;
    Ok(Some(entry.to_transport(trust, &super::compress)?))
}

fn append(name: &str, entry: &[u8], out: &mut dyn Write) -> io::Result<()> {
    // Nothing of when, where and by whom: equal contents give equal bytes.
    let mut header = Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(EntryType::Regular);
    let len = entry.len() as u64;
    header.set_size(len);
    header.set_mode(0o444);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(entry)?;
    let padding = len.next_multiple_of(BLOCK) - len;
    io::copy(&mut io::repeat(0).take(padding), out)?;
    Ok(())
}

//! Opening a folder: options, creation, and the checks that everything later relies on.

use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use module_cache_core::{CacheError, Counters, Trust};
use parking_lot::Mutex;

use crate::directory::Directory;
use crate::engine_folder::EngineFolders;
use crate::file_system_cache::FileSystemCache;
use crate::folder::Folder;
use crate::heartbeat::Silent;
use crate::hints::Hints;
use crate::ledger::Ledger;
use crate::policy::{Policy, Verify};
use crate::storage::Storage;
use crate::{Verification, interrupted, layout, platform, storage, trust_check};

/// Options for opening a [`FileSystemCache`]; created by [`FileSystemCache::builder`].
///
/// ```
/// use module_cache_core::{SharedKey, Trust};
/// use module_cache_filesystem::{FileSystemCache, Verification};
///
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("modules");
/// let cache = FileSystemCache::builder(&folder)
///     .verification(Verification::Always)
///     .trust(Trust::shared(SharedKey::from_bytes([7; 32])))
///     .open()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct FileSystemCacheBuilder {
    root: PathBuf,
    trust: Option<Trust>,
    origins: Option<Trust>,
    verify: Verify,
    strict: bool,
    skip_permission_checks: bool,
    read_only: bool,
    world_readable: bool,
    experimental_mapping: bool,
    max_size: Option<u64>,
    min_free: Option<u64>,
    max_age: Option<Duration>,
}

impl FileSystemCache {
    /// Opens the folder `root` with default options, creating it if it does not exist.
    ///
    /// # Errors
    ///
    /// As for [`FileSystemCacheBuilder::open`].
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, CacheError> {
        Self::builder(root).open()
    }

    /// Options for opening the folder `root`.
    pub fn builder(root: impl Into<PathBuf>) -> FileSystemCacheBuilder {
        FileSystemCacheBuilder::new(root.into())
    }
}

impl FileSystemCacheBuilder {
    fn new(root: PathBuf) -> Self {
        Self {
            root,
            trust: None,
            origins: None,
            verify: Verify::When(Verification::default()),
            strict: false,
            skip_permission_checks: false,
            read_only: false,
            world_readable: false,
            experimental_mapping: false,
            max_size: None,
            min_free: None,
            max_age: None,
        }
    }

    /// Signs entries with a key, and accepts only such entries.
    ///
    /// Entries are then read into private memory and verified there on every load, rather than mapped: a key is for
    /// folders that others can change in spite of owner and permissions, as on a file server, even after a file was
    /// verified. By default entries have a checksum, and the folder's owner and permissions prove who wrote them.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Uses signed entries, which were fetched from elsewhere, only if `trust` accepts them: when a key is revoked, entries
    /// here that it signed are no longer used. Entries that were compiled here are not signed. In a folder with a [key of
    /// its own](Self::trust), only that counts.
    ///
    /// An entry that is not used is replaced by the next save or fetch. By default, an entry that was accepted when it was
    /// fetched is used as long as it is there.
    pub fn origins(mut self, trust: Trust) -> Self {
        self.origins = Some(trust);
        self
    }

    /// When entries are verified; once per mount by default.
    pub fn verification(mut self, verification: Verification) -> Self {
        self.verify = Verify::When(verification);
        self
    }

    /// Does not compare entries that are mapped with their checksums.
    ///
    /// # Safety
    ///
    /// Entries that were published to this folder never change: there is no failing disk, no crash that loses a part of a
    /// synced file, and no restored backup.
    pub unsafe fn never_verify(mut self) -> Self {
        self.verify = Verify::Never;
        self
    }

    /// Sets the limit of the folder in bytes, for all programs that use it and until another one is set. It covers what is
    /// stored and what is being written, in whole blocks of 4 KiB. The default is 10 GiB.
    ///
    /// A save that would exceed it first removes the least recently used entries, down to 90 % of the limit. A module that
    /// is larger than the limit is not stored. A folder that exceeds a new limit is reduced by the next save.
    ///
    /// If the limit cannot be set, for instance in a read-only folder, a warning is logged and the folder keeps its present
    /// limit; [`set_max_size`](FileSystemCache::set_max_size) returns an error instead.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// The bytes that saves keep free on the disk; by default 256 MiB, or a twentieth of the disk if that is less. Entries
    /// are removed to keep them free if that suffices, and otherwise the save is skipped. Removing an entry that is in use
    /// frees nothing; then no more are removed for ten minutes. With 0, a save is skipped only if the disk is full, and no
    /// entries are removed for free space.
    pub fn min_free(mut self, bytes: u64) -> Self {
        self.min_free = Some(bytes);
        self
    }

    /// Removes entries that were not used for this long, when room is made or the folder is pruned. By default, age does
    /// not count.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Lets every user of the machine read the folder, from now on; they can neither change anything nor take the cache's
    /// locks. By default, only its user can. Other users load only from a folder that root owns. On Windows, this changes
    /// nothing.
    pub fn world_readable(mut self) -> Self {
        self.world_readable = true;
        self
    }

    /// On macOS and Windows, maps entries on local disks (APFS, HFS+; NTFS, `ReFS`), and remembers until the next boot that they were
    /// verified, as is done on Linux in any case. Without this, each load there reads and hashes the whole entry.
    ///
    /// It is off by default, because what it relies on has not been tested on these systems: that attributes show each
    /// change of a file, and that mapped files can be replaced. A disk that was unplugged and changed elsewhere may not be
    /// noticed.
    pub fn experimental_mapping(mut self) -> Self {
        self.experimental_mapping = true;
        self
    }

    /// Only reads the folder, even if this process could write to it: for a folder that another program fills, such as one
    /// in a container image. It is not created.
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Refuses a folder below a directory in which another user could replace it. By default, a warning is logged. On
    /// Windows, neither is done.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Uses the folder without checking who owns it and who can write to it.
    ///
    /// # Safety
    ///
    /// Everybody who can write to the folder, or to a directory above it, may run code in this process: the folder's
    /// contents will be executed.
    pub unsafe fn skip_permission_checks(mut self) -> Self {
        self.skip_permission_checks = true;
        self
    }

    /// Opens the folder, creating it (for this user alone) if it does not exist.
    ///
    /// # Errors
    ///
    /// - [`CacheError::Untrusted`] if another user controls the folder, or if the process runs as root and would create the
    ///   folder below another user's directory.
    /// - [`CacheError::Io`] if it cannot be created or opened, or is not a directory.
    pub fn open(self) -> Result<FileSystemCache, CacheError> {
        let user = platform::effective_user();
        if !self.read_only {
            create_root(&self.root, user, self.world_readable)?;
        }
        let root = interrupted::again(|| fs::canonicalize(&self.root))
            .map_err(|error| CacheError::io("resolve the folder", &self.root, error))?;
        let root_directory = Directory::open(&root)
            .map_err(|error| CacheError::io("open the folder", &root, error))?;
        let (directory, is_new) = open_version(&root_directory, user, self.read_only)?;
        let attributes = directory
            .attributes()
            .map_err(|error| CacheError::io("examine the folder", directory.path(), error))?;
        if !self.skip_permission_checks {
            let objection = trust_check::objection(&attributes, user)
                .or_else(|| platform::objection_by_access_list(&directory));
            if let Some(reason) = objection {
                return Err(CacheError::untrusted(directory.path(), reason));
            }
            examine_ancestors(&root, user, self.strict)?;
            examine_links(&self.root, user, self.strict)?;
        }

        // Root's folder is read by everybody and written by root alone.
        let owned = attributes.owner == user || self.skip_permission_checks;
        let writable = owned && !self.read_only && directory.is_writable();
        if writable && is_new {
            write_markers(&root);
        }
        // SAFETY: without a key, what this folder holds is believed because of who can write to it: the
        // owner of `v1` is this user or root, its mode lets nobody else write, and every entry is checked
        // for the same when it is opened. Or the caller promised it, by `skip_permission_checks`.
        let trust = self
            .trust
            .unwrap_or_else(|| unsafe { Trust::unauthenticated() });
        let owner_check = (!self.skip_permission_checks).then_some(user);
        let hints = writable.then(|| Hints::open(&directory, user)).flatten();
        if writable && self.world_readable {
            share(&root_directory, &directory)
                .map_err(|error| CacheError::io("let others read the folder", &root, error))?;
        }
        let policy = Policy {
            trust,
            origins: self.origins,
            min_free: self.min_free,
            max_age: self.max_age,
            verify: self.verify,
            experimental_mapping: self.experimental_mapping,
            owner_check,
        };
        let ledger = writable.then(|| {
            if policy.maps() {
                let session = storage::session(directory.mount());
                Ledger::new(session, directory.storage(), owner_check)
            } else {
                // What is not known well enough to map is no reason to believe a total, either.
                Ledger::new(None, Storage::Remote, owner_check)
            }
        });
        let folder = Folder {
            root,
            directory,
            engines: EngineFolders::default(),
            policy,
            hints,
            ledger,
            silent: Silent::default(),
            counters: Counters::default(),
            limit: Mutex::default(),
            stuck: Mutex::default(),
            damaged: Mutex::default(),
        };
        let cache = FileSystemCache {
            folder: Arc::new(folder),
        };
        // A limit that cannot be set costs no start: what is stored is kept to the one that is there.
        if let Some(bytes) = self.max_size.filter(|_| writable) {
            if let Err(error) = cache.set_max_size(bytes) {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(
                    error,
                    "cannot set the limit of the folder; going on with its present one"
                );
            }
        }
        Ok(cache)
    }
}

/// Opens the folders of entries for reading. The tables, the ledger and the locks stay this user's.
fn share(root: &Directory, version: &Directory) -> io::Result<()> {
    root.let_others_read()?;
    version.let_others_read()?;
    let engines = version.names()?;
    for name in engines.iter().filter(|name| layout::is_engine_dir(name)) {
        // One that is another user's, or no folder at all, is not looked into either.
        if let Ok(engine) = version.open_directory(name) {
            if let Err(error) = engine.let_others_read() {
                tracing::warn!(%error, name, "cannot make the folder of an engine readable for others");
            }
        }
    }
    Ok(())
}

/// Creates the folder and what is missing above it, for this user alone, or for others to read.
fn create_root(root: &Path, user: u32, world_readable: bool) -> Result<(), CacheError> {
    let error = |error| CacheError::io("create the folder", root, error);
    let absolute = std::path::absolute(root).map_err(error)?;
    let Some(existing) = absolute
        .ancestors()
        .find(|path| path.symlink_metadata().is_ok())
    else {
        return Err(error(io::ErrorKind::NotFound.into()));
    };
    if existing == absolute {
        return Ok(());
    }
    refuse_root_below_another(existing, user)?;
    let missing: Vec<_> = absolute
        .ancestors()
        .take_while(|path| *path != existing)
        .collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&absolute).map_err(error)?;
    if world_readable {
        for path in missing {
            Directory::open(path)
                .and_then(|created| created.let_others_read())
                .map_err(error)?;
        }
    }
    Ok(())
}

/// Opens the folder of this format, creating it if necessary and allowed, and says whether it did.
fn open_version(
    root: &Directory,
    user: u32,
    read_only: bool,
) -> Result<(Directory, bool), CacheError> {
    let path = root.path().join(layout::VERSION_DIR);
    let open = || root.open_directory(layout::VERSION_DIR);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !read_only => {
            refuse_root_below_another(root.path(), user)?;
            root.create_directory(layout::VERSION_DIR)
                .and_then(|()| open())
                .map(|directory| (directory, true))
                .map_err(|error| CacheError::io("create the folder", &path, error))
        }
        outcome => outcome
            .map(|directory| (directory, false))
            .map_err(|error| CacheError::io("open the folder", &path, error)),
    }
}

/// Root creates nothing where another user decides what becomes of it, however far above and behind whatever link.
fn refuse_root_below_another(path: &Path, user: u32) -> Result<(), CacheError> {
    let error = |error| CacheError::io("examine the folder", path, error);
    let real = interrupted::again(|| fs::canonicalize(path)).map_err(error)?;
    let Some((path, owner)) = platform::another_users(&real, user) else {
        return Ok(());
    };
    let reason = format!(
        "it belongs to user {owner}, and root creates nothing there; run as that user, or choose a folder of root's own"
    );
    Err(CacheError::untrusted(path, reason))
}

fn examine_ancestors(root: &Path, user: u32, strict: bool) -> Result<(), CacheError> {
    let Some(weak) = platform::weak_ancestor(root, user) else {
        return Ok(());
    };
    let reason = "others can replace what is in it; `chmod go-w` it, or choose another folder";
    if strict || weak == root {
        return Err(CacheError::untrusted(weak, reason));
    }
    tracing::warn!(path = %weak.display(), reason, "the cache is below a directory that others control");
    Ok(())
}

/// The folder may be fine that a link leads to, and not the link.
fn examine_links(root: &Path, user: u32, strict: bool) -> Result<(), CacheError> {
    let given = std::path::absolute(root)
        .map_err(|error| CacheError::io("resolve the folder", root, error))?;
    let Some(weak) = platform::weak_link(&given, user) else {
        return Ok(());
    };
    let reason = "others can replace this link to the folder; name the folder itself";
    if strict {
        return Err(CacheError::untrusted(weak, reason));
    }
    tracing::warn!(path = %weak.display(), reason, "the cache is behind a link that others control");
    Ok(())
}

/// Best effort: a cache without the markers works as well.
fn write_markers(root: &Path) {
    for (name, text) in layout::MARKERS {
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
        let created = options.open(root.join(name));
        if let Ok(mut file) = created {
            let _ = file.write_all(text.as_bytes());
        }
    }
}

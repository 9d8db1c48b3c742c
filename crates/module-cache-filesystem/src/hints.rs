//! What is remembered about entries between processes: when they were last used, and that they were
//! verified since the machine started. Lossy by design: a lost hint costs one hash.
//!
//! `<root>/v1/hints` is a table of buckets with four slots of 128 bytes. A key has one bucket; in it, its
//! slot is the one with its tag, or else takes the place of the one used longest ago. One `pread` finds
//! everything, one `pwrite` records everything, and no lock is taken: two writers may lose one's hint,
//! and a torn stamp matches no file.
//!
//! | bytes | |
//! |---|---|
//! | 0..16 | tag of the key |
//! | 16..24 | last use, seconds since 1970 |
//! | 24..124 | five stamps, the latest first |
//!
//! A stamp is the first 20 bytes of the BLAKE3 of what is known (that the file was written here, or that it is what it should
//! be), the session, and the device, inode, size, time of change (ns) and number of the last change of the file. Containers that share a folder see it through mounts of their own, and
//! each has a stamp.

use std::fs::File;
use std::io;
use std::time::Duration;

use module_cache_core::{EntryKey, ModuleHash};

use crate::directory::{Attributes, Directory};
use crate::positional::{read_exact_at, write_all_at};
use crate::{layout, table};

const SLOT: usize = 128;
const STAMP: usize = 20;
const STAMPS_AT: usize = 24;
const STAMPS: usize = 5;
const WAYS: usize = 4;
const BUCKET: usize = SLOT * WAYS;
/// Buckets of the table: room for 131,072 entries. The file is sparse, so unused ones take no space.
const BUCKETS: u64 = 1 << 15;

/// How much later a use must be to be written down: recency decides what is evicted, not what is right.
const USE_GRANULARITY: Duration = Duration::from_secs(30);

/// What a stamp says of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// That it was published through this mount since the machine started.
    Written,
    /// That its contents are what they should be.
    Verified,
}

/// The table of hints, open.
#[derive(Debug)]
pub(crate) struct Hints {
    file: File,
}

impl Hints {
    /// Opens the table, creating it if necessary. `None` where it cannot be relied on: then every load
    /// verifies.
    pub(crate) fn open(directory: &Directory, user: u32) -> Option<Self> {
        let open = || -> io::Result<Option<File>> {
            let Some((file, attributes)) = table::open(directory, layout::HINTS_FILE, user)? else {
                return Ok(None);
            };
            let size = BUCKETS * BUCKET as u64;
            if attributes.size != size {
                file.set_len(size)?;
            }
            Ok(Some(file))
        };
        match open() {
            Ok(file) => Some(Self { file: file? }),
            Err(error) => {
                tracing::debug!(%error, "cannot open the table of hints; every load verifies, and uses are not recorded");
                None
            }
        }
    }

    /// What is remembered of `key`.
    pub(crate) fn find(&self, key: &EntryKey) -> Hint {
        self.find_tag(tag(key.hash(), &key.engine().digest()[..8]))
    }

    /// When an entry was last used, since 1970; zero if that is not known. The engine is known by its folder,
    /// which ends in the first digits of the digest.
    pub(crate) fn last_use(&self, engine: &str, module: ModuleHash) -> Duration {
        let digits = engine.len().checked_sub(16).and_then(|at| engine.get(at..));
        let Some(prefix) = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()) else {
            return Duration::ZERO;
        };
        self.find_tag(tag(module, &prefix.to_be_bytes())).last_use()
    }

    fn find_tag(&self, tag: [u8; 16]) -> Hint {
        let bucket = (u64_at(&tag, 0) % BUCKETS) * BUCKET as u64;
        let mut slots = [0; BUCKET];
        if read_exact_at(&self.file, &mut slots, bucket).is_err() {
            slots = [0; BUCKET];
        }
        let slots = slots.chunks_exact(SLOT);
        let place = slots.clone().position(|slot| slot[..16] == tag);
        let victim = || {
            let uses = slots.clone().map(|slot| u64_at(slot, 16));
            uses.enumerate()
                .min_by_key(|&(_, used)| used)
                .map_or(0, |(way, _)| way)
        };
        let mut slot = [0; SLOT];
        slot[..16].copy_from_slice(&tag);
        if let Some(found) = place.and_then(|place| slots.clone().nth(place)) {
            slot.copy_from_slice(found);
        }
        Hint {
            offset: bucket + (place.unwrap_or_else(victim) * SLOT) as u64,
            slot,
        }
    }

    /// Writes down that the entry was used at `seen`, when it had these attributes, and what is now known of it. A use soon
    /// after the last one is not written.
    ///
    /// A file that just changed may change again without showing it: see [`Sight::is_settled`].
    pub(crate) fn record(&self, hint: &Hint, sight: &Sight, known: &[Known]) {
        let seen = sight.seen;
        // A use in the future was written under a wrong clock: the present one is what counts.
        let elapsed = seen.checked_sub(hint.last_use());
        let fresh = elapsed.is_some_and(|elapsed| elapsed < USE_GRANULARITY);
        let stamps = known.iter().filter_map(|&known| sight.stamp(known));
        if fresh && stamps.clone().next().is_none() {
            return;
        }
        let mut slot = hint.slot;
        slot[16..STAMPS_AT].copy_from_slice(&seen.as_secs().to_le_bytes());
        for stamp in stamps {
            let stamps = &mut slot[STAMPS_AT..STAMPS_AT + STAMPS * STAMP];
            stamps.rotate_right(STAMP);
            stamps[..STAMP].copy_from_slice(&stamp);
        }
        if let Err(error) = write_all_at(&self.file, &slot, hint.offset) {
            tracing::debug!(%error, "cannot record a hint");
        }
    }
}

/// A file as it was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    /// The boot and the mount; `None` where the system does not tell.
    pub(crate) session: Option<u64>,
    pub(crate) attributes: Attributes,
    /// When the attributes were asked for.
    pub(crate) seen: Duration,
}

impl Sight {
    /// Whether a change since then would show in the file's time of change.
    pub(crate) fn is_settled(&self) -> bool {
        table::is_settled(self.attributes.changed, self.seen)
    }

    fn stamp(&self, known: Known) -> Option<[u8; STAMP]> {
        let digest = table::digest(&[
            known as u64,
            self.session?,
            self.attributes.device,
            self.attributes.inode,
            self.attributes.size,
            table::time(self.attributes.changed),
            self.attributes.usn,
        ]);
        digest.first_chunk().copied()
    }
}

/// The slot of one key, as it was found.
#[derive(Debug)]
pub(crate) struct Hint {
    offset: u64,
    slot: [u8; SLOT],
}

impl Hint {
    /// When the entry was last used, since 1970; zero if that is not known.
    pub(crate) fn last_use(&self) -> Duration {
        Duration::from_secs(u64_at(&self.slot, 16))
    }

    /// Whether this is known of a file that looks like this now.
    pub(crate) fn has(&self, sight: &Sight, known: Known) -> bool {
        let stamps = &self.slot[STAMPS_AT..STAMPS_AT + STAMPS * STAMP];
        let mut stamps = stamps.chunks_exact(STAMP);
        sight
            .stamp(known)
            .is_some_and(|stamp| stamps.any(|known| known == stamp))
    }
}

/// Tells keys apart by what a folder's listing shows: the module's hash, and 8 bytes of the engine's
/// digest. Both are uniform, so their sum is too.
fn tag(module: ModuleHash, engine: &[u8]) -> [u8; 16] {
    let mut tag = [0; 16];
    let engine = engine.iter().cycle();
    for (to, (module, engine)) in tag.iter_mut().zip(module.as_bytes().iter().zip(engine)) {
        *to = module ^ engine;
    }
    tag
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..]
        .first_chunk()
        .map_or(0, |field| u64::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::directory::Kind;
    use crate::platform;
    use module_cache_core::EngineId;

    struct Fixture {
        directory: Directory,
        user: u32,
        _keep: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let keep = tempfile::tempdir().unwrap();
        let directory = Directory::open(keep.path()).unwrap();
        Fixture {
            directory,
            user: platform::effective_user(),
            _keep: keep,
        }
    }

    fn key(n: u32) -> EntryKey {
        EntryKey::new(
            ModuleHash::of(&n.to_le_bytes()),
            EngineId::builder("e").build(),
        )
    }

    fn attributes() -> Attributes {
        Attributes {
            kind: Kind::File,
            size: 10,
            owner: 0,
            mode: 0o444,
            device: 1,
            inode: 2,
            changed: 3_000_000_000,
            modified: 3_000_000_000,
            usn: 0,
        }
    }

    fn sight(attributes: Attributes) -> Sight {
        Sight {
            session: Some(7),
            attributes,
            seen: clock::now(),
        }
    }

    fn use_of(hints: &Hints, n: u32, sight: &Sight, known: &[Known]) {
        hints.record(&hints.find(&key(n)), sight, known);
    }

    fn has(hints: &Hints, n: u32, sight: &Sight) -> bool {
        hints.find(&key(n)).has(sight, Known::Verified)
    }

    #[test]
    fn a_stamp_holds_for_the_same_file_in_the_same_session_only() {
        let fixture = fixture();
        let hints = Hints::open(&fixture.directory, fixture.user).unwrap();
        let (file, known) = (attributes(), sight(attributes()));
        assert!(!has(&hints, 1, &known));
        use_of(&hints, 1, &known, &[Known::Verified]);
        assert!(has(&hints, 1, &known));
        for other in [
            Attributes { device: 9, ..file },
            Attributes { inode: 9, ..file },
            Attributes { size: 9, ..file },
            Attributes { changed: 9, ..file },
            Attributes { usn: 9, ..file },
        ] {
            assert!(!has(&hints, 1, &sight(other)), "{other:?}");
        }
        assert!(!has(&hints, 2, &known));
        // Another boot, or another mount.
        for session in [Some(8), None] {
            assert!(!has(&hints, 1, &Sight { session, ..known }));
        }
        let unknown = Sight {
            session: None,
            ..known
        };
        use_of(&hints, 3, &unknown, &[Known::Verified]);
        assert!(!has(&hints, 3, &unknown));
    }

    #[test]
    fn several_mounts_have_their_stamps_at_once() {
        let fixture = fixture();
        let hints = Hints::open(&fixture.directory, fixture.user).unwrap();
        let of_mount = |mount| Sight {
            session: Some(mount),
            ..sight(attributes())
        };
        for mount in 0..STAMPS as u64 {
            use_of(&hints, 1, &of_mount(mount), &[Known::Verified]);
        }
        for mount in 0..STAMPS as u64 {
            assert!(has(&hints, 1, &of_mount(mount)), "{mount}");
        }
    }

    /// What counts is when the attributes were asked for: hashing may take longer than a file takes to settle.
    #[test]
    fn a_file_that_had_just_changed_when_it_was_looked_at_is_not_settled() {
        let changed = Duration::from_secs(1_000_000);
        for (age, settled) in [(0, false), (1, false), (2, false), (3, true)] {
            let file = Sight {
                seen: changed + Duration::from_secs(age),
                ..sight(Attributes {
                    changed: i64::try_from(changed.as_nanos()).unwrap(),
                    ..attributes()
                })
            };
            assert_eq!(file.is_settled(), settled, "{age}");
        }
    }

    #[test]
    fn that_a_file_was_written_here_does_not_say_that_it_is_what_it_should_be() {
        let fixture = fixture();
        let hints = Hints::open(&fixture.directory, fixture.user).unwrap();
        let file = sight(attributes());
        use_of(&hints, 1, &file, &[Known::Written]);
        assert!(hints.find(&key(1)).has(&file, Known::Written));
        assert!(!has(&hints, 1, &file));
        use_of(&hints, 1, &file, &[Known::Written, Known::Verified]);
        assert!(has(&hints, 1, &file));
    }

    #[test]
    fn a_use_is_remembered_and_a_use_in_the_future_is_not_believed() {
        let fixture = fixture();
        let hints = Hints::open(&fixture.directory, fixture.user).unwrap();
        let now = clock::now().as_secs();
        use_of(&hints, 1, &sight(attributes()), &[]);
        assert!(hints.find(&key(1)).last_use().as_secs() >= now);

        let mut hint = hints.find(&key(1));
        hint.slot[16..24].copy_from_slice(&(now + 1_000_000).to_le_bytes());
        write_all_at(&hints.file, &hint.slot, hint.offset).unwrap();
        use_of(&hints, 1, &sight(attributes()), &[]);
        assert!(hints.find(&key(1)).last_use().as_secs() <= now + 60);
    }

    #[test]
    fn a_full_bucket_forgets_the_key_used_longest_ago() {
        let fixture = fixture();
        let hints = Hints::open(&fixture.directory, fixture.user).unwrap();
        let first = hints.find(&key(0)).offset / BUCKET as u64;
        let sharing: Vec<_> = (0..)
            .map(key)
            .filter(|key| hints.find(key).offset / BUCKET as u64 == first)
            .take(WAYS + 1)
            .collect();
        for (age, key) in sharing[..WAYS].iter().enumerate() {
            let mut hint = hints.find(key);
            hint.slot[16..24].copy_from_slice(&(100 - age as u64).to_le_bytes());
            write_all_at(&hints.file, &hint.slot, hint.offset).unwrap();
        }
        hints.record(&hints.find(&sharing[WAYS]), &sight(attributes()), &[]);
        let known: Vec<_> = sharing
            .iter()
            .map(|key| !hints.find(key).last_use().is_zero())
            .collect();
        assert_eq!(known, [true, true, true, false, true]);
    }

    #[test]
    fn a_table_of_another_size_or_of_noise_is_no_stamp() {
        let fixture = fixture();
        std::fs::write(
            fixture.directory.path().join(layout::HINTS_FILE),
            [0xff; 1000],
        )
        .unwrap();
        let hints = Hints::open(&fixture.directory, fixture.user).unwrap();
        for n in 0..50 {
            assert!(!has(&hints, n, &sight(attributes())));
        }
    }
}

//! How many bytes are published, known at every moment without looking.
//!
//! `<root>/v1/ledger` is one record of 256 bytes: the total, and at most one **intent**, the change of the
//! total that somebody is about to make true by one rename or one removal. Everything that changes the
//! total is done under the ledger's lock, in three steps: write the intent, do it, write the new total.
//! Whoever takes the lock after a process died in between finds the intent, and one `stat` tells whether
//! it was carried out. So the total is exact, whoever dies when, and publishing under a cap never exceeds
//! it. (What was tried first, to check, publish and add, drifts with every death.)
//!
//! A record of another boot, or one whose checksum does not match, costs one scan of the folder.
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | magic |
//! | 8..16 | boot |
//! | 16..24 | total of published bytes, in whole blocks |
//! | 24..32 | intent: 0 none, 1 publish, 2 remove |
//! | 32..40 | intent: inode of the file to be published or removed |
//! | 40..48 | intent: bytes that publishing it adds |
//! | 48..56 | intent: bytes that its removal, or that of what it replaces, takes away |
//! | 56..64 | intent: length of the name |
//! | 64..224 | intent: name |
//! | 224..256 | BLAKE3 of what stands before |

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use fs4::{FileExt, TryLockError};
use module_cache_core::ModuleHash;
use parking_lot::{Mutex, MutexGuard};

use crate::directory::{Directory, Kind};
use crate::positional::{read_exact_at, write_all_at};
use crate::{clock, layout, scan};

const RECORD: usize = 256;
const NAME_AT: usize = 64;
const NAME_MAX: usize = 160;
const CHECKSUM_AT: usize = RECORD - 32;
const MAGIC: [u8; 8] = *b"mcledg1\n";

/// How long to wait for others who publish or prune, before doing without.
const PATIENCE: Duration = Duration::from_secs(5);

/// Space is given out in blocks, so that is how it is counted; an empty file still takes its name.
pub(crate) fn blocks(len: u64) -> u64 {
    len.max(1).next_multiple_of(4096)
}

/// The ledger of a folder that this process may write to.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// `flock` does not tell the threads of one process apart; this does.
    file: Mutex<File>,
    boot: u64,
}

impl Ledger {
    pub(crate) fn open(directory: &Directory) -> io::Result<Self> {
        let file = directory.open_or_create(layout::LEDGER_FILE)?;
        Ok(Self {
            file: Mutex::new(file),
            boot: clock::boot_id().unwrap_or(0),
        })
    }

    /// Takes the lock and brings the ledger up to date. `None` if others held it for too long.
    pub(crate) fn lock<'a>(
        &'a self,
        directory: &'a Directory,
    ) -> io::Result<Option<LedgerGuard<'a>>> {
        self.lock_until(directory, Instant::now() + PATIENCE)
    }

    /// The same, if nobody else has the lock.
    pub(crate) fn lock_now<'a>(
        &'a self,
        directory: &'a Directory,
    ) -> io::Result<Option<LedgerGuard<'a>>> {
        self.lock_until(directory, Instant::now())
    }

    fn lock_until<'a>(
        &'a self,
        directory: &'a Directory,
        deadline: Instant,
    ) -> io::Result<Option<LedgerGuard<'a>>> {
        let Some(file) = self.file.try_lock_until(deadline) else {
            return Ok(None);
        };
        if !lock_until(&file, deadline)? {
            return Ok(None);
        }
        let mut guard = LedgerGuard {
            directory,
            file,
            boot: self.boot,
            total: 0,
        };
        match read(&guard.file, self.boot) {
            Some((total, intent)) => {
                guard.total = total;
                if let Some(intent) = intent {
                    guard.recover(&intent);
                }
            }
            None => guard.recount()?,
        }
        Ok(Some(guard))
    }
}

/// The ledger, open and locked until dropped.
#[derive(Debug)]
pub(crate) struct LedgerGuard<'a> {
    directory: &'a Directory,
    file: MutexGuard<'a, File>,
    boot: u64,
    total: u64,
}

impl LedgerGuard<'_> {
    /// Bytes published, in whole blocks.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// What publishing `len` bytes under `name` would make the total.
    pub(crate) fn total_with(&self, name: &str, len: u64) -> u64 {
        self.total
            .saturating_sub(self.taken_by(name))
            .saturating_add(blocks(len))
    }

    /// Does what publishes the file with this inode under `name`.
    pub(crate) fn publish(
        &mut self,
        name: &str,
        inode: u64,
        len: u64,
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let intent = Intent {
            publish: true,
            inode,
            adds: blocks(len),
            takes: self.taken_by(name),
            name,
        };
        self.write(Some(&intent))?;
        rename()?;
        self.total = self
            .total
            .saturating_sub(intent.takes)
            .saturating_add(intent.adds);
        self.write(None)
    }

    /// Removes the file `name`, if there is one, and returns how many bytes it took, in whole blocks.
    pub(crate) fn remove(&mut self, name: &str) -> io::Result<Option<u64>> {
        let attributes = match self.directory.attributes_of(name) {
            Ok(attributes) => attributes,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                    _ => Err(error),
                };
            }
        };
        let takes = blocks(attributes.size);
        let intent = Intent {
            publish: false,
            inode: attributes.inode,
            adds: 0,
            takes,
            name,
        };
        self.write(Some(&intent))?;
        match self.directory.remove_file(name) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.total = self.total.saturating_sub(takes);
        self.write(None)?;
        Ok(Some(takes))
    }

    /// Takes the total from what is really there.
    pub(crate) fn recount(&mut self) -> io::Result<()> {
        let listing = scan::list(self.directory)?;
        self.correct(
            listing
                .entries
                .iter()
                .map(|entry| blocks(entry.attributes.size))
                .sum(),
        )
    }

    /// Replaces the total by one that was counted under this lock.
    pub(crate) fn correct(&mut self, total: u64) -> io::Result<()> {
        if total != self.total {
            tracing::debug!(was = self.total, total, "the ledger is corrected");
        }
        self.total = total;
        self.write(None)
    }

    /// Finds out whether the journaled change came to pass whose process died.
    fn recover(&mut self, intent: &Intent<String>) {
        let found = self
            .directory
            .attributes_of(&intent.name)
            .ok()
            .map(|found| found.inode);
        let done = (found == Some(intent.inode)) == intent.publish;
        if done {
            self.total = self
                .total
                .saturating_sub(intent.takes)
                .saturating_add(intent.adds);
        }
        tracing::debug!(
            name = intent.name,
            done,
            "recovered the change of a process that died"
        );
    }

    fn taken_by(&self, name: &str) -> u64 {
        match self.directory.attributes_of(name) {
            Ok(found) if found.kind == Kind::File => blocks(found.size),
            _ => 0,
        }
    }

    fn write(&self, intent: Option<&Intent<&str>>) -> io::Result<()> {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&MAGIC);
        put(&mut record, 8, self.boot);
        put(&mut record, 16, self.total);
        if let Some(intent) = intent {
            let name = intent.name.as_bytes();
            if name.len() > NAME_MAX {
                return Err(io::ErrorKind::InvalidFilename.into());
            }
            put(&mut record, 24, if intent.publish { 1 } else { 2 });
            put(&mut record, 32, intent.inode);
            put(&mut record, 40, intent.adds);
            put(&mut record, 48, intent.takes);
            put(&mut record, 56, name.len() as u64);
            record[NAME_AT..NAME_AT + name.len()].copy_from_slice(name);
        }
        let checksum = checksum(&record);
        record[CHECKSUM_AT..].copy_from_slice(&checksum);
        write_all_at(&self.file, &record, 0)
    }
}

impl Drop for LedgerGuard<'_> {
    fn drop(&mut self) {
        // Closing releases the lock too, but not while a forked child has the descriptor.
        let _ = FileExt::unlock(&*self.file);
    }
}

/// A change of the total that is about to come true.
#[derive(Debug)]
struct Intent<N> {
    /// Or else remove.
    publish: bool,
    inode: u64,
    adds: u64,
    takes: u64,
    name: N,
}

/// The total and the intent, if they are to be believed.
fn read(file: &File, boot: u64) -> Option<(u64, Option<Intent<String>>)> {
    let mut record = [0; RECORD];
    read_exact_at(file, &mut record, 0).ok()?;
    if record[..8] != MAGIC || record[CHECKSUM_AT..] != checksum(&record) || get(&record, 8) != boot
    {
        return None;
    }
    let intent = match get(&record, 24) {
        0 => None,
        kind => {
            let len = usize::try_from(get(&record, 56))
                .ok()
                .filter(|len| *len <= NAME_MAX)?;
            Some(Intent {
                publish: kind == 1,
                inode: get(&record, 32),
                adds: get(&record, 40),
                takes: get(&record, 48),
                name: std::str::from_utf8(&record[NAME_AT..NAME_AT + len])
                    .ok()?
                    .to_owned(),
            })
        }
    };
    Some((get(&record, 16), intent))
}

fn checksum(record: &[u8; RECORD]) -> [u8; 32] {
    *ModuleHash::of(&record[..CHECKSUM_AT]).as_bytes()
}

fn get(record: &[u8], at: usize) -> u64 {
    record[at..]
        .first_chunk()
        .map_or(0, |field| u64::from_le_bytes(*field))
}

fn put(record: &mut [u8], at: usize, value: u64) {
    record[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Takes the lock of the file, trying until the deadline. A file system without locks is used without:
/// its total may drift, and pruning corrects it.
fn lock_until(file: &File, deadline: Instant) -> io::Result<bool> {
    let mut pause = Duration::from_micros(50);
    loop {
        match FileExt::try_lock(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(false),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error))
                if error.kind() == io::ErrorKind::Unsupported
                    || error.kind() == io::ErrorKind::InvalidInput =>
            {
                return Ok(true);
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str =
        "engine-0123456789abcdef/0000000000000000000000000000000000000000000000000000000000000001";

    struct Fixture {
        directory: Directory,
        ledger: Ledger,
        keep: tempfile::TempDir,
    }

    fn fixture() -> Fixture {
        let keep = tempfile::tempdir().unwrap();
        std::fs::create_dir(keep.path().join("engine-0123456789abcdef")).unwrap();
        let directory = Directory::open(keep.path()).unwrap();
        let ledger = Ledger::open(&directory).unwrap();
        Fixture {
            directory,
            ledger,
            keep,
        }
    }

    impl Fixture {
        fn lock(&self) -> LedgerGuard<'_> {
            self.ledger.lock(&self.directory).unwrap().unwrap()
        }

        /// Writes a file and returns its inode.
        fn file(&self, name: &str, len: usize) -> u64 {
            std::fs::write(self.keep.path().join(name), vec![0; len]).unwrap();
            self.directory.attributes_of(name).unwrap().inode
        }
    }

    /// Publishes and dies: before the rename, or behind it.
    fn die_publishing(fixture: &Fixture, after_rename: bool) {
        let inode = fixture.file("temporary", 5000);
        let mut guard = fixture.lock();
        let outcome = guard.publish(NAME, inode, 5000, || {
            if after_rename {
                fixture.directory.rename("temporary", NAME)?;
            }
            Err(io::Error::other("killed"))
        });
        assert!(outcome.is_err());
    }

    #[test]
    fn what_a_process_journaled_and_did_not_do_is_not_counted() {
        let fixture = fixture();
        die_publishing(&fixture, false);
        assert_eq!(fixture.lock().total(), 0);
    }

    #[test]
    fn what_a_process_did_and_did_not_write_down_is_counted() {
        let fixture = fixture();
        die_publishing(&fixture, true);
        assert_eq!(fixture.lock().total(), 8192);
        // And once only.
        let mut guard = fixture.lock();
        let total = guard.total();
        guard.correct(total).unwrap();
        drop(guard);
        assert_eq!(fixture.lock().total(), 8192);
    }

    #[test]
    fn a_replaced_file_is_no_longer_counted() {
        let fixture = fixture();
        die_publishing(&fixture, true);
        let inode = fixture.file("temporary", 100);
        let mut guard = fixture.lock();
        assert_eq!(guard.total_with(NAME, 100), 4096);
        guard
            .publish(NAME, inode, 100, || {
                fixture.directory.rename("temporary", NAME)
            })
            .unwrap();
        assert_eq!(guard.total(), 4096);
        assert_eq!(guard.remove(NAME).unwrap(), Some(4096));
        assert_eq!(guard.remove(NAME).unwrap(), None);
        drop(guard);
        assert_eq!(fixture.lock().total(), 0);
    }

    #[test]
    fn a_damaged_ledger_and_one_of_another_boot_are_counted_anew() {
        let mut fixture = fixture();
        fixture.file(NAME, 5000);
        let path = fixture.keep.path().join(layout::LEDGER_FILE);
        for at in [0, 10, 20, 100, 255] {
            drop(fixture.lock());
            let mut record = std::fs::read(&path).unwrap();
            record[at] ^= 1;
            std::fs::write(&path, record).unwrap();
            assert_eq!(fixture.lock().total(), 8192, "byte {at}");
        }
        fixture.lock().correct(1 << 40).unwrap();
        assert_eq!(fixture.lock().total(), 1 << 40);
        fixture.ledger.boot ^= 1;
        assert_eq!(fixture.lock().total(), 8192);
    }

    #[test]
    fn threads_and_handles_take_turns() {
        let fixture = fixture();
        let other = Ledger::open(&fixture.directory).unwrap();
        std::thread::scope(|scope| {
            for ledger in [&fixture.ledger, &fixture.ledger, &other, &other] {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let mut guard = ledger.lock(&fixture.directory).unwrap().unwrap();
                        let total = guard.total();
                        std::thread::yield_now();
                        guard.correct(total + 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(fixture.lock().total(), 400);
    }
}

//! How many bytes are published, known at every moment without looking.
//!
//! `<root>/v1/ledger` is one record of 512 bytes: the total, and at most one **intent**, the change of the
//! total that somebody is about to make true by one rename or one removal. Everything that changes the
//! total is done under the ledger's lock, in three steps: write the intent, do it, write the new total.
//! Whoever takes the lock after a process died in between finds the intent, and one `stat` tells whether
//! it was carried out. So the total is exact, whoever dies when, and publishing under a cap never exceeds
//! it. (What was tried first, to check, publish and add, drifts with every death.)
//!
//! The file is opened each time: a lock that was taken through a descriptor of an earlier time could be that of a file
//! that was deleted since, or shared with a forked child.
//!
//! A record is believed if somebody who saw the folder through the same mount, since the machine started, wrote it there:
//! a crash may have lost what it counts, and another system may have changed that. The file's time of change tells a
//! record that was written from one that was put back more than a tenth of a second later. What is not believed costs one
//! scan of the folder.
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | magic |
//! | 8..16 | when it was written, ns since 1970 |
//! | 16..24 | total of published bytes, in whole blocks |
//! | 24..32 | when an eviction last gained no space on the disk, s since 1970; or 0 |
//! | 32..40 | intent: 0 none, 1 publish, 2 remove |
//! | 40..48 | intent: inode of the file to be published or removed |
//! | 48..56 | intent: bytes that publishing it adds |
//! | 56..64 | intent: bytes that its removal, or that of what it replaces, takes away |
//! | 64..72 | intent: length of the name |
//! | 72..232 | intent: name |
//! | 232..360 | the sessions (boot and mount) that the total is of, the latest first |
//! | 480..512 | BLAKE3 of what stands before |

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use module_cache_core::ModuleHash;

use crate::directory::{Attributes, Directory, Kind, blocks};
use crate::lock::{self, Attempt};
use crate::positional::{read_exact_at, write_all_at};
use crate::scan::{self, Listing};
use crate::storage::Storage;
use crate::{clock, layout};

const RECORD: usize = 512;
const NAME_AT: usize = 72;
const NAME_MAX: usize = 160;
const SESSIONS_AT: usize = 232;
const SESSIONS: usize = 16;
const CHECKSUM_AT: usize = RECORD - 32;
const MAGIC: [u8; 8] = *b"mcledg2\n";

/// How long to wait for others who publish or prune, before doing without.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long after a record was made its file may have changed. A writer that took longer costs a scan.
const WRITING: Duration = Duration::from_millis(100);

/// How the ledger of a folder that this process may write to is used.
#[derive(Debug)]
pub(crate) struct Ledger {
    session: u64,
    /// Whether the time of change of a file says when it was written.
    dated: bool,
    owner_check: Option<u32>,
}

impl Ledger {
    /// The ledger of a folder, of which the session is known where the system tells boots and mounts apart.
    pub(crate) fn new(session: Option<u64>, storage: Storage, owner_check: Option<u32>) -> Self {
        Self {
            // Elsewhere, a handle believes what it wrote itself.
            session: session.unwrap_or_else(unique),
            dated: storage != Storage::Remote,
            owner_check,
        }
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
        let (file, attributes) = loop {
            let file = directory.open_or_create(layout::LEDGER_FILE)?;
            if lock::exclusive_until(&file, deadline)? == Attempt::Held {
                return Ok(None);
            }
            let attributes = examine(&file)?;
            match directory.attributes_of(layout::LEDGER_FILE) {
                Ok(named) if is_same(&named, &attributes) => break (file, attributes),
                // Somebody deleted it between opening and locking; others lock a new one.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        };
        let mut guard = LedgerGuard {
            directory,
            ledger: self,
            file,
            own: attributes,
            record: Record::default(),
        };
        guard.bring_up_to_date()?;
        Ok(Some(guard))
    }

    fn believes(&self, record: &Record, written: i64) -> bool {
        // Some file systems keep whole seconds.
        let rounding = Duration::from_secs(u64::from(written % 1_000_000_000 == 0));
        let written = clock::from_nanoseconds(written);
        let put_back = written.abs_diff(record.written) > WRITING + rounding;
        record.sessions.contains(&self.session) && !(self.dated && put_back)
    }
}

/// What the file is: a regular one, for this user alone, since who can open it can lock it.
fn examine(file: &File) -> io::Result<Attributes> {
    let attributes = Directory::attributes_of_file(file)?;
    if attributes.kind != Kind::File {
        let text = "the ledger is not a regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    if attributes.mode & 0o077 != 0 {
        Directory::make_private(file)?;
        return Directory::attributes_of_file(file);
    }
    Ok(attributes)
}

/// A removal must not fail for want of space.
fn unless_full(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ) =>
        {
            tracing::debug!(%error, "cannot write the ledger");
            Ok(())
        }
        written => written,
    }
}

/// Whether it is this process that lacks something, and not the file that is in a bad way.
fn is_passing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::OutOfMemory || Directory::is_out_of_descriptors(error)
}

/// A number that no other handle has.
fn unique() -> u64 {
    use std::hash::{BuildHasher, RandomState};

    RandomState::new().hash_one(std::process::id())
}

fn is_same(a: &Attributes, b: &Attributes) -> bool {
    (a.device, a.inode) == (b.device, b.inode)
}

/// The ledger, open and locked until dropped.
#[derive(Debug)]
pub(crate) struct LedgerGuard<'a> {
    directory: &'a Directory,
    ledger: &'a Ledger,
    file: File,
    /// Of the file, when it was locked.
    own: Attributes,
    record: Record,
}

impl LedgerGuard<'_> {
    fn bring_up_to_date(&mut self) -> io::Result<()> {
        let Some((record, intent)) = read(&self.file)? else {
            return self.recount();
        };
        let believed = self.ledger.believes(&record, self.own.changed);
        // Even one that is not says what an unreadable part of the folder may take.
        self.record = record;
        match intent {
            _ if !believed => self.recount(),
            Some(intent) => self.recover(&intent),
            None => Ok(()),
        }
    }

    /// Bytes published, in whole blocks.
    pub(crate) fn total(&self) -> u64 {
        self.record.total
    }

    /// When an eviction last gained no space on the disk, since 1970.
    pub(crate) fn fruitless(&self) -> Duration {
        self.record.fruitless
    }

    /// Writes down that an eviction just gained no space on the disk.
    pub(crate) fn note_fruitless(&mut self) -> io::Result<()> {
        self.record.fruitless = clock::now();
        self.write(None)
    }

    /// Does what publishes the file with this inode under `name`, in the place of what was `replaced` there.
    pub(crate) fn publish(
        &mut self,
        name: &str,
        inode: u64,
        len: u64,
        replaced: io::Result<Attributes>,
        rename: impl FnOnce(&Self) -> io::Result<()>,
    ) -> io::Result<()> {
        let takes = match replaced {
            Ok(found) if found.kind == Kind::File => blocks(found.size),
            Ok(_) => 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let intent = Intent {
            publish: true,
            inode,
            adds: blocks(len),
            takes,
            name,
        };
        self.write(Some(&intent))?;
        rename(self)?;
        self.carry_out(intent.adds, intent.takes)
    }

    /// Removes the file `name`, if there is one, and returns how many bytes it took, in whole blocks. Where `only` is
    /// given, a file with other attributes stays.
    pub(crate) fn remove(
        &mut self,
        name: &str,
        only: Option<&Attributes>,
    ) -> io::Result<Option<u64>> {
        self.take_away(name, only, Directory::remove_file)
    }

    /// The same by `act`, which removes the file from its name in its folder.
    pub(crate) fn take_away(
        &mut self,
        name: &str,
        only: Option<&Attributes>,
        act: impl FnOnce(&Directory, &str) -> io::Result<()>,
    ) -> io::Result<Option<u64>> {
        let Some(attributes) = self.attributes_of(name)? else {
            return Ok(None);
        };
        if only.is_some_and(|only| *only != attributes) {
            return Ok(None);
        }
        let takes = match attributes.kind {
            Kind::File => blocks(attributes.size),
            // It was never counted.
            _ => 0,
        };
        let intent = Intent {
            publish: false,
            inode: attributes.inode,
            adds: 0,
            takes,
            name,
        };
        // A full disk may have no room for a record. What is removed without one is counted until the next count.
        unless_full(self.write(Some(&intent)))?;
        let (folder, leaf) = self.folder_of(name)?;
        match act(&folder, leaf) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                unless_full(self.write(None))?;
                return Err(error);
            }
        }
        unless_full(self.carry_out(0, takes))?;
        Ok(Some(takes))
    }

    fn carry_out(&mut self, adds: u64, takes: u64) -> io::Result<()> {
        self.record.total = self.record.total.saturating_sub(takes).saturating_add(adds);
        self.write(None)?;
        // If somebody deleted the ledger meanwhile, what another made in its place may lack this change.
        let named = self.directory.attributes_of(layout::LEDGER_FILE);
        if named.is_ok_and(|named| !is_same(&named, &self.own)) {
            self.directory.remove_file(layout::LEDGER_FILE)?;
        }
        Ok(())
    }

    /// Takes the total from what is really there.
    fn recount(&mut self) -> io::Result<()> {
        let listing = scan::list(self.directory, self.ledger.owner_check)?;
        self.correct(&listing)
    }

    /// Replaces the total by that of what was listed under this lock. A listing that is not complete never makes it less.
    ///
    /// # Errors
    ///
    /// When the listing is not complete for want of memory or descriptors, and nothing is known from earlier. What cannot
    /// be looked at for other reasons is not counted, and looked for again by the next who takes the lock.
    pub(crate) fn correct(&mut self, listing: &Listing) -> io::Result<()> {
        let mut total = listing.bytes();
        if let Some((name, error)) = &listing.incomplete {
            if self.record.sessions == [0; SESSIONS] && is_passing(error) {
                let text = format!("cannot count what is stored: {name}: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
            total = total.max(self.record.total);
        }
        if total != self.record.total {
            tracing::debug!(was = self.record.total, total, "corrected the ledger");
        }
        self.record.total = total;
        // One that is not complete is good for this change, and the next one counts again.
        if listing.incomplete.is_none() {
            self.record.note(self.ledger.session);
        }
        // Making room must not fail for want of it.
        unless_full(self.write(None))
    }

    /// Finds out whether the journaled change came to pass whose process died.
    fn recover(&mut self, intent: &Intent<String>) -> io::Result<()> {
        let Ok(found) = self.attributes_of(&intent.name) else {
            return self.recount();
        };
        let found = found.map(|found| found.inode);
        let done = (found == Some(intent.inode)) == intent.publish;
        tracing::debug!(
            name = intent.name,
            done,
            "recovered the change of a process that died"
        );
        if done {
            self.carry_out(intent.adds, intent.takes)
        } else {
            self.write(None)
        }
    }

    /// What stands under the name of an entry; `None` if nothing does.
    fn attributes_of(&self, name: &str) -> io::Result<Option<Attributes>> {
        let found = self
            .folder_of(name)
            .and_then(|(folder, leaf)| folder.attributes_of(leaf));
        match found {
            Ok(found) => Ok(Some(found)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// The folder of an entry, which is no link, and its name there.
    fn folder_of<'n>(&self, name: &'n str) -> io::Result<(Directory, &'n str)> {
        let (engine, leaf) = name.split_once('/').ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.directory.open_directory(engine)?, leaf))
    }

    fn write(&mut self, intent: Option<&Intent<&str>>) -> io::Result<()> {
        self.record.written = clock::now();
        write_all_at(&self.file, &self.record.encode(intent)?, 0)
    }
}

impl Drop for LedgerGuard<'_> {
    fn drop(&mut self) {
        lock::unlock(&self.file);
    }
}

/// What is written down, but for the intent.
#[derive(Debug, Default)]
struct Record {
    written: Duration,
    total: u64,
    fruitless: Duration,
    sessions: [u64; SESSIONS],
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

impl Record {
    /// Writes down that the total is right in a session. Others that knew it see the same folder through other mounts.
    fn note(&mut self, session: u64) {
        let known = self.sessions.iter().position(|known| *known == session);
        self.sessions[..=known.unwrap_or(SESSIONS - 1)].rotate_right(1);
        self.sessions[0] = session;
    }

    fn encode(&self, intent: Option<&Intent<&str>>) -> io::Result<[u8; RECORD]> {
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&MAGIC);
        let written = u64::try_from(self.written.as_nanos()).unwrap_or(u64::MAX);
        put(&mut record, 8, written);
        put(&mut record, 16, self.total);
        put(&mut record, 24, self.fruitless.as_secs());
        if let Some(intent) = intent {
            let name = intent.name.as_bytes();
            if name.len() > NAME_MAX {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            put(&mut record, 32, if intent.publish { 1 } else { 2 });
            put(&mut record, 40, intent.inode);
            put(&mut record, 48, intent.adds);
            put(&mut record, 56, intent.takes);
            put(&mut record, 64, name.len() as u64);
            record[NAME_AT..NAME_AT + name.len()].copy_from_slice(name);
        }
        for (at, session) in self.sessions.iter().enumerate() {
            put(&mut record, SESSIONS_AT + 8 * at, *session);
        }
        let checksum = checksum(&record);
        record[CHECKSUM_AT..].copy_from_slice(&checksum);
        Ok(record)
    }
}

/// The record and the intent, if the file holds such.
fn read(file: &File) -> io::Result<Option<(Record, Option<Intent<String>>)>> {
    let mut record = [0; RECORD];
    match read_exact_at(file, &mut record, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    Ok(decode(&record))
}

fn decode(record: &[u8; RECORD]) -> Option<(Record, Option<Intent<String>>)> {
    if record[..8] != MAGIC || record[CHECKSUM_AT..] != checksum(record) {
        return None;
    }
    let intent = match get(record, 32) {
        0 => None,
        kind => {
            let len = usize::try_from(get(record, 64))
                .ok()
                .filter(|len| *len <= NAME_MAX)?;
            Some(Intent {
                publish: kind == 1,
                inode: get(record, 40),
                adds: get(record, 48),
                takes: get(record, 56),
                name: std::str::from_utf8(&record[NAME_AT..NAME_AT + len])
                    .ok()?
                    .to_owned(),
            })
        }
    };
    let known = Record {
        written: Duration::from_nanos(get(record, 8)),
        total: get(record, 16),
        fruitless: Duration::from_secs(get(record, 24)),
        sessions: std::array::from_fn(|at| get(record, SESSIONS_AT + 8 * at)),
    };
    Some((known, intent))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{storage, temporary};

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
        let ledger = Ledger::new(
            storage::session(directory.mount()),
            directory.storage(),
            None,
        );
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

        /// What publishes the file `temporary`.
        fn rename(&self) -> io::Result<()> {
            let (engine, leaf) = NAME.split_once('/').unwrap();
            let engine = self.directory.open_directory(engine)?;
            self.directory.rename("temporary", &engine, leaf)
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
        let nothing = Err(io::ErrorKind::NotFound.into());
        let outcome = guard.publish(NAME, inode, 5000, nothing, |_| {
            if after_rename {
                fixture.rename()?;
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
        fixture.lock().write(None).unwrap();
        assert_eq!(fixture.lock().total(), 8192);
    }

    #[test]
    fn a_replaced_file_is_no_longer_counted() {
        let fixture = fixture();
        die_publishing(&fixture, true);
        let inode = fixture.file("temporary", 100);
        let mut guard = fixture.lock();
        let replaced = Ok(guard.attributes_of(NAME).unwrap().unwrap());
        guard
            .publish(NAME, inode, 100, replaced, |_| fixture.rename())
            .unwrap();
        assert_eq!(guard.total(), 4096);
        assert_eq!(guard.remove(NAME, None).unwrap(), Some(4096));
        assert_eq!(guard.remove(NAME, None).unwrap(), None);
        drop(guard);
        assert_eq!(fixture.lock().total(), 0);
    }

    /// As on Windows, where what is mapped can be moved and not removed.
    #[test]
    fn a_file_that_is_put_aside_takes_room_until_it_can_be_removed() {
        let fixture = fixture();
        fixture.file(NAME, 5000);
        let mut guard = fixture.lock();
        let directory = &fixture.directory;
        let aside = |folder: &Directory, leaf: &str| temporary::put_aside(directory, folder, leaf);
        assert_eq!(guard.take_away(NAME, None, aside).unwrap(), Some(8192));
        assert_eq!(
            (guard.total(), guard.attributes_of(NAME).unwrap()),
            (0, None)
        );
        // Locked in place of mapped, as here everything else can be removed.
        let aside = fixture.directory.open_directory(layout::TEMPORARY_DIR);
        let aside = aside.unwrap();
        let name = aside.names().unwrap().remove(0);
        let file = aside.open_file(&name).unwrap();
        assert_eq!(lock::exclusive(&file).unwrap(), Attempt::Locked);
        let survey = temporary::clear(&fixture.directory, &guard).unwrap();
        assert_eq!((survey.live, survey.dead), (8192, 0));
        lock::unlock(&file);
        drop(file);
        let survey = temporary::clear(&fixture.directory, &guard).unwrap();
        assert_eq!((survey.live, survey.dead), (0, 1));
    }

    #[test]
    fn a_file_that_was_replaced_since_it_was_judged_is_not_removed() {
        let fixture = fixture();
        fixture.file(NAME, 5000);
        let judged = fixture.lock().attributes_of(NAME).unwrap().unwrap();
        let path = fixture.keep.path().join(NAME);
        std::fs::remove_file(&path).unwrap();
        // As a file system does that gives out the number of the inode again.
        let replaced = loop {
            fixture.file(NAME, 5000);
            let found = fixture.lock().attributes_of(NAME).unwrap().unwrap();
            if found.changed != judged.changed {
                break found;
            }
        };
        let same_inode = Attributes {
            inode: replaced.inode,
            ..judged
        };
        assert_eq!(
            fixture.lock().remove(NAME, Some(&same_inode)).unwrap(),
            None
        );
        assert!(path.exists());
        assert_eq!(
            fixture.lock().remove(NAME, Some(&replaced)).unwrap(),
            Some(8192)
        );
    }

    #[test]
    fn a_file_that_cannot_be_removed_is_still_counted() {
        let fixture = fixture();
        std::fs::create_dir_all(fixture.keep.path().join(NAME)).unwrap();
        let mut guard = fixture.lock();
        guard.record.total = 8192;
        assert!(guard.remove(NAME, None).is_err());
        drop(guard);
        assert_eq!(fixture.lock().total(), 8192);
    }

    #[test]
    fn what_is_not_to_be_believed_is_counted_anew() {
        let mut fixture = fixture();
        fixture.file(NAME, 5000);
        let path = fixture.keep.path().join(layout::LEDGER_FILE);
        for at in [0, 10, 20, 100, 400, 511] {
            drop(fixture.lock());
            let mut record = std::fs::read(&path).unwrap();
            record[at] ^= 1;
            std::fs::write(&path, record).unwrap();
            assert_eq!(fixture.lock().total(), 8192, "byte {at}");
        }
        let wrong = |fixture: &Fixture| {
            let mut guard = fixture.lock();
            guard.record.total = 1 << 40;
            guard.write(None).unwrap();
            drop(guard);
            assert_eq!(fixture.lock().total(), 1 << 40, "nothing was wrong with it");
        };
        // Another boot, or another mount.
        wrong(&fixture);
        fixture.ledger.session ^= 1;
        assert_eq!(fixture.lock().total(), 8192);
        // Deleted while the folder is open.
        wrong(&fixture);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(fixture.lock().total(), 8192);
        // An earlier one, put back.
        wrong(&fixture);
        let earlier = std::fs::read(&path).unwrap();
        std::thread::sleep(WRITING * 2);
        std::fs::write(&path, earlier).unwrap();
        assert_eq!(fixture.lock().total(), 8192);
    }

    #[test]
    fn mounts_of_one_folder_do_not_make_each_other_count() {
        let fixture = fixture();
        let mut other = Ledger::new(Some(fixture.ledger.session), Storage::Local, None);
        other.session ^= 1;
        drop(fixture.lock());
        drop(other.lock(&fixture.directory).unwrap());
        let mut guard = fixture.lock();
        guard.record.total = 1 << 40;
        guard.write(None).unwrap();
        drop(guard);
        let total = other.lock(&fixture.directory).unwrap().unwrap().total();
        assert_eq!((total, fixture.lock().total()), (1 << 40, 1 << 40));
    }

    #[test]
    fn threads_and_handles_take_turns() {
        let fixture = fixture();
        let other = Ledger::new(Some(fixture.ledger.session), Storage::Local, None);
        std::thread::scope(|scope| {
            for ledger in [&fixture.ledger, &fixture.ledger, &other, &other] {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let mut guard = ledger.lock(&fixture.directory).unwrap().unwrap();
                        let total = guard.total();
                        std::thread::yield_now();
                        guard.record.total = total + 1;
                        guard.write(None).unwrap();
                    }
                });
            }
        });
        assert_eq!(fixture.lock().total(), 400);
    }
}

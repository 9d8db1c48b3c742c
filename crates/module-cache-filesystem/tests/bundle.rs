//! Bundles: what is exported is imported as it was, and whatever else a bundle holds, nothing but proven
//! entries is stored, nothing outside the folder changes, and it costs no more than the bundle is long.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use module_cache_core::format::FOOTER_LEN;
use module_cache_core::{
    CacheError, Compile, Engine, EntryKey, EntryStore, ModuleCache, ModuleHash, SharedKey, Trust,
};
use module_cache_filesystem::{FileSystemCache, FileSystemCacheBuilder, ImportReport};
use module_cache_testkit::{TestEngine, forge_signature, wasm};
use tar::{EntryType, Header};

const BLOCK: usize = 512;
const MANIFEST_LEN: usize = 72;

#[test]
fn an_exported_folder_is_imported_byte_for_byte() {
    let source = Folder::new();
    let other = TestEngine::new(&"a label as long as labels may be ".repeat(2));
    for n in 0..5 {
        source.save(&source.engine, n, 5000 * (usize::try_from(n).unwrap() + 1));
        source.save(&other, n, 300);
    }
    let bundle = source.bundle(&unauthenticated());

    let target = Folder::new();
    let report = target.import(&bundle, &unauthenticated());
    assert_eq!((report.stored, report.present), (10, 0));
    assert_eq!(report.refused, []);
    assert_eq!(report.bytes, source.entries_len());
    assert_eq!(target.files(), source.files());
    for n in 0..5 {
        assert!(target.loads(&target.engine, n, 5000 * (usize::try_from(n).unwrap() + 1)));
        assert!(target.loads(&other, n, 300));
    }

    let report = target.import(&bundle, &unauthenticated());
    assert_eq!((report.stored, report.present, report.bytes), (0, 10, 0));
    assert_eq!(target.files(), source.files());
}

#[test]
fn only_what_was_chosen_is_exported() {
    let source = Folder::of(3);
    let wanted = ModuleHash::of(&wasm(1, SIZE));
    let mut bundle = Vec::new();
    let report = source
        .cache
        .export(
            &|entry| entry.hash == wanted,
            &unauthenticated(),
            &mut bundle,
        )
        .unwrap();
    assert_eq!(report.entries, 1);
    assert_eq!(report.bytes, ENTRY_LEN as u64);
    let target = Folder::new();
    assert_eq!(target.import(&bundle, &unauthenticated()).stored, 1);
    assert!(target.loads(&target.engine, 1, SIZE));
    assert!(!target.loads(&target.engine, 0, SIZE));
}

#[test]
fn equal_entries_give_equal_bundles() {
    let (one, other) = (Folder::new(), Folder::new());
    for n in [2, 0, 1] {
        one.save(&one.engine, n, SIZE);
    }
    for n in [1, 2, 0] {
        other.save(&other.engine, n, SIZE);
    }
    for trust in [unauthenticated(), signed(1)] {
        assert_eq!(one.bundle(&trust), other.bundle(&trust));
    }
}

#[test]
fn a_bundle_is_a_tar_archive_of_read_only_files() {
    let source = Folder::of(3);
    let bundle = source.bundle(&unauthenticated());
    let mut archive = tar::Archive::new(bundle.as_slice());
    let mut found = Vec::new();
    for member in archive.entries().unwrap() {
        let mut member = member.unwrap();
        let header = member.header();
        assert_eq!(header.mode().unwrap(), 0o444);
        assert_eq!(header.mtime().unwrap(), 0);
        assert_eq!(header.uid().unwrap(), 0);
        assert_eq!(header.entry_type(), EntryType::Regular);
        let path = member.path().unwrap().into_owned();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        found.push((path, bytes));
    }
    assert_eq!(found, source.files());
}

#[test]
fn a_damaged_entry_is_left_out_and_reported() {
    let source = Folder::of(3);
    let (path, mut bytes) = source.files().remove(1);
    bytes[10] ^= 1;
    source.overwrite(&path, &bytes);
    let mut bundle = Vec::new();
    let report = source
        .cache
        .export(&|_| true, &unauthenticated(), &mut bundle)
        .unwrap();
    assert_eq!(report.entries, 2);
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(report.skipped[0].0, source.version().join(&path));
    assert!(
        report.skipped[0].1.contains("damaged"),
        "{:?}",
        report.skipped
    );
    let target = Folder::new();
    assert_eq!(target.import(&bundle, &unauthenticated()).stored, 2);
}

#[test]
fn a_full_disk_ends_an_export() {
    let source = Folder::of(1);
    let mut room = [0; 700];
    let error = source
        .cache
        .export(&|_| true, &unauthenticated(), &mut room.as_mut_slice())
        .unwrap_err();
    assert!(matches!(error, CacheError::Backend { .. }), "{error:?}");
}

#[test]
fn a_signed_bundle_is_imported_with_its_key_alone() {
    let source = Folder::of(3);
    let bundle = source.bundle(&signed(1));

    let target = Folder::new();
    let report = target.import(&bundle, &signed(2));
    assert_eq!((report.stored, report.refused.len()), (0, 3));
    let reason = &report.refused[0].reason;
    assert!(reason.contains("is not accepted"), "{report:?}");
    assert_eq!(target.files(), []);

    assert_eq!(target.import(&bundle, &signed(1)).stored, 3);
    // Who signed them is kept, so they can go on from here.
    let again = target.bundle(&unauthenticated());
    assert_eq!(Folder::new().import(&again, &signed(1)).stored, 3);
    // Whoever does not ask who signed them takes them, too.
    assert_eq!(Folder::new().import(&again, &unauthenticated()).stored, 3);
}

#[test]
fn an_unsigned_bundle_is_refused_by_who_demands_a_signature() {
    let bundle = Folder::of(3).bundle(&unauthenticated());
    let target = Folder::new();
    let report = target.import(&bundle, &signed(1));
    assert_eq!((report.stored, report.refused.len()), (0, 3));
    assert!(
        report.refused[0].reason.contains("not signed"),
        "{report:?}"
    );
    assert_eq!(target.files(), []);
}

#[test]
fn nothing_that_was_signed_gets_another_signature() {
    let source = Folder::with(|builder| builder.trust(signed(1)));
    source.save(&source.engine, 0, SIZE);
    let bundle = source.bundle(&unauthenticated());
    let target = Folder::with(|builder| builder.trust(signed(2)));
    let report = target.cache.import(&mut &bundle[..], &unauthenticated());
    let error = format!("{:?}", report.unwrap_err());
    assert!(error.contains("UnknownKey"), "{error}");
    let report = source.cache.export(&|_| true, &signed(2), &mut Vec::new());
    assert_eq!(report.unwrap().skipped.len(), 1);
    let both = Folder::with(|builder| {
        let accepted = SharedKey::from_bytes([1; 32]);
        builder.trust(signed(2).accepting(accepted))
    });
    assert_eq!(both.import(&bundle, &unauthenticated()).stored, 1);
    assert!(both.loads(&both.engine, 0, SIZE));
}

#[test]
fn what_a_revoked_key_signed_is_not_used_where_that_is_asked_for() {
    let bundle = Folder::of(2).bundle(&signed(1));
    let target = Folder::new();
    assert_eq!(target.import(&bundle, &signed(1)).stored, 2);
    target.save(&target.engine, 7, SIZE);
    let open = |origins: Trust| {
        let builder = FileSystemCache::builder(target.cache.root());
        builder.origins(origins).open().unwrap()
    };
    let has = |cache: &FileSystemCache, n| {
        let hash = ModuleHash::of(&wasm(n, SIZE));
        let loaded = cache.load(hash, &target.engine).unwrap().is_some();
        assert_eq!(cache.contains(hash, &target.engine).unwrap(), loaded);
        loaded
    };
    let (rotated, revoked) = (
        open(signed(2).accepting(SharedKey::from_bytes([1; 32]))),
        open(signed(2)),
    );
    for _ in 0..2 {
        assert!(has(&rotated, 0) && has(&rotated, 1) && has(&rotated, 7));
        assert!(!has(&revoked, 0) && !has(&revoked, 1));
        assert!(
            has(&revoked, 7),
            "what was compiled here is signed by nobody"
        );
    }
    assert_eq!(revoked.verify(false, &|_| ()).unwrap().faults.len(), 2);
    // A save replaces it.
    let wasm = wasm(0, SIZE);
    let module = target.engine.compile(&wasm).unwrap();
    let saved = revoked.save(ModuleHash::of(&wasm), &target.engine, &module);
    assert!(saved.unwrap().is_stored());
    assert!(has(&revoked, 0));
}

#[test]
fn a_forged_signature_is_not_used_where_origins_are_named_however_often_it_was_loaded_elsewhere() {
    let bundle = Folder::of(1).bundle(&signed(1));
    let target = Folder::new();
    assert_eq!(target.import(&bundle, &signed(1)).stored, 1);
    let (name, mut entry) = target.files().remove(0);
    forge_signature(&mut entry);
    target.overwrite(&name, &entry);
    // Who does not look at signatures verifies the bytes, and notes that for the next one.
    for _ in 0..3 {
        assert!(target.loads(&target.engine, 0, SIZE));
    }
    let builder = FileSystemCache::builder(target.cache.root());
    let careful = builder.origins(signed(1)).open().unwrap();
    let hash = ModuleHash::of(&wasm(0, SIZE));
    assert!(!careful.contains(hash, &target.engine).unwrap());
    for _ in 0..3 {
        assert!(careful.load(hash, &target.engine).unwrap().is_none());
    }
    assert_eq!(careful.stats().corrupt, 1);
}

#[test]
fn a_folder_with_a_key_of_its_own_goes_by_that_whatever_origins_are_named() {
    let bundle = Folder::of(1).bundle(&signed(2));
    let ours = Folder::with(|builder| builder.trust(signed(1)).origins(signed(2)));
    ours.save(&ours.engine, 7, SIZE);
    assert!(ours.loads(&ours.engine, 7, SIZE));
    let theirs = Folder::new();
    assert_eq!(theirs.import(&bundle, &signed(2)).stored, 1);
    let (name, entry) = theirs.files().remove(0);
    fs::write(ours.version().join(name), entry).unwrap();
    assert!(!ours.loads(&ours.engine, 0, SIZE));
}

#[test]
fn what_cannot_be_signed_removes_nothing() {
    let source = Folder::of(3);
    let bundle = source.bundle(&signed(1));
    let theirs = Folder::with(|builder| builder.trust(signed(1)));
    assert_eq!(theirs.import(&bundle, &signed(1)).stored, 3);
    // For two entries, a block of 4 KiB each.
    let ours = Folder::with(|builder| builder.trust(signed(2)).max_size(10 << 10));
    ours.save(&ours.engine, 1, SIZE);
    ours.save(&ours.engine, 2, SIZE);
    let key = EntryKey::new(ModuleHash::of(&wasm(0, SIZE)), *source.engine.id());
    let entry = theirs.cache.get(&key).unwrap().unwrap();
    assert!(ours.cache.put(&key, &entry).is_err());
    assert!(ours.loads(&ours.engine, 1, SIZE) && ours.loads(&ours.engine, 2, SIZE));
    // One that can be signed takes the place of another.
    ours.save(&ours.engine, 0, SIZE);
    assert!(!ours.loads(&ours.engine, 1, SIZE));
}

#[test]
fn names_mean_nothing() {
    let entry = Folder::of(1).files().remove(0).1;
    let long = [b'x'; 100];
    for name in [
        b"../../canary".as_slice(),
        b"/tmp/module-cache-bundle-test",
        b"../../../../../../../../etc/passwd",
        b"v1/ledger",
        b"a/very/deep/./../place",
        b"",
        b"\x1b[31m\xff\xfe",
        b"other-0123456789abcdef/0000000000000000000000000000000000000000000000000000000000000000",
        &long,
    ] {
        let target = Folder::new();
        let report = target.import(
            &archive(&[member(name, EntryType::Regular, &entry)]),
            &unauthenticated(),
        );
        assert_eq!((report.stored, report.refused.len()), (1, 0), "{name:?}");
        assert!(target.loads(&target.engine, 0, SIZE));
        target.assert_nothing_else(1);
    }
    assert!(!Path::new("/tmp/module-cache-bundle-test").exists());
}

#[test]
fn nothing_but_regular_files_is_taken() {
    let entry = Folder::of(1).files().remove(0).1;
    let good = || member(b"good", EntryType::Regular, &entry);
    for kind in [
        EntryType::Link,
        EntryType::Symlink,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNUSparse,
        EntryType::new(b'V'),
        EntryType::new(0xff),
    ] {
        let target = Folder::new();
        // With and without contents; of the second, the contents are an entry.
        for body in [b"".as_slice(), &entry] {
            let mut bad = member(b"bad", kind, body);
            bad[157..157 + 12].copy_from_slice(b"../../canary");
            seal_header(&mut bad);
            let report = target.import(&archive(&[bad, good()]), &unauthenticated());
            assert_eq!(report.stored + report.present, 1, "{kind:?}");
            assert_eq!(report.refused.len(), 1, "{kind:?}");
            assert_eq!(report.refused[0].member, "bad");
        }
        target.assert_nothing_else(1);
    }
}

#[test]
fn directories_and_other_archivers_extensions_are_passed_over() {
    let entry = Folder::of(1).files().remove(0).1;
    let target = Folder::new();
    let bundle = archive(&[
        member(b"engine/", EntryType::Directory, b""),
        member(
            b"pax",
            EntryType::XHeader,
            b"24 path=../../../canary\n11 size=0\n",
        ),
        member(b"pax", EntryType::XGlobalHeader, b"11 size=0\n"),
        member(
            b"././@LongLink",
            EntryType::GNULongName,
            &b"../".repeat(300),
        ),
        member(b"././@LongLink", EntryType::GNULongLink, b"/etc/passwd\0"),
        member(b"good", EntryType::Regular, &entry),
    ]);
    let report = target.import(&bundle, &unauthenticated());
    assert_eq!((report.stored, report.refused.len()), (1, 0), "{report:?}");
    target.assert_nothing_else(1);
}

#[test]
fn a_claim_of_a_gigabyte_costs_nothing() {
    let entry = Folder::of(1).files().remove(0).1;
    for kind in [
        EntryType::Regular,
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
        EntryType::Symlink,
        EntryType::Directory,
    ] {
        for claim in [
            1 << 30,
            (1 << 33) - 1,
            1 << 40,
            u64::MAX >> 1,
            u64::MAX - 511,
            u64::MAX,
        ] {
            let target = Folder::new();
            let mut claiming = header(b"claiming", kind, claim).to_vec();
            claiming.extend([7; 8192]);
            let mut bundle = member(b"good", EntryType::Regular, &entry);
            bundle.extend(claiming);
            let (report, largest) =
                largest_allocation(|| target.import(&bundle, &unauthenticated()));
            assert_eq!(report.stored, 1);
            assert!(!report.refused.is_empty(), "{kind:?} of {claim}");
            assert!(
                largest <= 1 << 20,
                "{largest} bytes for {kind:?} of {claim}"
            );
            target.assert_nothing_else(1);
        }
    }
}

#[test]
fn a_real_gigabyte_in_the_place_of_a_name_is_never_in_memory() {
    let entry = Folder::of(1).files().remove(0).1;
    let target = Folder::new();
    let gigabyte = 1 << 30;
    let good = archive(&[member(b"good", EntryType::Regular, &entry)]);
    let name = header(b"././@LongLink", EntryType::GNULongName, gigabyte);
    let mut bundle = name
        .chain(io::repeat(b'n').take(gigabyte))
        .chain(good.as_slice());
    let (report, largest) = largest_allocation(|| {
        target
            .cache
            .import(&mut bundle, &unauthenticated())
            .unwrap()
    });
    assert_eq!((report.stored, report.refused.len()), (1, 1));
    assert!(report.refused[0].reason.contains("1073741824 bytes"));
    assert!(largest <= 1 << 20, "{largest} bytes");
}

#[test]
fn an_entry_larger_than_the_cache_is_passed_over() {
    let source = Folder::of(2);
    source.save(&source.engine, 9, 100_000);
    let target = Folder::with(|builder| builder.max_size(64 << 10));
    let report = target.import(&source.bundle(&unauthenticated()), &unauthenticated());
    assert_eq!((report.stored, report.refused.len()), (2, 1));
    assert!(report.refused[0].reason.contains("larger than"));
    assert!(!target.loads(&target.engine, 9, 100_000));
}

#[test]
fn what_is_no_proven_entry_is_refused_and_the_rest_is_taken() {
    let source = Folder::of(2);
    let files = source.files();
    let (one, other) = (&files[0].1, &files[1].1);
    let mut bad_artifact = one.clone();
    bad_artifact[0] ^= 1;
    let mut bad_footer = one.clone();
    *bad_footer.last_mut().unwrap() ^= 1;
    let mut other_key = one.clone();
    // The module hash, as if the artifact were another module's.
    let at = one.len() - FOOTER_LEN + 32;
    let module = other.len() - FOOTER_LEN + 32;
    other_key[at..at + 32].copy_from_slice(&other[module..module + 32]);
    let longer = [one.as_slice(), b"x"].concat();
    let doubled = [one.as_slice(), one].concat();
    for (what, bad) in [
        ("artifact", bad_artifact.as_slice()),
        ("footer", &bad_footer),
        ("another key", &other_key),
        ("behind", &longer),
        ("doubled", &doubled),
        ("cut in front", &one[1..]),
        ("cut", &one[..one.len() - 1]),
        ("footer alone", &one[one.len() - FOOTER_LEN..]),
        ("empty", b""),
        ("text", &[b'x'; 1000]),
        ("zeros", &[0; 1024]),
    ] {
        let target = Folder::new();
        let report = target.import(
            &archive(&[
                member(b"bad", EntryType::Regular, bad),
                member(b"good", EntryType::Regular, other),
            ]),
            &unauthenticated(),
        );
        assert_eq!((report.stored, report.refused.len()), (1, 1), "{what}");
        assert_eq!(report.refused[0].member, "bad", "{what}");
        assert_eq!(target.files(), files[1..], "{what}");
    }
}

#[test]
fn what_cannot_be_stored_is_refused_with_the_reason_and_the_rest_is_taken() {
    let source = Folder::of(2);
    let files = source.files();
    let target = Folder::new();
    let occupied = target.version().join(&files[0].0);
    fs::create_dir_all(&occupied).unwrap();
    let report = target.import(&source.bundle(&unauthenticated()), &unauthenticated());
    assert_eq!((report.stored, report.refused.len()), (1, 1));
    assert_eq!(report.refused[0].member, files[0].0.to_str().unwrap());
    assert!(report.refused[0].reason.contains("is in its place"));
    assert!(occupied.is_dir());
    assert_eq!(target.files(), files[1..]);
}

#[test]
fn the_first_of_two_members_of_one_key_is_stored() {
    let entry = Folder::of(1).files().remove(0).1;
    let target = Folder::new();
    let twice = archive(&[
        member(b"a", EntryType::Regular, &entry),
        member(b"b", EntryType::Regular, &entry),
    ]);
    let report = target.import(&twice, &unauthenticated());
    assert_eq!((report.stored, report.present), (1, 1));
}

#[test]
fn a_bundle_cut_anywhere_gives_what_was_whole_and_says_so() {
    let source = Folder::of(3);
    let bundle = source.bundle(&unauthenticated());
    let target = Folder::new();
    // The last block is the second of the two that end an archive, and nobody misses it.
    for len in (0..bundle.len() - BLOCK).step_by(61) {
        let cut = &bundle[..len];
        match target.cache.import(&mut &cut[..], &unauthenticated()) {
            Ok(report) => {
                assert_eq!(report.refused.len(), 1, "{len}: {report:?}");
                let whole = (len + MEMBER_LEN - BLOCK - ENTRY_LEN) / MEMBER_LEN;
                assert_eq!(report.stored, whole as u64, "{len}");
            }
            Err(_) => assert!(len < BLOCK, "{len}"),
        }
        target.clear();
    }
    for whole in 0..=3 {
        let report = target
            .cache
            .import(&mut &bundle[..whole * MEMBER_LEN], &unauthenticated());
        assert_eq!(report.is_err(), whole == 0);
        if let Ok(report) = report {
            assert_eq!(report.refused.len(), 1);
            assert_eq!(report.refused[0].member, format!("(member {})", whole + 1));
        }
    }
}

#[test]
fn what_is_no_bundle_is_an_error() {
    let target = Folder::new();
    let directory = archive(&[member(b"engine/", EntryType::Directory, b"")]);
    for (bytes, reason) in [
        (b"".as_slice(), "there are none"),
        (&[0; 1024], "there are none"),
        (&directory, "there are none"),
        (b"hello", "not a tar archive"),
        (&b"hello, world\x1b[31m".repeat(1000), "not a tar archive"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "not a tar archive"),
    ] {
        let error = target
            .cache
            .import(&mut &bytes[..], &unauthenticated())
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot find entries in the bundle");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(reason), "{source}");
    }
}

#[test]
fn an_error_of_the_reader_is_an_error_and_not_a_refusal() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the cable was pulled"))
        }
    }
    let source = Folder::of(2);
    let bundle = source.bundle(&unauthenticated());
    for len in [0, 100, BLOCK, 700, MEMBER_LEN, MEMBER_LEN + 700] {
        let target = Folder::new();
        let error = target
            .cache
            .import(&mut bundle[..len].chain(Fails), &unauthenticated())
            .unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "the cable was pulled", "{len}");
        assert_eq!(target.files().len(), len / MEMBER_LEN, "what came is kept");
    }
}

#[test]
fn a_report_stays_short_and_fit_for_printing() {
    let target = Folder::new();
    let bad = member(
        b"\x1b]0;owned\x07\xe2\x80\xae\n",
        EntryType::Regular,
        &[1; 200],
    );
    let report = target.import(&archive(&vec![bad; 5000]), &unauthenticated());
    assert_eq!((report.refused.len(), report.unlisted), (1000, 4000));
    for refused in &report.refused {
        assert!(refused.member.chars().count() <= 200);
        assert!(!refused.member.chars().any(char::is_control));
        assert!(!refused.member.contains('\u{202e}'));
    }
}

#[test]
fn ten_thousand_mutated_bundles_harm_nothing() {
    let source = Folder::of(3);
    // Most of the time is spent waiting for the disk.
    let totals = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| {
                let source = &source;
                scope.spawn(move || import_mutated(source, Random(seed), 2500))
            })
            .collect();
        let totals = threads.into_iter().map(|thread| thread.join().unwrap());
        totals.fold([0; 3], |sum, found| [0, 1, 2].map(|at| sum[at] + found[at]))
    });
    // Most mutations leave something good and spoil something.
    let [imported, refused, errors] = totals;
    assert!(imported > 5000, "{imported}");
    assert!(refused > 5000, "{refused}");
    assert!(errors > 100, "{errors}");
}

/// Imports so many mutations of the source's bundle into one folder. Returns how many good members, bad
/// members and bad bundles there were.
fn import_mutated(source: &Folder, mut random: Random, rounds: u64) -> [u64; 3] {
    let mut saved = source.files();
    let unsigned = source.bundle(&unauthenticated());
    let with_key = source.bundle(&signed(1));
    let carried = Folder::new();
    carried.import(&with_key, &signed(1));
    saved.extend(carried.files());
    let target = Folder::with(|builder| builder.min_free(0));
    let mut totals = [0; 3];
    for round in 0..rounds {
        let (bundle, trust) = if random.below(4) == 0 {
            (&with_key, signed(1))
        } else {
            (&unsigned, unauthenticated())
        };
        let mut mutated = bundle.clone();
        for _ in 0..=random.below(3) {
            random.mutate(&mut mutated);
        }
        let before = target.files().len() as u64;
        let (outcome, largest) =
            largest_allocation(|| target.cache.import(&mut &mutated[..], &trust));
        assert!(largest <= 1 << 20, "round {round}: {largest} bytes");
        let report = outcome.unwrap_or_else(|_| {
            totals[2] += 1;
            ImportReport::default()
        });
        totals[0] += report.stored + report.present;
        totals[1] += report.refused.len() as u64;

        let files = target.files();
        assert_eq!(files.len() as u64, before + report.stored, "round {round}");
        assert!(
            files.iter().all(|file| saved.contains(file)),
            "round {round}: an entry that nobody saved"
        );
        for n in 0..3 {
            target.loads(&target.engine, n, SIZE);
        }
        assert_eq!(target.cache.stats().corrupt, 0, "round {round}");
        target.assert_nothing_else(files.len());
        // Storing waits for the disk. What is there already is verified all the same before it is passed
        // over.
        if round % 4 == 3 {
            target.clear();
        }
    }
    totals
}

/// The wasm of most tests, and what follows from it.
const SIZE: usize = 200;
const ENTRY_LEN: usize = 8 + 32 + 32 + SIZE + MANIFEST_LEN + FOOTER_LEN;
const MEMBER_LEN: usize = BLOCK + ENTRY_LEN.next_multiple_of(BLOCK);

/// A cache, in a directory with a canary beside it.
struct Folder {
    engine: TestEngine,
    cache: FileSystemCache,
    keep: tempfile::TempDir,
}

impl Folder {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(options: impl FnOnce(FileSystemCacheBuilder) -> FileSystemCacheBuilder) -> Self {
        let keep = tempfile::tempdir().unwrap();
        fs::write(keep.path().join("canary"), "alive").unwrap();
        let builder = FileSystemCache::builder(keep.path().join("cache"));
        Self {
            engine: TestEngine::new("test"),
            cache: options(builder).open().unwrap(),
            keep,
        }
    }

    /// A folder with so many small modules.
    fn of(modules: u64) -> Self {
        let folder = Self::new();
        for n in 0..modules {
            folder.save(&folder.engine, n, SIZE);
        }
        folder
    }

    fn save(&self, engine: &TestEngine, n: u64, size: usize) {
        let wasm = wasm(n, size);
        let module = engine.compile(&wasm).unwrap();
        let saved = self.cache.save(ModuleHash::of(&wasm), engine, &module);
        assert!(saved.unwrap().is_stored());
    }

    /// Whether there is such a module. The engine panics if it is given anything but what it made.
    fn loads(&self, engine: &TestEngine, n: u64, size: usize) -> bool {
        let wasm = wasm(n, size);
        let loaded = self.cache.load(ModuleHash::of(&wasm), engine).unwrap();
        if let Some(module) = &loaded {
            assert_eq!(module.wasm(), wasm);
        }
        loaded.is_some()
    }

    fn bundle(&self, trust: &Trust) -> Vec<u8> {
        let mut bundle = Vec::new();
        let report = self.cache.export(&|_| true, trust, &mut bundle).unwrap();
        assert_eq!(report.skipped, []);
        assert_eq!(report.bytes, self.entries_len());
        bundle
    }

    fn import(&self, bundle: &[u8], trust: &Trust) -> ImportReport {
        self.cache.import(&mut &bundle[..], trust).unwrap()
    }

    fn version(&self) -> PathBuf {
        self.cache.root().join("v1")
    }

    /// The names and contents of all entries.
    fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = self
            .cache
            .list()
            .unwrap()
            .iter()
            .map(|entry| PathBuf::from(format!("{}/{}", entry.engine, entry.hash)))
            .map(|name| (name.clone(), fs::read(self.version().join(name)).unwrap()))
            .collect();
        files.sort();
        files
    }

    fn entries_len(&self) -> u64 {
        self.cache.list().unwrap().iter().map(|e| e.bytes).sum()
    }

    fn overwrite(&self, name: &Path, bytes: &[u8]) {
        let path = self.version().join(name);
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
    }

    fn clear(&self) {
        for entry in self.cache.list().unwrap() {
            assert!(self.cache.remove_listed(&entry).unwrap() > 0);
        }
    }

    /// The folder holds so many entries, all good, and nothing that is not its own; around it, nothing
    /// changed.
    fn assert_nothing_else(&self, entries: usize) {
        let verified = self.cache.verify(false, &|_| ()).unwrap();
        assert_eq!(verified.entries, entries as u64);
        assert!(verified.faults.is_empty(), "{:?}", verified.faults);
        assert_eq!(names(self.keep.path()), ["cache", "canary"]);
        let canary = fs::read(self.keep.path().join("canary")).unwrap();
        assert_eq!(canary, b"alive");
        assert_eq!(
            names(self.cache.root()),
            [".gitignore", "CACHEDIR.TAG", "v1"]
        );
        assert_eq!(
            self.cache.usage().unwrap().unknown_files,
            Vec::<PathBuf>::new()
        );
        assert_eq!(names(&self.version().join("tmp")), [""; 0]);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => panic!("{error}"),
    };
    names.sort();
    names
}

fn unauthenticated() -> Trust {
    // SAFETY: the entries of these tests are never executed, and the engine proves each.
    unsafe { Trust::unauthenticated() }
}

fn signed(key: u8) -> Trust {
    Trust::shared(SharedKey::from_bytes([key; 32]))
}

/// A header as a hostile writer makes it: any name, any size.
fn header(name: &[u8], kind: EntryType, size: u64) -> [u8; BLOCK] {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o6777);
    header.set_uid(12345);
    header.set_gid(12345);
    header.set_mtime(u64::MAX >> 1);
    header.set_cksum();
    *header.as_bytes()
}

fn member(name: &[u8], kind: EntryType, body: &[u8]) -> Vec<u8> {
    let mut member = header(name, kind, body.len() as u64).to_vec();
    member.extend(body);
    member.resize(member.len().next_multiple_of(BLOCK), 0);
    member
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut archive = members.concat();
    archive.extend([0; 2 * BLOCK]);
    archive
}

/// Makes the checksum of a header right again.
fn seal_header(bytes: &mut [u8]) {
    let mut header = Header::new_old();
    header.as_mut_bytes().copy_from_slice(&bytes[..BLOCK]);
    header.set_cksum();
    bytes[..BLOCK].copy_from_slice(header.as_bytes());
}

/// The same mutations in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        if bytes.len() < BLOCK {
            return;
        }
        let at = self.below(bytes.len());
        // Whole blocks more often than not: what is not aligned ends most archives at once.
        let unit = [1, BLOCK, BLOCK, MEMBER_LEN][self.below(4)];
        let (from, len) = (at / unit * unit, unit * (1 + self.below(3)));
        let range = from..(from + len).min(bytes.len());
        match self.below(12) {
            0 | 1 => {
                for _ in 0..=self.below(4) {
                    let at = self.below(bytes.len());
                    bytes[at] ^= 1 << self.below(8);
                }
            }
            2 => bytes.truncate(at),
            3 => {
                bytes.drain(range);
            }
            4 => {
                let piece = bytes[range].to_vec();
                let to = self.below(bytes.len()) / unit * unit;
                bytes.splice(to..to, piece);
            }
            5 => {
                let piece = bytes[range].to_vec();
                let to = self.below(bytes.len() - piece.len() + 1);
                bytes[to..to + piece.len()].copy_from_slice(&piece);
            }
            6 => {
                let fill = [0, b'0', b'7', 0x80, 0xff][self.below(5)];
                bytes[range].fill(fill);
            }
            _ => self.rewrite_header(bytes),
        }
    }

    /// Changes one field of a header and makes the checksum right again.
    fn rewrite_header(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len() / MEMBER_LEN) * MEMBER_LEN;
        let Some(header) = bytes.get_mut(at..at + BLOCK) else {
            return;
        };
        // Name, mode, user, size (thrice), time, kind (thrice), link, magic, prefix.
        let fields = [
            0..100,
            100..108,
            108..116,
            124..136,
            124..136,
            124..136,
            136..148,
            156..157,
            156..157,
            156..157,
            157..257,
            257..265,
            345..500,
        ];
        let field = &mut header[fields[self.below(fields.len())].clone()];
        if field.len() == 1 {
            let kinds = b"\x001234567xgLKSVM\xff";
            field[0] = kinds[self.below(kinds.len())];
        } else {
            match self.below(5) {
                0 => field.fill_with(|| self.byte()),
                1 => field.fill(0),
                2 => {
                    let number = self.next() >> self.below(64);
                    let digits = format!("{number:0width$o}", width = field.len() - 1);
                    for (to, digit) in field.iter_mut().zip(digits.bytes()) {
                        *to = digit;
                    }
                }
                3 => {
                    let number = (self.next() >> self.below(64)).to_be_bytes();
                    field.fill(0);
                    field[0] = 0x80;
                    let len = field.len();
                    field[len - 7..].copy_from_slice(&number[1..]);
                }
                _ => {
                    for (to, byte) in field.iter_mut().zip(b"../../../canary".repeat(20)) {
                        *to = byte;
                    }
                }
            }
        }
        seal_header(header);
    }
}

/// Runs `act` and returns the size of the largest allocation that this thread made meanwhile.
fn largest_allocation<T>(act: impl FnOnce() -> T) -> (T, usize) {
    LARGEST.set(0);
    let result = act();
    (result, LARGEST.get())
}

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(size: usize) {
    // Not while the thread ends.
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

/// The system's allocator, watched.
struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

// SAFETY: every call is handed to the system's allocator as it came; noting a size allocates nothing.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

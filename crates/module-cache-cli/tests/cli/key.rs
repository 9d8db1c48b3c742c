//! `module-cache key`, and what follows from having one half of a pair or the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use module_cache::backend::{SharedKey, VerifyingKey};

use crate::support::Place;

/// A place with entries, and with the keys of a writer and of a reader.
fn with_keys() -> Place {
    let place = Place::new();
    place.store(0..2);
    let public = place.run(&["key", "new", "writer.key"]).ok().stdout;
    assert!(public.starts_with("ed25519-public:"), "{public}");
    place.file("reader.key", public);
    place
}

#[test]
fn a_pair_is_made_for_this_user_alone_and_never_twice() {
    let place = with_keys();
    let path = place.path().join("writer.key");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("ed25519-secret:"));
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let public = fs::read_to_string(place.path().join("reader.key")).unwrap();
    let id = public.trim().parse::<VerifyingKey>().unwrap().id();
    for key in ["writer.key", "reader.key"] {
        let ran = place.run(&["key", "public", key]).ok();
        assert_eq!(ran.stdout, public);
        ran.one_line(&format!("module-cache: note: the id of the key is {id}"));
    }
    place.run(&["key", "new", "writer.key"]).error(1);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let ran = place.run(&["key", "new", "--shared", "fleet.key"]).ok();
    assert_eq!(ran.stdout, "");
    let text = fs::read_to_string(place.path().join("fleet.key")).unwrap();
    let id = text.parse::<SharedKey>().unwrap().id().to_string();
    ran.one_line(&format!("module-cache: note: the id of the key is {id}"));
    let ran = place.run(&["key", "public", "fleet.key"]);
    let error = ran.error(1);
    assert!(
        error.contains("has no public half") && error.contains(&id),
        "{error}"
    );
}

#[test]
fn who_has_the_public_half_imports_and_signs_nothing() {
    let place = with_keys();
    let export = |key, file| place.run(&["export", "--key", key, "-o", file]);
    export("writer.key", "b.tar").quiet();
    let text = place
        .run(&[
            "import",
            "--cache-dir",
            "new",
            "--key",
            "reader.key",
            "b.tar",
        ])
        .quiet();
    assert!(text.starts_with("imported 2 entries"), "{text}");
    // Nobody has signed what was compiled here.
    let ran = export("reader.key", "forged.tar");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("no secret key to sign with"), "{ran:?}");
    assert!(!place.path().join("forged.tar").exists());
    // What the writer signed goes on from where it was imported.
    let args = [
        "export",
        "--cache-dir",
        "new",
        "--key",
        "reader.key",
        "-o",
        "again.tar",
    ];
    place.run(&args).quiet();
    let equal = ["b.tar", "again.tar"].map(|name| fs::read(place.path().join(name)).unwrap());
    assert!(equal[0] == equal[1]);
}

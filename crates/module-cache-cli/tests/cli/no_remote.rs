//! Builds without remote storage: what asks for it is told how to get it.

use crate::support::{Place, exits_with};

#[test]
fn what_needs_remote_storage_says_how_it_is_built() {
    let place = Place::new();
    place.file("0.wat", exits_with(0));
    for args in [
        &["run", "0.wat"][..],
        &["compile", "0.wat"],
        &["push"],
        &["pull"],
    ] {
        let (name, args) = args.split_first().unwrap();
        let options = [*name, "--remote", "s3://bucket/x", "--unauthenticated"];
        let ran = place.run(&[&options[..], args].concat());
        assert!(
            ran.error(2).contains("build it with `--features remote`"),
            "{ran:?}"
        );
    }
    assert!(!place.cache().exists());
}

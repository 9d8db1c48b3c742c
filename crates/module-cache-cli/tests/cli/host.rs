//! A host of a fleet: a place with a cache of its own, and with the key of a storage that others have, too.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::{Place, Ran};

/// A host that has the key.
pub(crate) struct Host {
    pub(crate) place: Place,
    uri: String,
}

/// What the key file holds.
pub(crate) fn key_of(digit: &str) -> String {
    format!("{}\n", digit.repeat(64))
}

impl Host {
    /// A host that shares the storage of this name.
    pub(crate) fn of(uri: &str) -> Self {
        let host = Self {
            place: Place::new(),
            uri: uri.to_owned(),
        };
        host.key_file("key", &key_of("a"));
        host
    }

    /// A file that only this user can read.
    pub(crate) fn key_file(&self, name: &str, content: &str) {
        let path = self.place.file(name, content);
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The command with the storage and the key.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_trusting(&["--key", "key"], args)
    }

    /// The command with the storage and other options about trust.
    pub(crate) fn command_trusting(&self, trust: &[&str], args: &[&str]) -> Command {
        let (name, args) = args.split_first().unwrap();
        let mut command = self
            .place
            .command(&[&[name, "--remote", &self.uri], trust, args].concat());
        with_credentials(&mut command);
        command
    }

    /// Runs the command with the storage and the key to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::new(&self.command(args).output().unwrap())
    }

    pub(crate) fn run_trusting(&self, trust: &[&str], args: &[&str]) -> Ran {
        Ran::new(&self.command_trusting(trust, args).output().unwrap())
    }

    /// Where the code of a program comes from, for this host alone.
    #[track_caller]
    pub(crate) fn source_alone(&self, file: &str) -> String {
        self.place.run(&["run", "--timing", file]).timing().0
    }
}

/// What the S3 server takes for credentials.
pub(crate) fn with_credentials(command: &mut Command) {
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test");
}

//! Keys on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Make keys for bundles and remote storages
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  module-cache key new writer.key > reader.key
  module-cache push --remote s3://bucket/modules --key writer.key
  module-cache pull --remote s3://bucket/modules --key reader.key

Anybody who has a secret key can make machine code that is executed by all who
accept that key."
)]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    New(NewKeyArgs),
    Public(PublicKeyArgs),
}

/// Make a key, and print its public half
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache key new writer.key > reader.key
  module-cache key new --shared fleet.key

The command writes the secret half of a pair of Ed25519 keys to FILE, for those
who write entries, and prints the public half, for those who only read them: a
public key cannot sign. With --shared it makes one secret for all, and prints
no key. The key's id, which names its place in a storage, is printed on standard
error. FILE must not exist. Only this user can read it.")]
pub(crate) struct NewKeyArgs {
    /// Make one secret for all who write and read
    #[arg(long)]
    pub(crate) shared: bool,

    /// The file to create
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Print the public half of each key
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache key public writer.key > reader.key

The id of each key, which both halves share, is printed on standard error. For a
shared key, which has no public half, this is an error, which names its id.")]
pub(crate) struct PublicKeyArgs {
    /// A file of keys
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

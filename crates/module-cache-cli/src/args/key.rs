//! Keys on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Make keys for what is shared
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  module-cache key new writer.key > reader.key
  module-cache push --remote s3://bucket/modules --key writer.key
  module-cache pull --remote s3://bucket/modules --key reader.key

Who has a secret key can make machine code that all others run who accept it."
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

/// Make a key, and print the half of it that may be public
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache key new writer.key > reader.key
  module-cache key new --shared fleet.key

FILE gets the secret half of a pair of Ed25519 keys, for those who write entries;
what is printed is for those who only read them, and forge none with it. With
--shared there is one secret for all, and nothing is printed. A file that is
there is not replaced. Only this user can read it.")]
pub(crate) struct NewKeyArgs {
    /// One secret for all who write and read
    #[arg(long)]
    pub(crate) shared: bool,

    /// The file to make
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Print the half of each pair that may be public
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  module-cache key public writer.key > reader.key

A key that is shared has no such half, and is an error.")]
pub(crate) struct PublicKeyArgs {
    /// A file of keys
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

//! Bundles: many entries in one tar stream, to be carried to another folder.
//!
//! A member is a sealed entry as `docs/format.md` describes it, named `<engine>/<module hash>` for those who
//! list the archive. Reading a bundle, the name is not believed: the footer says what an entry is.

mod export;
mod import;

pub use export::ExportReport;
pub(crate) use export::export;
pub(crate) use import::import;
pub use import::{ImportReport, Refused};

/// The largest entry in a bundle: one is held in memory at a time.
const MAX_ENTRY: u64 = 4 << 30;

/// The most members that a bundle has, so that reading one comes to an end.
const MAX_MEMBERS: u64 = 1_000_000;

//! The stored form of an entry, which `docs/format.md` specifies, for stores that handle entries in parts: those that check
//! a footer alone, map verified files, or transport compressed frames. An adapter whose runtime maps an entry needs
//! [`strip_footer`]. All others read and write entries with [`SealedEntry`](crate::SealedEntry).

mod footer;
pub(crate) mod incoming;
mod manifest;
mod seal;

pub(crate) use footer::Signature;
pub use footer::{Encoding, FOOTER_LEN, Footer, strip_footer};
pub use incoming::Incoming;
pub(crate) use manifest::Manifest;
pub use manifest::{FRAME_LEN, Frame};
pub use seal::Seal;

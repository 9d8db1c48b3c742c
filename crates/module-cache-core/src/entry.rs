//! Functions with which a cache over an [`EntryStore`](crate::EntryStore) implements
//! [`ModuleCache`](crate::ModuleCache), for backends to which [`StoreCache`](crate::StoreCache) does not suffice: those
//! that count, cache or explain what they load. A store that overrides [`promote`](crate::EntryStore::promote) returns
//! a [`Promotion`].

mod load_entry;
mod promotion;
mod why_unused;

pub use load_entry::{has_entry, load_entry, next_accepted, open_entry, put_entry, save_entry};
pub use promotion::Promotion;
pub use why_unused::why_unused;

//! The command as its users run it: the built program, in processes of its own.

#![cfg(unix)]

mod bundle;
mod cache_folder;
mod clean;
mod compile;
mod completions;
mod corpus;
mod dir;
mod explain;
#[cfg(feature = "remote")]
mod host;
mod key;
mod levels;
mod ls;
mod no_cache;
#[cfg(not(feature = "remote"))]
mod no_remote;
mod prune;
#[cfg(feature = "remote")]
mod push_pull;
mod reference;
#[cfg(feature = "remote")]
mod remote;
mod run;
#[cfg(feature = "remote")]
mod servers;
mod size;
mod streams;
mod support;
mod verify;
#[cfg(target_os = "linux")]
mod warm_run;
#[cfg(feature = "wasmer-singlepass")]
mod wasmer;

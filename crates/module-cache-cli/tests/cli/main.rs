//! The command as its users run it: the built program, in processes of its own.

#![cfg(unix)]

mod bundle;
mod cache_folder;
mod clean;
mod compile;
mod completions;
mod corpus;
mod dir;
mod ls;
mod no_cache;
mod prune;
mod run;
mod size;
mod streams;
mod support;
mod verify;

//! The command as its users run it: the built program, in processes of its own.

#![cfg(unix)]

mod cache_folder;
mod compile;
mod corpus;
mod dir;
mod run;
mod streams;
mod support;

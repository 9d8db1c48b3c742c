//! An HTTP server that runs a WebAssembly function by its path.
//!
//! A function's first request loads it: from the folder of compiled functions, or by compiling it with Winch, once,
//! however many ask for it at the same time. Cranelift compiles it behind that, and later requests run its code. It stays
//! resident as long as the memory budget allows. The server is [`router`]; `main.rs` only opens what it needs.

#![forbid(unsafe_code)]

mod functions;
pub mod sandbox;
mod server;

pub use functions::{Cache, Functions, Loader};
pub use server::{Answer, answer, router};

//! An HTTP server that runs a WebAssembly function by its path.
//!
//! A function's first request loads it: from the folder of compiled functions, or by compiling it, once,
//! however many ask for it at the same time. From then on it is resident, as long as the memory budget
//! allows. The server is [`router`]; `main.rs` only opens what it needs.

#![forbid(unsafe_code)]

mod functions;
pub mod sandbox;
mod server;

pub use functions::{Cache, Functions};
pub use server::{Answer, answer, router};

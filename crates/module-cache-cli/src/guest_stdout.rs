//! Standard output as a program sees it: this command's, and the end of the program when that is closed.

use std::io::{self, ErrorKind, Write};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::output::StdoutClosed;

/// This command's standard output. Where nobody reads it any more, writing to it ends the program with
/// [`StdoutClosed`], as SIGPIPE ends a native one. An error code would make some programs complain and
/// others write for ever.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuestStdout;

impl StdoutStream for GuestStdout {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(*self)
    }

    /// Not asked for by programs of WASI preview 1 and 2.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        io::stdout().async_stream()
    }
}

impl IsTerminal for GuestStdout {
    fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }
}

#[async_trait]
impl Pollable for GuestStdout {
    async fn ready(&mut self) {}
}

impl OutputStream for GuestStdout {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        io::stdout().write_all(&bytes).map_err(stream_error)
    }

    fn flush(&mut self) -> StreamResult<()> {
        io::stdout().flush().map_err(stream_error)
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(1024 * 1024)
    }
}

fn stream_error(error: io::Error) -> StreamError {
    if error.kind() == ErrorKind::BrokenPipe {
        StreamError::Trap(StdoutClosed.into())
    } else {
        StreamError::LastOperationFailed(error.into())
    }
}

//! The errors of caches and engines. All of them can be cloned, because several callers may wait for one answer.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{EntryKey, KeyId};

/// A cache could not do its work. A miss is not an error: it is `Ok(None)`.
///
/// Loaders count and log these and go on without the cache.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// The operating system refused a file operation.
    #[error("cannot {operation} {}", path.display())]
    #[non_exhaustive]
    Io {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// The path that it was attempted on.
        path: PathBuf,
        /// The system's error.
        source: Arc<io::Error>,
    },
    /// A directory is controlled by other users, so it must not hold code that will be executed.
    #[error("refusing {}: {reason}", path.display())]
    #[non_exhaustive]
    Untrusted {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// The engine could not serialize the module, or refused an entry.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Both sides of a fallback failed. It displays with all causes of both, and has no [`source`](Error::source).
    #[error(
        "both caches failed: {}; {}",
        WithCauses(primary),
        WithCauses(fallback)
    )]
    #[non_exhaustive]
    Both {
        /// The first cache's error.
        primary: Box<CacheError>,
        /// The second cache's error.
        fallback: Box<CacheError>,
    },
    /// A backend of another kind failed.
    #[error("cannot {operation} in {backend}")]
    #[non_exhaustive]
    Backend {
        /// Name of the backend.
        backend: &'static str,
        /// What was attempted, as a verb.
        operation: &'static str,
        /// The backend's error.
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl CacheError {
    /// An error of the operating system, with what was attempted on which path.
    pub fn io(operation: &'static str, path: impl AsRef<Path>, source: io::Error) -> Self {
        Self::Io {
            operation,
            path: path.as_ref().to_owned(),
            source: Arc::new(source),
        }
    }

    /// A directory is refused; `reason` says what is wrong with it, and what to do.
    pub fn untrusted(path: impl AsRef<Path>, reason: impl Into<String>) -> Self {
        Self::Untrusted {
            path: path.as_ref().to_owned(),
            reason: reason.into(),
        }
    }

    /// The errors of both sides of a fallback.
    pub fn both(primary: Self, fallback: Self) -> Self {
        Self::Both {
            primary: Box::new(primary),
            fallback: Box::new(fallback),
        }
    }

    /// An error of some other storage.
    pub fn backend(
        backend: &'static str,
        operation: &'static str,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::Backend {
            backend,
            operation,
            source: Arc::from(source.into()),
        }
    }
}

/// An engine could not compile, serialize or load a module.
///
/// It displays with all causes, and so has no [`source`](Error::source), like an error created by [`io::Error::other`].
///
/// ```
/// use module_cache_core::EngineError;
///
/// let error = EngineError::new("cannot compile the module", "unexpected end");
/// assert_eq!(error.to_string(), "cannot compile the module: unexpected end");
/// ```
#[derive(Clone)]
pub struct EngineError {
    message: Arc<str>,
    cause: Option<Arc<dyn Error + Send + Sync>>,
    is_invalid_wasm: bool,
}

impl EngineError {
    /// An error with what was attempted (as in "cannot compile the module") and the engine's error.
    pub fn new(message: &str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            message: message.into(),
            cause: Some(Arc::from(cause.into())),
            is_invalid_wasm: false,
        }
    }

    /// The same if the wasm is invalid, so that the engine will refuse it each time. Panics and transient failures, such as
    /// a lack of memory, are not of this kind.
    ///
    /// ```
    /// use module_cache_core::EngineError;
    ///
    /// let error = EngineError::invalid_wasm("cannot compile the module", "unexpected end");
    /// assert!(error.is_invalid_wasm());
    /// ```
    pub fn invalid_wasm(message: &str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            is_invalid_wasm: true,
            ..Self::new(message, cause)
        }
    }

    /// The adapter itself refused; the error has no other cause.
    pub fn refused(message: &str) -> Self {
        Self {
            message: message.into(),
            cause: None,
            is_invalid_wasm: false,
        }
    }

    /// Whether the wasm is invalid, so that compiling it again is useless.
    pub fn is_invalid_wasm(&self) -> bool {
        self.is_invalid_wasm
    }

    /// The cause that this error was created with, to be downcast: the engine's error if that is a
    /// [`std::error::Error`], as wasmer's are and wasmtime's is not. This error displays with all causes in any case.
    pub fn get_ref(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &dyn Error)
    }

    /// An error for a panic that [`std::panic::catch_unwind`] or a thread's `join` returned.
    pub fn panicked(panic: &(dyn Any + Send)) -> Self {
        Self::refused(&format!("the engine panicked: {}", panic_message(panic)))
    }
}

/// The message of a panic that [`std::panic::catch_unwind`] or a thread's `join` returned.
///
/// ```
/// let panic = std::panic::catch_unwind(|| panic!("no such thing")).unwrap_err();
/// assert_eq!(module_cache_core::panic_message(&*panic), "no such thing");
/// ```
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref().map(String::as_str))
        .unwrap_or("no message")
}

/// As it displays, because this is what is printed of an error that `main` returns.
impl fmt::Debug for EngineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "EngineError({:?})", self.to_string())
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        match self.get_ref() {
            Some(cause) => write!(out, ": {}", WithCauses(cause)),
            None => Ok(()),
        }
    }
}

/// An error and all that is behind it.
struct WithCauses<'a>(&'a (dyn Error + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for EngineError {}

/// Why stored bytes are not an entry that may be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEntry {
    /// The bytes are damaged.
    #[error("corrupt entry: {0}")]
    Corrupt(&'static str),
    /// The format is not known to this version.
    #[error("entry format {version} with flags {flags:#06x} is not known to this version")]
    Unknown {
        /// Its format version.
        version: u16,
        /// Its flags.
        flags: u16,
    },
    /// The entry is of another key than the one that was asked for.
    #[error("entry of {0} is stored in the place of another")]
    KeyMismatch(Box<EntryKey>),
    /// The entry is not signed, and the reader requires a signature.
    #[error("entry is not signed, and only signed ones are accepted")]
    Unsigned,
    /// The entry is signed with a key that the reader does not accept.
    #[error("entry is signed with key {0}, which is not accepted")]
    UnknownKey(KeyId),
    /// The entry is compressed, and must be usable in place.
    #[error("entry is compressed, which this storage does not support")]
    Compressed,
}

impl InvalidEntry {
    /// Whether the bytes are proven to be damaged, so that deleting them loses nothing.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_of_an_engine_error_has_all_causes() {
        let cause = EngineError::new("cannot parse", "unexpected end");
        let error = EngineError::new("cannot compile the module", cause);
        assert_eq!(
            format!("{error:?}"),
            "EngineError(\"cannot compile the module: cannot parse: unexpected end\")"
        );
        assert_eq!(
            error.to_string(),
            "cannot compile the module: cannot parse: unexpected end"
        );
        assert!(error.source().is_none() && error.get_ref().is_some());
    }

    #[test]
    fn what_is_printed_of_two_errors_has_each_cause_once() {
        let io = |text| CacheError::io("read", "p", io::Error::other(text));
        let both = EngineError::new("x", CacheError::both(io("one"), io("two")));
        assert_eq!(
            both.to_string(),
            "x: both caches failed: cannot read p: one; cannot read p: two"
        );
    }
}

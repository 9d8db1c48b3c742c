//! Why the storage could not be used, and what follows from that.

use std::error::Error as _;
use std::time::Duration;

use module_cache_core::{CacheError, SkipReason};
use opendal::ErrorKind;

use crate::redact::redact;
#[cfg(feature = "redis")]
use crate::redis_connection::refusal;

/// An operation on the storage did not work out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the storage sent nothing for {0:?}")]
    TimedOut(Duration),
    #[error("it has failed recently, and is not used for a while")]
    Rests,
    #[error("the storage refused or failed")]
    Storage(#[from] StorageError),
    #[error(
        "the storage sent {sent} bytes or more where {asked} were asked for: it may not support range requests, which are required"
    )]
    NoRanges { asked: u64, sent: u64 },
    #[error("the storage sent {sent} bytes where {asked} were asked for")]
    WrongLength { asked: u64, sent: u64 },
    #[error("the object was replaced or removed while it was read")]
    Gone,
    #[error("another host has held the lease for {0:?}; compiling without it")]
    Held(Duration),
    #[error("the entry cannot be read or compressed")]
    Entry(#[from] std::io::Error),
    #[error("an entry was not stored: {0}")]
    Skipped(SkipReason),
    #[error("it cannot be listed and has no index; `module-cache push --index` writes one")]
    NoIndex,
    #[error("its index is damaged or incomplete")]
    BadIndex,
    #[error("it cannot be listed")]
    Unlistable,
    #[error("the index would be larger than {0} bytes")]
    LargeIndex(u64),
    #[error("the I/O thread could not be started, or its work panicked")]
    NoThread,
}

/// What a client of a storage said, in words that have no secret.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct StorageError {
    kind: ErrorKind,
    /// `OpenDAL` counts what comes. What it finds itself has no cause; what a connection suffered has one.
    has_cause: bool,
    is_temporary: bool,
    text: String,
}

impl From<opendal::Error> for StorageError {
    fn from(error: opendal::Error) -> Self {
        Self {
            kind: error.kind(),
            has_cause: error.source().is_some(),
            is_temporary: error.is_temporary(),
            text: redact(&error.to_string()),
        }
    }
}

#[cfg(feature = "redis")]
impl From<redis::RedisError> for StorageError {
    fn from(error: redis::RedisError) -> Self {
        let kind = refusal(&error).map_or(ErrorKind::Unexpected, |(kind, _)| kind);
        Self {
            kind,
            has_cause: true,
            // A connection that was closed was made anew.
            is_temporary: false,
            text: redact(&error.to_string()),
        }
    }
}

impl From<opendal::Error> for Failure {
    fn from(error: opendal::Error) -> Self {
        Self::Storage(error.into())
    }
}

#[cfg(feature = "redis")]
impl From<redis::RedisError> for Failure {
    fn from(error: redis::RedisError) -> Self {
        Self::Storage(error.into())
    }
}

impl Failure {
    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Storage(error) => Some(error.kind),
            _ => None,
        }
    }

    /// Whether the storage answered that this is not allowed, or not possible at all.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(
            self.kind(),
            Some(ErrorKind::PermissionDenied | ErrorKind::Unsupported)
        )
    }

    /// Whether the storage works, and has too much to do.
    pub(crate) fn is_throttling(&self) -> bool {
        self.kind() == Some(ErrorKind::RateLimited)
    }

    /// Whether the same may work a moment later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_temporary) && !self.is_throttling()
    }

    /// Whether the storage has no part in it.
    pub(crate) fn is_local(&self) -> bool {
        matches!(
            self,
            Self::Rests
                | Self::Entry(_)
                | Self::Skipped(_)
                | Self::Held(_)
                | Self::NoIndex
                | Self::BadIndex
                | Self::Unlistable
                | Self::LargeIndex(_)
        )
    }

    /// Whether there is nothing at that place.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Gone) || self.kind() == Some(ErrorKind::NotFound)
    }

    /// Whether all was answered, and less or more than was asked for.
    pub(crate) fn is_wrong_length(&self) -> bool {
        match self {
            Self::Storage(error) => match error.kind {
                ErrorKind::RangeNotSatisfied => true,
                ErrorKind::Unexpected => !error.has_cause,
                _ => false,
            },
            Self::WrongLength { .. } => true,
            _ => false,
        }
    }

    /// Whether a condition of the operation did not hold.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(
            self.kind(),
            Some(ErrorKind::ConditionNotMatch | ErrorKind::Conflict)
        )
    }

    pub(crate) fn into_cache_error(self, operation: &'static str) -> CacheError {
        CacheError::backend("remote storage", operation, self)
    }
}

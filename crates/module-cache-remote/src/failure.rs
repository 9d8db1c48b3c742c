//! Why the storage could not be used, and what follows from that.

use std::error::Error as _;
use std::time::Duration;

use module_cache_core::{CacheError, SkipReason};
use opendal::ErrorKind;

/// An operation on the storage did not work out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the storage did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("the storage refused or failed")]
    Storage(#[from] opendal::Error),
    #[cfg(feature = "redis")]
    #[error("the Redis server refused or failed")]
    Redis(#[from] redis::RedisError),
    #[error("the storage sent {sent} bytes where {asked} were asked for")]
    WrongLength { asked: u64, sent: u64 },
    #[error("what was being read was replaced or removed")]
    Gone,
    #[error("another host has held the lease for {0:?}; compiling without it")]
    Held(Duration),
    #[error("the entry cannot be read or compressed")]
    Entry(#[from] std::io::Error),
    #[error("an entry was not stored: {0}")]
    Skipped(SkipReason),
    #[error("the thread for remote storage is not there, or its work panicked")]
    NoThread,
}

impl Failure {
    /// Whether the storage answered that this is not allowed, or not possible at all.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Storage(error)
            if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported))
    }

    /// Whether the storage has no part in it.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self, Self::Entry(_) | Self::Skipped(_) | Self::Held(_))
    }

    /// Whether there is nothing at that place.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Storage(error) => error.kind() == ErrorKind::NotFound,
            Self::Gone => true,
            _ => false,
        }
    }

    /// Whether all was answered, and less or more than was asked for.
    pub(crate) fn is_wrong_length(&self) -> bool {
        match self {
            // OpenDAL counts, too. What it finds itself has no cause; what a connection suffered has one.
            Self::Storage(error) => match error.kind() {
                ErrorKind::RangeNotSatisfied => true,
                ErrorKind::Unexpected => error.source().is_none(),
                _ => false,
            },
            Self::WrongLength { .. } => true,
            _ => false,
        }
    }

    /// Whether a condition of the operation did not hold.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(self, Self::Storage(error)
            if matches!(error.kind(), ErrorKind::ConditionNotMatch | ErrorKind::Conflict))
    }

    pub(crate) fn into_cache_error(self, operation: &'static str) -> CacheError {
        CacheError::backend("remote storage", operation, self)
    }
}

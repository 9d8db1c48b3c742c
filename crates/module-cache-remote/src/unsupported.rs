//! The operations of `OpenDAL`'s services that entries do not need.

use opendal::{Error, ErrorKind, Result};

pub(crate) fn unsupported<T>() -> Result<T> {
    let reason = "entries need no such operation";
    Err(Error::new(ErrorKind::Unsupported, reason))
}

/// Those that none of the services of this crate has, inside of an implementation of `Service`.
macro_rules! unsupported_operations {
    () => {
        async fn create_dir(
            &self,
            _: &opendal::OperationContext,
            _: &str,
            _: opendal::raw::OpCreateDir,
        ) -> opendal::Result<opendal::raw::RpCreateDir> {
            $crate::unsupported::unsupported()
        }

        fn copy(
            &self,
            _: &opendal::OperationContext,
            _: &str,
            _: &str,
            _: opendal::raw::OpCopy,
        ) -> opendal::Result<()> {
            $crate::unsupported::unsupported()
        }

        async fn rename(
            &self,
            _: &opendal::OperationContext,
            _: &str,
            _: &str,
            _: opendal::raw::OpRename,
        ) -> opendal::Result<opendal::raw::RpRename> {
            $crate::unsupported::unsupported()
        }

        async fn presign(
            &self,
            _: &opendal::OperationContext,
            _: &str,
            _: opendal::raw::OpPresign,
        ) -> opendal::Result<opendal::raw::RpPresign> {
            $crate::unsupported::unsupported()
        }
    };
}
pub(crate) use unsupported_operations;

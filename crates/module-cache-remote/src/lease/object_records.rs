//! Records as small objects, on services that write conditionally.

use futures_util::TryStreamExt;
use opendal::{Metadata, Operator};

use super::Version;
use crate::failure::Failure;

/// More than any record has.
const LONGEST: usize = 256;

#[derive(Debug, Clone)]
pub(crate) struct ObjectRecords {
    operator: Operator,
}

impl ObjectRecords {
    /// `None` where the service cannot write on a condition.
    pub(crate) fn new(operator: Operator) -> Option<Self> {
        let can = operator.info().capability();
        let swaps = can.write_with_if_match || can.write_with_if_version_match;
        (can.write_with_if_not_exists && swaps).then_some(Self { operator })
    }

    pub(super) async fn create(&self, name: &str, body: &str) -> Result<Option<Version>, Failure> {
        let write = self.operator.write_with(name, body.to_owned());
        self.written(name, body, write.if_not_exists(true).await)
            .await
    }

    pub(super) async fn read(&self, name: &str) -> Result<Option<(Version, String)>, Failure> {
        match self.read_existing(name).await {
            Ok(record) => Ok(Some(record)),
            Err(failure) if failure.is_not_found() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(super) async fn replace(
        &self,
        name: &str,
        seen: &Metadata,
        body: &str,
    ) -> Result<Option<Version>, Failure> {
        let write = self.operator.write_with(name, body.to_owned());
        self.written(name, body, write.if_not_changed(seen).await)
            .await
    }
}

impl ObjectRecords {
    /// What a conditional write came to.
    async fn written(
        &self,
        name: &str,
        body: &str,
        outcome: opendal::Result<Metadata>,
    ) -> Result<Option<Version>, Failure> {
        let metadata = match outcome.map_err(Failure::from) {
            Ok(metadata) => metadata,
            // AWS has no key to compare with where there is none.
            Err(failure) if failure.is_lost_race() || failure.is_not_found() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if metadata.etag().is_some() || metadata.version().is_some() {
            return Ok(Some(Version::Object(Box::new(metadata))));
        }
        // The service does not say what it made of it.
        let found = self.read(name).await?;
        Ok(found.and_then(|(version, found)| (found == body).then_some(version)))
    }

    async fn read_existing(&self, name: &str) -> Result<(Version, String), Failure> {
        let mut stream = self.operator.reader(name).await?.into_stream(..).await?;
        let metadata = stream.metadata().await?;
        let mut body = Vec::new();
        while let Some(buffer) = stream.try_next().await? {
            body.extend(buffer.to_vec());
            // Whatever this is, it has a version that can be watched.
            if body.len() > LONGEST {
                break;
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok((Version::Object(Box::new(metadata)), body))
    }
}

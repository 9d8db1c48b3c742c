//! The bodies of answers that are errors, of which no more is read than anybody would.
//!
//! Services read them whole to explain the error, and put them into it; what answers may be no storage at all.

use bytes::Bytes;
use futures_util::stream;
use http_types::{Request, Response, StatusCode};
use opendal::raw::oio::ReadStream as _;
use opendal::{Buffer, HttpBody, HttpTransport, HttpTransporter, Operator, Result};

const LONGEST: usize = 16 << 10;

/// The same operator, for which errors are short.
pub(crate) fn shortened(operator: Operator) -> Operator {
    let context = operator.context();
    let transport = ShortErrors(context.http_transport().clone());
    let context = context.with_http_transport(HttpTransporter::new(transport));
    operator.with_context(context)
}

struct ShortErrors(HttpTransporter);

impl HttpTransport for ShortErrors {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>> {
        let (head, mut body) = self.0.fetch(request).await?.into_parts();
        if [StatusCode::OK, StatusCode::PARTIAL_CONTENT].contains(&head.status) {
            return Ok(Response::from_parts(head, body));
        }
        let mut content = Vec::new();
        // The status says enough where the rest does not come.
        while content.len() < LONGEST
            && let Ok(part) = body.read().await
            && !part.is_empty()
        {
            part.for_each(|bytes: Bytes| content.extend_from_slice(&bytes));
        }
        content.truncate(LONGEST);
        let body = stream::iter([Ok(Buffer::from(content))]);
        Ok(Response::from_parts(head, HttpBody::new(body, None)))
    }
}

//! The sources that a module is compiled from.

use js_sys::Uint8Array;
use web_sys::Response;

/// Wasm in JavaScript's memory, or a response that is arriving.
#[derive(Debug, Clone)]
pub enum Wasm {
    /// The whole wasm.
    Bytes(Uint8Array),
    /// A response of a server or a cache, of type `application/wasm`. It is compiled while it arrives.
    Response(Response),
}

impl From<Uint8Array> for Wasm {
    fn from(bytes: Uint8Array) -> Self {
        Self::Bytes(bytes)
    }
}

/// Copies the bytes out of this program's memory.
impl From<&[u8]> for Wasm {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Response> for Wasm {
    fn from(response: Response) -> Self {
        Self::Response(response)
    }
}

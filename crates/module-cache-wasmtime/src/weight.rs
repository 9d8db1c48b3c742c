//! What a live module takes in memory.

use std::ops::Range;

/// What wasmtime keeps of a module beside its image: types, tables of functions, and what was parsed of the image.
/// It is about this much for a small module (`tests/many_engines.rs` of the facade measures it), and little beside the
/// image of a large one.
const BESIDE_THE_IMAGE: u64 = 8 << 10;

pub(crate) fn of_image(image: Range<*const u8>) -> u64 {
    let len = image.end.addr() - image.start.addr();
    len as u64 + BESIDE_THE_IMAGE
}

//! The description of an entry's content, frame by frame. The layout is specified in `docs/format.md`.

use crate::{InvalidEntry, parallel};

/// How many bytes of content a frame holds; the last one of an entry may hold fewer.
pub const FRAME_LEN: usize = 1 << 20;

/// Length of a frame's description in bytes.
const DESCRIPTION: usize = 72;

/// One frame: a mebibyte of content, and the form in which it is transported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    stored_len: u32,
    stored_hash: [u8; 32],
    content_len: u32,
    content_hash: [u8; 32],
}

impl Frame {
    /// A frame that is transported as it is.
    pub(crate) fn raw(content: &[u8]) -> Self {
        let (len, hash) = describe(content);
        Self {
            stored_len: len,
            stored_hash: hash,
            content_len: len,
            content_hash: hash,
        }
    }

    /// The same frame, transported as `stored`, which is shorter.
    pub(crate) fn compressed_into(self, stored: &[u8]) -> Self {
        let (stored_len, stored_hash) = describe(stored);
        Self {
            stored_len,
            stored_hash,
            ..self
        }
    }

    /// The same frame, transported as it is.
    pub(crate) fn uncompressed(self) -> Self {
        Self {
            stored_len: self.content_len,
            stored_hash: self.content_hash,
            ..self
        }
    }

    /// Whether it is transported as it is, and not compressed.
    pub fn is_raw(&self) -> bool {
        self.stored_len == self.content_len
    }

    /// Its length as it is transported.
    pub fn stored_len(&self) -> usize {
        self.stored_len as usize
    }

    /// The length of its content.
    pub fn content_len(&self) -> usize {
        self.content_len as usize
    }

    /// Compares what was transported.
    ///
    /// # Errors
    ///
    /// When it is not this frame.
    pub(crate) fn check_stored(&self, stored: &[u8]) -> Result<(), InvalidEntry> {
        check(stored, (self.stored_len, self.stored_hash))
    }

    /// Compares the content.
    ///
    /// # Errors
    ///
    /// When it is not that of this frame.
    pub(crate) fn check_content(&self, content: &[u8]) -> Result<(), InvalidEntry> {
        check(content, (self.content_len, self.content_hash))
    }

    fn encode(&self) -> [u8; DESCRIPTION] {
        let mut bytes = [0; DESCRIPTION];
        bytes[..4].copy_from_slice(&self.stored_len.to_le_bytes());
        bytes[4..36].copy_from_slice(&self.stored_hash);
        bytes[36..40].copy_from_slice(&self.content_len.to_le_bytes());
        bytes[40..].copy_from_slice(&self.content_hash);
        bytes
    }

    fn decode(bytes: &[u8; DESCRIPTION]) -> Self {
        let number = |at: usize| {
            let field = bytes[at..].first_chunk().copied();
            u32::from_le_bytes(field.unwrap_or_default())
        };
        let hash = |at: usize| bytes[at..].first_chunk().copied().unwrap_or_default();
        Self {
            stored_len: number(0),
            stored_hash: hash(4),
            content_len: number(36),
            content_hash: hash(40),
        }
    }
}

fn describe(bytes: &[u8]) -> (u32, [u8; 32]) {
    debug_assert!(bytes.len() <= FRAME_LEN);
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    (len, *blake3::hash(bytes).as_bytes())
}

fn check(bytes: &[u8], expected: (u32, [u8; 32])) -> Result<(), InvalidEntry> {
    if describe(bytes) == expected {
        Ok(())
    } else {
        Err(InvalidEntry::Corrupt("a frame of it is damaged"))
    }
}

/// The frames of an entry, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    frames: Vec<Frame>,
}

impl Manifest {
    pub(crate) fn new(frames: Vec<Frame>) -> Self {
        Self { frames }
    }

    /// The frames of content that is in memory, on all cores, each handed to `with` when it was hashed.
    pub(crate) fn of(
        content: &[u8],
        with: &(dyn Fn(usize, &[u8]) -> std::io::Result<()> + Sync),
    ) -> std::io::Result<Self> {
        let frames = parallel::map(content.len().div_ceil(FRAME_LEN), || {
            |index: usize| {
                let start = index * FRAME_LEN;
                let piece = &content[start..content.len().min(start + FRAME_LEN)];
                let frame = Frame::raw(piece);
                with(index, piece)?;
                Ok(frame)
            }
        })?;
        Ok(Self { frames })
    }

    /// Length in bytes of the manifest for so much content.
    pub(crate) fn len_for(content_len: u64) -> u64 {
        content_len
            .div_ceil(FRAME_LEN as u64)
            .saturating_mul(DESCRIPTION as u64)
    }

    /// Reads the manifest of content of these lengths, whose bytes are known to be right.
    ///
    /// # Errors
    ///
    /// When the lengths of its frames contradict each other, or do not add up to these.
    pub(crate) fn parse(
        bytes: &[u8],
        content_len: u64,
        stored_len: u64,
    ) -> Result<Self, InvalidEntry> {
        let frames = bytes.chunks_exact(DESCRIPTION);
        let frames: Vec<_> = frames
            .filter_map(<[u8]>::first_chunk)
            .map(Frame::decode)
            .collect();
        let contradiction = Err(InvalidEntry::Corrupt("its lengths contradict each other"));
        let mut left = content_len;
        for frame in &frames {
            let frame_len = left.min(FRAME_LEN as u64);
            let is_raw = frame.is_raw() && frame.stored_hash == frame.content_hash;
            let is_shorter = (1..frame.content_len).contains(&frame.stored_len);
            if u64::from(frame.content_len) != frame_len || !(is_raw || is_shorter) {
                return contradiction;
            }
            left -= frame_len;
        }
        let manifest = Self { frames };
        if left != 0 || manifest.stored_len() != stored_len {
            return contradiction;
        }
        Ok(manifest)
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.frames.iter().flat_map(Frame::encode).collect()
    }

    /// What the footer says of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        hash(&self.encode())
    }

    /// The frames, in order.
    pub(crate) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Length of the content in bytes.
    pub(crate) fn content_len(&self) -> u64 {
        self.frames
            .iter()
            .map(|frame| u64::from(frame.content_len))
            .sum()
    }

    /// Length of the content in bytes, as it is transported.
    pub(crate) fn stored_len(&self) -> u64 {
        self.frames
            .iter()
            .map(|frame| u64::from(frame.stored_len))
            .sum()
    }
}

pub(crate) fn hash(manifest: &[u8]) -> [u8; 32] {
    blake3::derive_key("module-cache 2026 manifest v1", manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::{FOOTER_LEN, Footer};
    use crate::{EngineId, EntryKey, ModuleHash};

    /// Two frames, of which the first is compressed.
    fn frames() -> [Frame; 2] {
        [
            Frame::raw(&vec![7; FRAME_LEN]).compressed_into(b"sevens"),
            Frame::raw(b"code"),
        ]
    }

    /// A footer that says so, and is whole.
    fn footer(manifest: &[u8], content_len: u64, stored_len: u64) -> Footer {
        let key = EntryKey::new(ModuleHash::of(b"wasm"), EngineId::builder("test").build());
        let mut bytes = Footer::unsigned(key, &Manifest::new(Vec::new())).encode();
        bytes[16..24].copy_from_slice(&content_len.to_le_bytes());
        bytes[24..32].copy_from_slice(&stored_len.to_le_bytes());
        bytes[144..176].copy_from_slice(&hash(manifest));
        let (fields, checksum) = bytes.split_at_mut(FOOTER_LEN - 32);
        checksum.copy_from_slice(&blake3::derive_key("module-cache 2026 footer v1", fields));
        Footer::parse(&bytes).unwrap()
    }

    /// Parses a manifest of such frames with a footer that vouches for it, and adds the lengths up.
    fn parse(frames: &[Frame]) -> Result<Manifest, InvalidEntry> {
        let manifest = Manifest::new(frames.to_vec());
        let bytes = manifest.encode();
        let (content_len, stored_len) = (manifest.content_len(), manifest.stored_len());
        footer(&bytes, content_len, stored_len).manifest(&bytes)
    }

    #[test]
    fn the_layout_never_changes() {
        let mut expected = Vec::new();
        expected.extend([6, 0, 0, 0]);
        expected.extend(blake3::hash(b"sevens").as_bytes());
        expected.extend([0, 0, 16, 0]);
        expected.extend(blake3::hash(&vec![7; FRAME_LEN]).as_bytes());
        for _ in ["as it is transported", "its content"] {
            expected.extend([4, 0, 0, 0]);
            expected.extend(blake3::hash(b"code").as_bytes());
        }
        let manifest = Manifest::new(frames().to_vec());
        assert_eq!(manifest.encode(), expected);
        assert_eq!(
            manifest.hash(),
            blake3::derive_key("module-cache 2026 manifest v1", &expected)
        );
        assert_eq!(Manifest::len_for(manifest.content_len()), 144);
        assert_eq!(parse(&frames()), Ok(manifest));
    }

    #[test]
    fn no_flipped_bit_is_overlooked() {
        let manifest = Manifest::new(frames().to_vec());
        let bytes = manifest.encode();
        let footer = footer(&bytes, manifest.content_len(), manifest.stored_len());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(footer.manifest(&flipped).is_err(), "bit {bit}");
        }
    }

    /// As somebody would write them who may: of an entry without signature, that is anybody.
    #[test]
    fn frames_that_no_writer_makes_are_refused() {
        let [first, last] = frames();
        let half = Frame::raw(&vec![7; FRAME_LEN / 2]);
        let stored_as = |len| Frame {
            stored_len: len,
            ..first
        };
        let other_hash = Frame {
            stored_hash: [1; 32],
            ..last
        };
        let empty = Frame::raw(b"");
        assert!(parse(&[]).is_ok() && parse(&[last]).is_ok());
        for (number, frames) in [
            // A short frame that is not the last.
            &[last, first][..],
            &[half, half],
            // Empty ones.
            &[empty, last],
            &[first, empty],
            &[stored_as(0), last],
            // Transported as it is, or longer.
            &[stored_as(1 << 20), last],
            &[first, other_hash],
        ]
        .iter()
        .enumerate()
        {
            assert!(parse(frames).unwrap_err().is_corrupt(), "{number}");
        }
        // Longer as they are transported, and the footer has it otherwise, as it would be refused itself.
        let long = [stored_as((1 << 20) + 1), last];
        let bytes = Manifest::new(long.to_vec()).encode();
        let footer = footer(&bytes, (1 << 20) + 4, (1 << 20) + 4);
        assert!(footer.manifest(&bytes).unwrap_err().is_corrupt());
    }

    #[test]
    fn a_manifest_that_does_not_add_up_to_its_footer_is_refused() {
        let bytes = Manifest::new(frames().to_vec()).encode();
        let (content_len, stored_len) = ((1 << 20) + 4, 10);
        let parse =
            |content_len, stored_len| footer(&bytes, content_len, stored_len).manifest(&bytes);
        assert!(parse(content_len, stored_len).is_ok());
        for (content_len, stored_len) in [
            (content_len, stored_len - 1),
            (content_len, stored_len + 1),
            (content_len, content_len),
            (content_len - 1, stored_len),
            (content_len + 1, stored_len),
            (1 << 21, stored_len),
            // Of one frame, of three, of none, and of more than there is memory.
            (1 << 20, stored_len),
            ((1 << 21) + 1, stored_len),
            (0, 0),
            (1 << 63, stored_len),
        ] {
            let refused = parse(content_len, stored_len).unwrap_err();
            assert!(refused.is_corrupt(), "{content_len} {stored_len}");
        }
    }
}

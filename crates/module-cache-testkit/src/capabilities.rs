//! What a cache under test can do beyond the minimum.

/// What a cache claims to do. The conformance suite asserts each claim where it is made, and its opposite
/// where it is not.
///
/// Start from [`LIVE`](Self::LIVE) or [`STORED`](Self::STORED):
///
/// ```
/// use module_cache_testkit::Capabilities;
///
/// let capabilities = Capabilities { permits: true, ..Capabilities::STORED };
/// assert!(capabilities.entries);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and every combination is possible"
)]
pub struct Capabilities {
    /// Other engine objects of equal id load what one engine saved, because it is stored as code and not kept as a live
    /// object.
    pub shared_between_instances: bool,
    /// [`load_resident`](module_cache_core::ModuleCache::load_resident) finds what was saved.
    pub resident: bool,
    /// [`entries`](module_cache_core::ModuleCache::entries) returns a store that holds what was saved.
    pub entries: bool,
    /// [`compile_permit`](module_cache_core::ModuleCache::compile_permit) gives a permit to one holder at a time. For a
    /// store, this is the only claim that counts.
    pub permits: bool,
    /// Each thread sees only what it saved itself.
    pub thread_local: bool,
}

impl Capabilities {
    /// A cache of live modules in memory: only [`resident`](Self::resident).
    pub const LIVE: Self = Self {
        shared_between_instances: false,
        resident: true,
        entries: false,
        permits: false,
        thread_local: false,
    };

    /// A cache of serialized code: [`shared_between_instances`](Self::shared_between_instances), with
    /// [`entries`](Self::entries).
    pub const STORED: Self = Self {
        shared_between_instances: true,
        resident: false,
        entries: true,
        permits: false,
        thread_local: false,
    };
}

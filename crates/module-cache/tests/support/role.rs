//! What a child process is told by the test that started it.

pub(crate) const ROLE: &str = "MODULE_CACHE_TEST_ROLE";

/// The role, in the process that has one.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

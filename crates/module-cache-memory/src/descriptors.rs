//! How many file descriptors this process may have.

/// The limit that holds now (`ulimit -n`), or as good as none.
pub(crate) fn limit_of_process() -> u64 {
    cfg_if::cfg_if! {
        if #[cfg(unix)] {
            use rustix::process::{Resource, getrlimit};

            getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
        } else {
            u64::MAX
        }
    }
}

//! Whether a directory, and a file in it, can hold code that this process will execute.
//!
//! Whoever can write an entry can run code in every process that loads it. So the directory that holds
//! the entries, and each entry, must belong to the user of this process (or to root, who can do anything
//! anyway, where the cache is only read) and be writable for nobody else. What stands above it is
//! examined once, when the cache is opened.

use crate::directory::Attributes;
use crate::platform::overflow_user;

pub(crate) const WRITABLE_BY_OTHERS: u32 = 0o022;
pub(crate) const ROOT: u32 = 0;

/// What is wrong with using the directory or file that has these attributes, if anything.
pub(crate) fn objection(attributes: &Attributes, user: u32) -> Option<String> {
    let Attributes { owner, mode, .. } = *attributes;
    if owner == overflow_user() {
        return Some(format!(
            "its owner is user {owner}, which stands for users that are unknown here"
        ));
    }
    if owner != user && owner != ROOT {
        return Some(format!(
            "it belongs to user {owner}, and this is user {user}; choose one that belongs to this user or to root"
        ));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Some(format!(
            "its mode is {mode:03o}, so others can write to it; `chmod go-w` it if you trust what it holds"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Kind;

    fn attributes(owner: u32, mode: u32) -> Attributes {
        Attributes {
            kind: Kind::File,
            size: 0,
            owner,
            mode,
            device: 0,
            inode: 0,
            changed: 0,
            modified: 0,
            usn: 0,
        }
    }

    #[test]
    fn only_the_user_and_root_are_trusted_and_nobody_else_may_write() {
        assert_eq!(objection(&attributes(1000, 0o700), 1000), None);
        assert_eq!(objection(&attributes(0, 0o755), 1000), None);
        for (owner, mode) in [
            (1001, 0o700),
            (1000, 0o720),
            (1000, 0o702),
            (0, 0o777),
            (65534, 0o700),
        ] {
            assert!(
                objection(&attributes(owner, mode), 1000).is_some(),
                "{owner} {mode:o}"
            );
        }
        assert!(objection(&attributes(overflow_user(), 0o700), overflow_user()).is_some());
    }
}

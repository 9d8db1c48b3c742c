//! `cargo xtask tidy`: the house rules that a program can check. All faults are reported, each with its
//! place, and the same check is a test of this package.

mod code;
mod everything;
mod manifests;
mod markdown;
mod sources;
mod tree;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use tree::{Fault, Tree};

/// One rule: what it finds wrong in the tree.
type Rule = fn(&Tree) -> Vec<Fault>;

const RULES: [Rule; 16] = [
    sources::says_what_it_holds,
    sources::leaves_nothing_unfinished,
    sources::ignores_no_test,
    sources::deserializes_in_one_place,
    sources::forbids_unsafe_code_where_there_is_none,
    manifests::folder_is_package_name,
    manifests::core_has_two_dependencies,
    manifests::backends_are_apart,
    manifests::packages_inherit,
    manifests::published_packages_are_complete,
    manifests::members_ask_for_their_version,
    markdown::links_resolve,
    everything::has_no_trailing_whitespace,
    everything::names_no_machine,
    everything::is_small,
    everything::has_no_reminders,
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(&workspace.root)?;
    let faults = check(&tree);
    for fault in &faults {
        eprintln!("{fault}");
    }
    match faults.len() {
        0 => {
            eprintln!("{} files are tidy", tree.files.len());
            Ok(())
        }
        1 => bail!("one fault against the house rules; mend it"),
        many => bail!("{many} faults against the house rules; mend them"),
    }
}

/// Every fault, in the order of files and lines.
fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults: Vec<_> = RULES.iter().flat_map(|rule| rule(tree)).collect();
    faults.sort();
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let workspace = Workspace::load().unwrap();
        let faults = check(&Tree::read(&workspace.root).unwrap());
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }

    #[test]
    fn all_faults_are_reported_in_order() {
        let tree = Tree::of(&[
            ("b.md", "[x](missing.md) \n"),
            ("a.rs", "fn main() { dbg!(1); }\n"),
        ]);
        let lines: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(
            lines[..2].iter().all(|line| line.starts_with("a.rs:1: ")),
            "{lines:#?}"
        );
        assert!(
            lines[2..].iter().all(|line| line.starts_with("b.md:1: ")),
            "{lines:#?}"
        );
    }
}

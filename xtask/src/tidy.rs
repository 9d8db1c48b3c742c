//! `cargo xtask tidy`: the house rules that no other tool checks. All faults are reported, each with its place.
//!
//! What clippy checks is in `clippy.toml` and in the workspace's lints; `cargo xtask deny` knows what may be depended on.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

/// What no line may have, as a pattern of `git grep --perl-regexp`, where that looks, and why.
const NOWHERE: [(&str, &str, &str); 4] = [
    (r"\s$", TEXTS, "whitespace at the end of the line"),
    (
        r"(?<![\w.\-/])/(root|work|home(?!/user))/",
        TEXTS_AND_PROGRAMS,
        "a path of one machine",
    ),
    (r"\b(TODO|FIXME|XXX)\b", TEXTS, "do it, or open an issue"),
    (
        r"#\[(cfg_attr\(.*)?ignore\b",
        TEXTS,
        "let the test run, or delete it",
    ),
];

const TEXTS: &str = "-I";
const TEXTS_AND_PROGRAMS: &str = "--text";

/// This file has to write down what nobody may write.
const THIS_FILE: &str = ":!xtask/src/tidy.rs";

/// Larger files belong into the corpus or somewhere else, not into every clone.
const LARGEST: u64 = 600 * 1000;

const CORE: &str = "module-cache-core";

/// Storages of entries or modules; one must be usable without another.
const BACKENDS: [&str; 4] = [
    "module-cache-fallback",
    "module-cache-filesystem",
    "module-cache-memory",
    "module-cache-remote",
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = files(&workspace.root)?;
    let mut faults = boundaries(workspace);
    for (pattern, place, reason) in NOWHERE {
        let found = grep(&workspace.root, pattern, place)?;
        faults.extend(found.lines().map(|line| format!("{line}: {reason}")));
    }
    for path in &files {
        check(&workspace.root, path, &files, &mut faults)?;
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    ensure!(faults.is_empty(), "{} faults; mend them", faults.len());
    eprintln!("{} files are tidy", files.len());
    Ok(())
}

/// Crates that depend on what they must not. Tests may.
fn boundaries(workspace: &Workspace) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, package) in &workspace.packages {
        let mut dependencies = package.dependencies.iter().map(String::as_str);
        let ours = |dependency: &&str| dependency.starts_with("module-cache");
        if name == CORE
            && dependencies
                .clone()
                .ne(["blake3", "ed25519-dalek", "thiserror"])
        {
            faults.push(format!(
                "{name} depends on more than blake3, ed25519-dalek and thiserror"
            ));
        }
        if BACKENDS.contains(&name.as_str()) && !dependencies.clone().filter(ours).eq([CORE]) {
            faults.push(format!("{name} depends on another crate of ours than core"));
        }
        let is_apart = name == "module-cache-loader" || name.starts_with("module-cache-wasm");
        if is_apart && dependencies.any(|dependency| BACKENDS.contains(&dependency)) {
            faults.push(format!("{name} depends on a backend"));
        }
    }
    faults
}

/// The files under version control and those that could be put there, from the root.
fn files(root: &Path) -> Result<BTreeSet<String>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let listed = process::capture(git(root).args(list))
        .context("tidy looks at what git lists, and needs git and a clone")?;
    let listed = String::from_utf8(listed)?;
    // Those that were removed, and not yet from version control, are not there.
    let present = listed.lines().filter(|path| root.join(path).exists());
    Ok(present.map(str::to_owned).collect())
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    // The files may belong to somebody else, in a container for instance; git only reads them here.
    git.args(["-c", "safe.directory=*"]).current_dir(root);
    git
}

/// Where a pattern matches, and what.
fn grep(root: &Path, pattern: &str, place: &str) -> Result<String> {
    let output = git(root)
        .args([
            "grep",
            "--untracked",
            "--line-number",
            "--perl-regexp",
            place,
        ])
        .args(["--only-matching", pattern, "--", THIS_FILE])
        .output()?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(1) => Ok(String::new()),
        _ => bail!("git grep: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn check(root: &Path, path: &str, all: &BTreeSet<String>, faults: &mut Vec<String>) -> Result<()> {
    let metadata = fs::symlink_metadata(root.join(path))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let len = metadata.len();
    if len > LARGEST {
        faults.push(format!("{path}: {len} bytes are more than {LARGEST}"));
    }
    let extension = Path::new(path).extension().and_then(OsStr::to_str);
    if extension == Some("rs") {
        let text = fs::read_to_string(root.join(path))?;
        let first = text.lines().next().unwrap_or_default();
        // The documentation of a library may begin with its README.
        let says =
            first.starts_with("//!") || (first.starts_with("#![") && first.contains("README"));
        if !says {
            faults.push(format!("{path}:1: does not say what the file holds"));
        }
    }
    if extension == Some("md") {
        let text = fs::read_to_string(root.join(path))?;
        let dead = links(&text).filter(|link| !resolves(path, link, all));
        faults.extend(dead.map(|link| format!("{path}: the link to {link} leads nowhere")));
    }
    Ok(())
}

/// The targets of inline links and of reference definitions, outside of code.
fn links(text: &str) -> impl Iterator<Item = &str> {
    // Every second part between fences, and in those between backticks, is code.
    let prose = text.split("```").step_by(2);
    let prose = prose.flat_map(|part| part.split('`').step_by(2));
    prose.flat_map(|part| {
        let inline = part.split("](").skip(1);
        let defined = part.lines().filter(|line| line.starts_with('['));
        let defined = defined.filter_map(|line| Some(line.split_once("]: ")?.1));
        let end = |target: &str| target.find([')', ' ', '\n']).unwrap_or(target.len());
        inline
            .chain(defined)
            .map(move |target| target[..end(target)].trim_matches(['<', '>']))
    })
}

/// Whether a link in the file `from` leads to a file or folder of the repository, or elsewhere.
fn resolves(from: &str, link: &str, all: &BTreeSet<String>) -> bool {
    let path = link.split(['#', '?']).next().unwrap_or_default();
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return true;
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            name => parts.push(name),
        }
    }
    let path = parts.join("/");
    all.contains(&path) || all.iter().any(|file| file.starts_with(&format!("{path}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        run(&Workspace::load().unwrap()).unwrap();
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let all = ["docs/a.md", "README.md"].map(str::to_owned).into();
        let text = "[a](a.md) [b](../README.md#top) [c](https://example.com)\n\
                    [d](gone.md) and [e](../docs)\n`[f](code.md)`\n```\n[g](code.md)\n```\n\
                    [h](../../out.md)\n[i]: defined.md\n";
        let dead: Vec<_> = links(text)
            .filter(|link| !resolves("docs/a.md", link, &all))
            .collect();
        assert_eq!(dead, ["gone.md", "../../out.md", "defined.md"]);
    }

    #[test]
    fn what_no_line_may_have_is_found() {
        let folder = tempfile::tempdir().unwrap();
        process::capture(git(folder.path()).arg("init")).unwrap();
        let text = "good\n\nbad \n(/root/x)\nhttps://a/work/b /home/user/\n// TODO: x\n#[ignore]\n";
        fs::write(folder.path().join("a.rs"), text).unwrap();
        fs::write(folder.path().join("b.wasm"), b"\0asm\x05/work/main.c\0").unwrap();
        let lines = |(pattern, place, _)| {
            let found = grep(folder.path(), pattern, place).unwrap();
            let places = found
                .lines()
                .map(|line| line.rsplit_once(':').unwrap().0.to_owned());
            places.collect::<Vec<_>>()
        };
        let found = NOWHERE.map(lines);
        let expected: [&[&str]; 4] = [
            &["a.rs:3"],
            &["a.rs:4", "b.wasm:1"],
            &["a.rs:6"],
            &["a.rs:7"],
        ];
        assert_eq!(found, expected.map(<[&str]>::to_vec));
    }
}

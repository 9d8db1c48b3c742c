//! Rules about Rust source files.

use super::code::{code_of, has_word};
use super::tree::{Fault, Tree, lines};

/// Where the workspace's one call stands that turns stored bytes into executable code.
const DESERIALIZE_HOME: &str = "crates/module-cache-core/src/load_entry.rs";

/// Crates that call an engine's own `deserialize`, or an adapter's in its tests.
const ADAPTERS: [&str; 3] = [
    "crates/module-cache-testkit/",
    "crates/module-cache-wasmer/",
    "crates/module-cache-wasmtime/",
];

pub(super) fn says_what_it_holds(tree: &Tree) -> Vec<Fault> {
    // The documentation of a library may begin with its README.
    let says = |text: &str| {
        let first = text.lines().next().unwrap_or_default();
        first.starts_with("//!") || (first.starts_with("#![") && first.contains("README.md"))
    };
    tree.texts(".rs")
        .filter(|(_, text)| !says(text))
        .map(|(file, _)| file.fault(1, "the file does not begin with `//!` and what it holds"))
        .collect()
}

pub(super) fn leaves_nothing_unfinished(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, text) in tree.texts(".rs") {
        for (line, code) in lines(&code_of(text)) {
            for name in ["todo", "unimplemented", "dbg"] {
                if has_word(code, name) && code.contains(&format!("{name}!")) {
                    faults.push(
                        file.fault(line, format!("`{name}!` is for unfinished code; finish it")),
                    );
                }
            }
        }
    }
    faults
}

pub(super) fn ignores_no_test(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, text) in tree.texts(".rs") {
        for (line, code) in lines(&code_of(text)) {
            if code.contains("#[ignore")
                || (code.contains("#[cfg_attr(") && has_word(code, "ignore"))
            {
                faults.push(file.fault(line, "a test is ignored; let it run, or delete it"));
            }
        }
    }
    faults
}

pub(super) fn deserializes_in_one_place(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut at_home = 0;
    for (file, text) in tree.texts(".rs") {
        if ADAPTERS
            .iter()
            .any(|adapter| file.path.starts_with(adapter))
        {
            continue;
        }
        for (line, code) in lines(&code_of(text)) {
            if !code.contains(".deserialize(") && !code.contains("Engine::deserialize(") {
                continue;
            }
            if file.path != DESERIALIZE_HOME {
                faults.push(file.fault(
                    line,
                    format!("only {DESERIALIZE_HOME} calls `deserialize`; use `load_entry`"),
                ));
                continue;
            }
            at_home += 1;
            if at_home > 1 {
                faults.push(file.fault(
                    line,
                    "this is the second call of `deserialize`; there is to be one",
                ));
            }
        }
    }
    if let Some(home) = tree
        .files
        .iter()
        .find(|file| file.path == DESERIALIZE_HOME)
        .filter(|_| at_home == 0)
    {
        faults.push(home.fault(
            1,
            "the workspace's one call of `deserialize` is not here any more",
        ));
    }
    faults
}

pub(super) fn forbids_unsafe_code_where_there_is_none(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (root, text) in tree.texts(".rs") {
        let Some(sources) = root
            .path
            .strip_suffix("lib.rs")
            .or_else(|| root.path.strip_suffix("main.rs"))
        else {
            continue;
        };
        if !sources.ends_with("/src/") || code_of(text).contains("#![forbid(unsafe_code)]") {
            continue;
        }
        // A second root in the same folder stands for itself, but shares the modules.
        let uses_unsafe = tree.texts(".rs").any(|(file, text)| {
            file.path.starts_with(sources) && has_word(&code_of(text), "unsafe")
        });
        if !uses_unsafe {
            faults.push(root.fault(
                1,
                "the crate has no unsafe code and does not say `#![forbid(unsafe_code)]`",
            ));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::super::tree::lines_of;
    use super::*;

    #[test]
    fn a_file_that_does_not_say_what_it_holds_is_a_fault() {
        let tree = Tree::of(&[
            ("a.rs", "//! A.\n"),
            ("b.rs", "use x;\n"),
            ("c.rs", ""),
            ("d.txt", ""),
        ]);
        assert_eq!(
            lines_of(&says_what_it_holds(&tree)),
            [("b.rs", 1), ("c.rs", 1)]
        );
    }

    #[test]
    fn unfinished_code_is_a_fault() {
        let tree = Tree::of(&[(
            "a.rs",
            "fn a() { todo!() }\n// todo!()\nunimplemented!();\ndbg!(x);\nmy_dbg!(x);\n",
        )]);
        assert_eq!(
            lines_of(&leaves_nothing_unfinished(&tree)),
            [("a.rs", 1), ("a.rs", 3), ("a.rs", 4)]
        );
    }

    #[test]
    fn an_ignored_test_is_a_fault() {
        let tree = Tree::of(&[(
            "a.rs",
            "#[test]\n#[ignore]\n#[ignore = \"slow\"]\n#[cfg_attr(windows, ignore)]\n// #[ignore]\n",
        )]);
        assert_eq!(
            lines_of(&ignores_no_test(&tree)),
            [("a.rs", 2), ("a.rs", 3), ("a.rs", 4)]
        );
    }

    #[test]
    fn a_second_call_of_deserialize_is_a_fault() {
        let tree = Tree::of(&[
            (
                DESERIALIZE_HOME,
                "e.deserialize(a)\n// x.deserialize(b)\ne.deserialize(c)\n",
            ),
            (
                "crates/module-cache-memory/src/lib.rs",
                "\ne.deserialize(a)\nArtifactEngine::deserialize(e, a)\n",
            ),
            (
                "crates/module-cache-wasmtime/src/lib.rs",
                "e.deserialize(a)\n",
            ),
            ("examples/a/src/lib.rs", "e.deserialize(a)\n"),
        ]);
        let expected = [
            (DESERIALIZE_HOME, 3),
            ("crates/module-cache-memory/src/lib.rs", 2),
            ("crates/module-cache-memory/src/lib.rs", 3),
            ("examples/a/src/lib.rs", 1),
        ];
        assert_eq!(lines_of(&deserializes_in_one_place(&tree)), expected);
    }

    #[test]
    fn a_call_of_deserialize_that_has_gone_is_a_fault() {
        let tree = Tree::of(&[(DESERIALIZE_HOME, "// e.deserialize(a)\n")]);
        assert_eq!(
            lines_of(&deserializes_in_one_place(&tree)),
            [(DESERIALIZE_HOME, 1)]
        );
    }

    #[test]
    fn a_crate_without_unsafe_code_that_does_not_forbid_it_is_a_fault() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "//! No `unsafe` code.\n"),
            ("crates/b/src/lib.rs", "#![forbid(unsafe_code)]\n"),
            ("crates/c/src/lib.rs", "mod d;\n"),
            ("crates/c/src/d.rs", "unsafe { e() }\n"),
            ("crates/c/tests/lib.rs", "\n"),
            ("xtask/src/main.rs", "//#![forbid(unsafe_code)]\n"),
        ]);
        let faults = forbids_unsafe_code_where_there_is_none(&tree);
        assert_eq!(
            lines_of(&faults),
            [("crates/a/src/lib.rs", 1), ("xtask/src/main.rs", 1)]
        );
    }
}

//! Rules about files of any kind.

use super::code::has_word;
use super::tree::{Fault, Tree, lines};

/// Larger files belong into the corpus or somewhere else, not into every clone.
const LARGEST: usize = 600 * 1000;

/// Folders that exist on the machine of whoever wrote a path down. In pieces, so that this file passes.
const MACHINE_FOLDERS: [&str; 3] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
];

/// The one that documents use as an example.
const EXAMPLE: &str = concat!("/ho", "me/user");

/// In pieces, so that this file passes.
const REMINDERS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
];

pub(super) fn has_no_trailing_whitespace(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, text) in tree.texts("") {
        // Not `lines`, which would hide a carriage return.
        for (index, line) in text.split('\n').enumerate() {
            if line.ends_with(char::is_whitespace) {
                faults.push(file.fault(index + 1, "whitespace at the end of the line"));
            }
        }
    }
    faults
}

pub(super) fn names_no_machine(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in &tree.files {
        // Programs have paths in them, too, so this looks at bytes.
        for (index, line) in file.bytes.split(|byte| *byte == b'\n').enumerate() {
            if let Some(folder) = MACHINE_FOLDERS.iter().find(|folder| names(line, folder)) {
                faults
                    .push(file.fault(index + 1, format!("a path of one machine, below {folder}")));
            }
        }
    }
    faults
}

pub(super) fn is_small(tree: &Tree) -> Vec<Fault> {
    let large = tree.files.iter().filter(|file| file.bytes.len() > LARGEST);
    large
        .map(|file| {
            file.fault(
                1,
                format!("{} bytes are more than {LARGEST}", file.bytes.len()),
            )
        })
        .collect()
}

pub(super) fn has_no_reminders(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, text) in tree.texts("") {
        for (line, content) in lines(text) {
            for reminder in REMINDERS
                .iter()
                .filter(|reminder| has_word(content, reminder))
            {
                faults.push(file.fault(line, format!("`{reminder}`: do it, or open an issue")));
            }
        }
    }
    faults
}

/// Whether `line` has a path that begins with `folder`: not as the end of a longer path, and not the example.
fn names(line: &[u8], folder: &str) -> bool {
    line.windows(folder.len())
        .enumerate()
        .any(|(start, window)| {
            let longer = start > 0
                && (line[start - 1].is_ascii_alphanumeric() || b"._-/".contains(&line[start - 1]));
            window == folder.as_bytes() && !longer && !line[start..].starts_with(EXAMPLE.as_bytes())
        })
}

#[cfg(test)]
mod tests {
    use super::super::tree::{File, lines_of};
    use super::*;

    #[test]
    fn whitespace_at_the_end_of_a_line_is_a_fault() {
        let tree = Tree::of(&[
            ("a", "good\nbad \nbad\t\nbad\r\n"),
            ("b", "good\n"),
            ("c", "\0 \n"),
        ]);
        assert_eq!(
            lines_of(&has_no_trailing_whitespace(&tree)),
            [("a", 2), ("a", 3), ("a", 4)]
        );
    }

    #[test]
    fn a_path_of_one_machine_is_a_fault_in_text_and_in_a_program() {
        let [first, second, third] = MACHINE_FOLDERS;
        let text = format!(
            "see {first}x\n`{second}y`\n{third}me\n{EXAMPLE}/z\nhttps://example.com{second}\nsrc{first}x\n"
        );
        let mut tree = Tree::of(&[("a.md", text.as_str())]);
        let program = format!("\0asm\x05{second}main.c\0").into_bytes();
        tree.files.push(File {
            path: "b.wasm".to_owned(),
            bytes: program,
        });
        assert_eq!(
            lines_of(&names_no_machine(&tree)),
            [("a.md", 1), ("a.md", 2), ("a.md", 3), ("b.wasm", 1)]
        );
    }

    #[test]
    fn a_large_file_is_a_fault() {
        let tree = Tree::of(&[("a", &"x".repeat(LARGEST)), ("b", &"x".repeat(LARGEST + 1))]);
        assert_eq!(lines_of(&is_small(&tree)), [("b", 1)]);
    }

    #[test]
    fn a_reminder_is_a_fault() {
        let [first, second, third] = REMINDERS;
        let text =
            format!("// {first}: x\n{second}\n({third})\nmktemp {third}{third}\nnot{first}\n");
        assert_eq!(
            lines_of(&has_no_reminders(&Tree::of(&[("a", text.as_str())]))),
            [("a", 1), ("a", 2), ("a", 3)]
        );
    }
}

//! The rule about Markdown: a link to a file of this repository leads somewhere.

use super::tree::{Fault, Tree, lines};

pub(super) fn links_resolve(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (file, text) in tree.texts(".md") {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in links(text) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !resolve(folder, path).is_some_and(|path| tree.has(&path)) {
                faults.push(file.fault(line, format!("the link to {target} leads nowhere")));
            }
        }
    }
    faults
}

/// The targets of inline links and of reference definitions, outside of code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in lines(text) {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second part between backticks is code.
        for part in line.split('`').step_by(2) {
            for piece in part.split("](").skip(1) {
                let end = piece.find([')', ' ']).unwrap_or(piece.len());
                found.push((number, piece[..end].trim_matches(['<', '>'])));
            }
        }
        if let Some((label, target)) = line.split_once("]: ").filter(|_| line.starts_with('['))
            && !label.contains(']')
        {
            found.push((number, target.split(' ').next().unwrap_or_default()));
        }
    }
    found
}

/// `path` as seen from `folder`, from the root; `None` when it leaves the repository.
fn resolve(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if path.starts_with('/') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::lines_of;
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_a_fault() {
        let text = "[a](b.md) [a](../README.md#top) [a](https://example.com) [a](#here)\n\
                    [x](c.md) and [y](../docs)\n\
                    `[code](d.md)` ![z](<e.png>)\n\
                    ```\n[code](f.md)\n```\n\
                    [up](../../g.md) [root](/h.md)\n\
                    [ref]: i.md\n";
        let tree = Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("README.md", "")]);
        let expected = [
            ("docs/a.md", 2),
            ("docs/a.md", 3),
            ("docs/a.md", 7),
            ("docs/a.md", 7),
            ("docs/a.md", 8),
        ];
        assert_eq!(lines_of(&links_resolve(&tree)), expected);
    }
}

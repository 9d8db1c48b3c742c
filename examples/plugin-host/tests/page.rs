//! The code of `docs/plugins.md` is that of this package, which the other tests run.

use std::fs;
use std::path::Path;

/// The lines with something on them, without their indentation.
fn lines(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_page_shows_code_of_this_package() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(here.join("../../docs/plugins.md")).unwrap();
    let sources: Vec<String> = fs::read_dir(here.join("src"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let blocks = page.split("```rust\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
    let mut count = 0;
    for block in blocks {
        let shown = lines(block);
        let is_there = sources.iter().any(|source| {
            let source = lines(source);
            source.windows(shown.len()).any(|part| part == shown)
        });
        assert!(
            is_there,
            "docs/plugins.md shows what is not in examples/plugin-host/src:\n{block}"
        );
        count += 1;
    }
    assert!(count > 0, "the page shows no code");
}

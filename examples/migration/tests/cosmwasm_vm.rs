//! The one page whose code before is not compiled with it: cosmwasm-vm would bring 60 crates into the workspace.

use std::fs;
use std::path::Path;

#[test]
fn the_page_shows_the_code_that_is_checked() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(here.join(path)).unwrap();
    let page = read("../../docs/migration/cosmwasm-vm.md");
    let checked = read("cosmwasm-vm/src/lib.rs");
    let (_, code) = checked.split_once("\n\n").unwrap();
    assert!(code.contains("Cache::new"), "{code}");
    assert!(
        page.contains(&format!("```rust,ignore\n{code}```\n")),
        "docs/migration/cosmwasm-vm.md and examples/migration/cosmwasm-vm/src/lib.rs differ; \
         change both"
    );
}

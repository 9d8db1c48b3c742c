//! Where a toolchain keeps the libraries of a target, which says whether it has that target.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process;

/// Where the toolchain of `folder` has the libraries for `target`, or would have them; for itself without one.
pub(crate) fn library_folder(folder: &Path, target: Option<&str>) -> Result<PathBuf> {
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(folder).args(["--print", "target-libdir"]);
    if let Some(target) = target {
        rustc.args(["--target", target]);
    }
    let answer = String::from_utf8(process::capture(&mut rustc)?)?;
    Ok(answer.trim_end().into())
}

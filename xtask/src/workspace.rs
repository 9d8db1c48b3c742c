//! Where the workspace is, where it builds, and which packages it has, as `cargo metadata` says.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;

/// The workspace that this program belongs to.
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// The target folder, wherever `CARGO_TARGET_DIR` or a configuration puts it.
    pub(crate) target: PathBuf,
    /// The members by name.
    pub(crate) packages: BTreeMap<String, Package>,
}

/// A member of the workspace.
pub(crate) struct Package {
    /// The folder of its manifest.
    pub(crate) folder: PathBuf,
    /// The oldest Rust that it builds with.
    pub(crate) rust_version: String,
    /// Whether it is published.
    pub(crate) is_published: bool,
    /// The names of its features, `default` among them where there is one.
    pub(crate) features: Vec<String>,
    /// The names of its dependencies but those of tests.
    pub(crate) dependencies: Vec<String>,
    /// The other packages that its manifest finds by path, for whatever use.
    pub(crate) path_dependencies: Vec<String>,
}

/// Features that need what `.ci/run` does not install (LLVM itself, or a target without a system), or that have a command of
/// their own.
pub(crate) const BUILT_ELSEWHERE: [(&str, &str); 4] = [
    ("module-cache-remote", "simulation"),
    ("module-cache-wasmer", "js"),
    ("module-cache-wasmer", "llvm"),
    ("xtask", "unaligned-archives"),
];

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> Result<Self> {
        // Compiled in, because this program also runs as its own tests, from anywhere.
        let folder = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let answer = process::capture(process::cargo(&folder).args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
        ]))?;
        Self::read(&answer).context("cannot read what `cargo metadata` says")
    }

    fn read(metadata: &[u8]) -> Result<Self> {
        let metadata: Value = serde_json::from_slice(metadata)?;
        let mut packages = BTreeMap::new();
        for package in array(&metadata, "packages")? {
            packages.insert(text(package, "name")?.to_owned(), Package::read(package)?);
        }
        Ok(Self {
            root: text(&metadata, "workspace_root")?.into(),
            target: text(&metadata, "target_directory")?.into(),
            packages,
        })
    }

    /// The arguments that enable the features of all members, but those that cannot be built here.
    pub(crate) fn all_features(&self) -> [String; 2] {
        let features = self
            .packages
            .iter()
            .flat_map(|(name, package)| package.features.iter().map(move |feature| (name, feature)))
            .filter(|(name, feature)| !BUILT_ELSEWHERE.contains(&(name, feature)))
            .map(|(name, feature)| format!("{name}/{feature}"));
        ["--features".into(), features.collect::<Vec<_>>().join(",")]
    }

    /// `name` and the members that it needs, and those that they need, where `needs` says what a member needs.
    pub(crate) fn closure(
        &self,
        name: &str,
        needs: fn(&Package) -> &[String],
    ) -> Result<BTreeSet<String>> {
        ensure!(
            self.packages.contains_key(name),
            "{name} is no member of the workspace"
        );
        let mut found = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            if let Some(package) = self.packages.get(&name) {
                open.extend(
                    needs(package)
                        .iter()
                        .filter(|name| !found.contains(*name))
                        .cloned(),
                );
                found.insert(name);
            }
        }
        Ok(found)
    }

    /// `path` as seen from the root, where it is below it.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

impl Package {
    fn read(package: &Value) -> Result<Self> {
        let manifest = Path::new(text(package, "manifest_path")?);
        let features = package["features"].as_object().context("no features")?;
        let (mut dependencies, mut path_dependencies) = (Vec::new(), Vec::new());
        for dependency in array(package, "dependencies")? {
            if dependency["kind"] != "dev" {
                dependencies.push(text(dependency, "name")?.to_owned());
            }
            if dependency.get("path").is_some_and(Value::is_string) {
                path_dependencies.push(text(dependency, "name")?.to_owned());
            }
        }
        Ok(Self {
            folder: manifest
                .parent()
                .context("a manifest without a folder")?
                .into(),
            rust_version: text(package, "rust_version")?.to_owned(),
            // An empty list of registries is what `publish = false` comes to.
            is_published: package["publish"].is_null(),
            features: features.keys().cloned().collect(),
            dependencies,
            path_dependencies,
        })
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value[field]
        .as_str()
        .with_context(|| format!("no text called {field}"))
}

fn array<'a>(value: &'a Value, field: &str) -> Result<&'a [Value]> {
    value[field]
        .as_array()
        .map(Vec::as_slice)
        .with_context(|| format!("no list called {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_workspace_has_the_core_library() {
        let workspace = Workspace::load().unwrap();
        let core = &workspace.packages["module-cache-core"];
        assert_eq!(
            workspace.relative(&core.folder),
            Path::new("crates/module-cache-core")
        );
    }

    #[test]
    fn what_a_member_needs_is_what_its_program_or_its_tests_have() {
        let workspace = Workspace::load().unwrap();
        let adapter = "module-cache-wasmtime";
        let needed = workspace.closure(adapter, |package| &package.path_dependencies);
        let needed = needed.unwrap();
        assert!(needed.contains(adapter) && needed.contains("module-cache-core"));
        assert!(!needed.contains("module-cache-cli") && !needed.contains("wasmtime"));
        assert!(workspace.closure("wasmtime", |_| &[]).is_err());
    }

    #[test]
    fn all_features_are_those_that_can_be_built() {
        let workspace = Workspace::load().unwrap();
        let [_, features] = workspace.all_features();
        assert!(features.contains("module-cache/filesystem"));
        for (package, feature) in BUILT_ELSEWHERE {
            assert!(
                workspace.packages[package]
                    .features
                    .iter()
                    .any(|name| name == feature)
            );
            assert!(!features.contains(&format!("{package}/{feature}")));
        }
    }

    #[test]
    fn an_answer_without_a_field_is_an_error_that_names_it() {
        let error = Workspace::read(b"{\"packages\": []}").err().unwrap();
        assert!(error.to_string().contains("workspace_root"), "{error}");
    }
}

//! Rules about the packages' manifests.

use toml::{Table, Value};

use super::tree::{Fault, File, Tree};

/// Storages of entries or modules; one must be usable without another.
const BACKENDS: [&str; 4] = [
    "module-cache-fallback",
    "module-cache-filesystem",
    "module-cache-memory",
    "module-cache-remote",
];

const CORE: &str = "module-cache-core";
const CORE_DEPENDENCIES: [&str; 2] = ["blake3", "thiserror"];

/// What every package takes from the workspace.
const INHERITED: [&str; 4] = ["version", "edition", "rust-version", "license"];

/// The manifest of the workspace.
const ROOT: &str = "Cargo.toml";

/// What every published package has in its manifest, and beside it.
const PUBLISHED_FIELDS: [&str; 4] = ["description", "keywords", "categories", "include"];
const PUBLISHED_FILES: [&str; 2] = ["README.md", "LICENSE"];

pub(super) fn folder_is_package_name(tree: &Tree) -> Vec<Fault> {
    let wrong = |package: &Package| package.name() != Some(package.folder);
    faults(tree, |package| {
        let message = format!(
            "the package is not called {} like its folder",
            package.folder
        );
        wrong(package)
            .then(|| package.fault("name", message))
            .into_iter()
            .collect()
    })
}

pub(super) fn core_has_two_dependencies(tree: &Tree) -> Vec<Fault> {
    faults(tree, |package| {
        if package.folder != CORE {
            return Vec::new();
        }
        let has = package.dependencies();
        let extra = has
            .iter()
            .filter(|name| !CORE_DEPENDENCIES.contains(&name.as_str()));
        let extra = extra.map(|name| {
            package.fault(
                name,
                format!("core depends on blake3 and thiserror only, not on {name}"),
            )
        });
        let missing = CORE_DEPENDENCIES
            .iter()
            .filter(|name| !has.iter().any(|has| has == *name));
        let missing = missing
            .map(|name| package.fault("dependencies", format!("core does not depend on {name}")));
        extra.chain(missing).collect()
    })
}

/// A test of one backend may use another; the backend itself may not.
pub(super) fn backends_are_apart(tree: &Tree) -> Vec<Fault> {
    faults(tree, |package| {
        if !BACKENDS.contains(&package.folder) {
            return Vec::new();
        }
        let has = package.dependencies();
        let others = has.iter().filter(|name| BACKENDS.contains(&name.as_str()));
        others
            .map(|name| package.fault(name, format!("a backend depends on another, {name}")))
            .collect()
    })
}

pub(super) fn packages_inherit(tree: &Tree) -> Vec<Fault> {
    faults(tree, |package| {
        let inherits = |value: Option<&Value>| {
            value
                .and_then(|value| value.get("workspace"))
                .and_then(Value::as_bool)
                == Some(true)
        };
        let fields = package.manifest.get("package");
        let mut found = Vec::new();
        for field in INHERITED {
            if !inherits(fields.and_then(|fields| fields.get(field))) {
                found.push(package.fault(
                    field,
                    format!("`{field}` is not the workspace's; write `{field}.workspace = true`"),
                ));
            }
        }
        if !inherits(package.manifest.get("lints")) {
            found.push(package.fault(
                "[lints]",
                "the lints are not the workspace's; write `workspace = true` under [lints]",
            ));
        }
        found
    })
}

/// Without these, a package cannot be published, or nobody can tell what it is and whether it may be used.
pub(super) fn published_packages_are_complete(tree: &Tree) -> Vec<Fault> {
    faults(tree, |package| {
        let fields = package.manifest.get("package");
        let field = |name: &str| fields.and_then(|fields| fields.get(name));
        if field("publish").and_then(Value::as_bool) == Some(false) {
            return Vec::new();
        }
        let path = package.file.path.as_str();
        let folder = path.strip_suffix("Cargo.toml").unwrap_or_default();
        let fields = PUBLISHED_FIELDS.iter().filter(|name| field(name).is_none());
        let files = PUBLISHED_FILES
            .iter()
            .filter(|name| !tree.has(&format!("{folder}{name}")));
        fields
            .chain(files)
            .map(|name| package.fault("[package]", format!("a published package needs `{name}`")))
            .collect()
    })
}

/// All crates have one version, and are published together.
pub(super) fn members_ask_for_their_version(tree: &Tree) -> Vec<Fault> {
    let root = tree.texts("Cargo.toml").find(|(file, _)| file.path == ROOT);
    let Some((file, text)) = root else {
        return Vec::new();
    };
    let manifest: Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![file.fault(1, format!("not a manifest: {error}"))],
    };
    let workspace = manifest.get("workspace");
    let version = workspace.and_then(|fields| fields.get("package")?.get("version"));
    let members = workspace.and_then(|fields| fields.get("dependencies")?.as_table());
    let members = members.into_iter().flatten();
    members
        .filter(|(_, member)| member.get("path").is_some() && member.get("version") != version)
        .map(|(name, _)| {
            let line = text
                .lines()
                .position(|line| line.starts_with(&format!("{name} ")));
            file.fault(
                line.map_or(1, |index| index + 1),
                format!("{name} is asked for in another version than the workspace's"),
            )
        })
        .collect()
}

/// A member of the workspace.
struct Package<'a> {
    file: &'a File,
    text: &'a str,
    folder: &'a str,
    manifest: Table,
}

/// What `rule` finds in every member; a manifest that cannot be read is a fault, too.
fn faults(tree: &Tree, rule: impl Fn(&Package) -> Vec<Fault>) -> Vec<Fault> {
    let mut found = Vec::new();
    for (file, text) in tree.texts("/Cargo.toml") {
        let Some(folder) = member(&file.path) else {
            continue;
        };
        match text.parse() {
            Ok(manifest) => found.extend(rule(&Package {
                file,
                text,
                folder,
                manifest,
            })),
            Err(_) => found.push(file.fault(1, "this manifest is not TOML")),
        }
    }
    found
}

/// The folder's name of a member's manifest.
fn member(path: &str) -> Option<&str> {
    let folder = path.strip_suffix("/Cargo.toml")?;
    let name = ["crates/", "examples/"]
        .iter()
        .find_map(|parent| folder.strip_prefix(parent));
    match name {
        // What lies deeper is a workspace of its own.
        Some(name) => (!name.contains('/')).then_some(name),
        None => (folder == "xtask").then_some(folder),
    }
}

impl Package<'_> {
    fn name(&self) -> Option<&str> {
        self.manifest.get("package")?.get("name")?.as_str()
    }

    /// The names of all dependencies but those of tests, for all targets.
    fn dependencies(&self) -> Vec<String> {
        let targets = self.manifest.get("target").and_then(Value::as_table);
        let targets = targets
            .into_iter()
            .flat_map(Table::values)
            .filter_map(Value::as_table);
        let mut names = Vec::new();
        for table in targets.chain([&self.manifest]) {
            for kind in ["dependencies", "build-dependencies"] {
                let dependencies = table
                    .get(kind)
                    .and_then(Value::as_table)
                    .into_iter()
                    .flatten();
                names.extend(dependencies.map(|(key, value)| {
                    let package = value.get("package").and_then(Value::as_str);
                    package.unwrap_or(key).to_owned()
                }));
            }
        }
        names
    }

    /// A fault at the first line that begins with `start`.
    fn fault(&self, start: &str, message: impl Into<String>) -> Fault {
        let line = self.text.lines().position(|line| line.starts_with(start));
        self.file.fault(line.map_or(1, |index| index + 1), message)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::lines_of;
    use super::*;

    #[test]
    fn a_package_with_another_name_than_its_folder_is_a_fault() {
        let tree = Tree::of(&[
            ("crates/a/Cargo.toml", "[package]\nname = \"a\"\n"),
            ("crates/b/Cargo.toml", "[package]\nname = \"c\"\n"),
            ("crates/b/fuzz/Cargo.toml", "[package]\nname = \"b-fuzz\"\n"),
            ("examples/d/Cargo.toml", "[package]\nname = \"e\"\n"),
            ("xtask/Cargo.toml", "[package]\nname = \"xtask\"\n"),
        ]);
        assert_eq!(
            lines_of(&folder_is_package_name(&tree)),
            [("crates/b/Cargo.toml", 2), ("examples/d/Cargo.toml", 2)]
        );
    }

    #[test]
    fn another_dependency_of_core_or_a_missing_one_is_a_fault() {
        let path = "crates/module-cache-core/Cargo.toml";
        let check =
            |manifest: &str| core_has_two_dependencies(&Tree::of(&[(path, manifest)])).len();
        assert_eq!(
            check(
                "[dependencies]\nblake3 = \"1\"\nthiserror = \"2\"\n[dev-dependencies]\nproptest = \"1\"\n"
            ),
            0
        );
        assert_eq!(
            check("[dependencies]\nblake3 = \"1\"\nthiserror = \"2\"\nlibc = \"1\"\n"),
            1
        );
        assert_eq!(
            check(
                "[dependencies]\nblake3 = \"1\"\nthiserror = \"2\"\n[target.'cfg(unix)'.dependencies]\nlibc = \"1\"\n"
            ),
            1
        );
        assert_eq!(check("[dependencies]\nblake3 = \"1\"\n"), 1);
    }

    #[test]
    fn a_backend_that_depends_on_another_is_a_fault() {
        let tree = Tree::of(&[
            (
                "crates/module-cache-memory/Cargo.toml",
                "[dependencies]\nx = { package = \"module-cache-filesystem\" }\n",
            ),
            (
                "crates/module-cache-fallback/Cargo.toml",
                "[dependencies]\nmodule-cache-memory.workspace = true\n",
            ),
            (
                "crates/module-cache-filesystem/Cargo.toml",
                "[dev-dependencies]\nmodule-cache-memory.workspace = true\n",
            ),
            (
                "crates/module-cache/Cargo.toml",
                "[dependencies]\nmodule-cache-memory.workspace = true\n",
            ),
        ]);
        let expected = [
            ("crates/module-cache-memory/Cargo.toml", 1),
            ("crates/module-cache-fallback/Cargo.toml", 2),
        ];
        assert_eq!(lines_of(&backends_are_apart(&tree)), expected);
    }

    #[test]
    fn a_field_or_lints_of_its_own_are_faults() {
        let good = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version = { workspace = true }\n\
                    license.workspace = true\n[lints]\nworkspace = true\n";
        let check = |text: &str| {
            lines_of(&packages_inherit(&Tree::of(&[(
                "crates/a/Cargo.toml",
                text,
            )])))
            .len()
        };
        assert_eq!(check(good), 0);
        for part in [
            "version.workspace = true\n",
            "license.workspace = true\n",
            "[lints]\nworkspace = true\n",
        ] {
            assert_eq!(check(&good.replacen(part, "", 1)), 1, "without {part}");
        }
        assert_eq!(
            check(&good.replace("edition.workspace = true", "edition = \"2021\"")),
            1
        );
    }

    #[test]
    fn a_package_is_published_with_all_that_it_needs_or_not_at_all() {
        let complete =
            "[package]\ndescription = \"d\"\nkeywords = []\ncategories = []\ninclude = []\n";
        let check = |manifest: &str, files: &[&str]| {
            let files = files.iter().map(|path| (*path, ""));
            let files: Vec<_> = files.chain([("crates/a/Cargo.toml", manifest)]).collect();
            published_packages_are_complete(&Tree::of(&files)).len()
        };
        let files = ["crates/a/README.md", "crates/a/LICENSE"];
        assert_eq!(check(complete, &files), 0);
        assert_eq!(check(complete, &files[1..]), 1);
        assert_eq!(check(&complete.replace("keywords = []\n", ""), &files), 1);
        assert_eq!(check("[package]\n", &[]), 6);
        assert_eq!(check("[package]\npublish = false\n", &[]), 0);
    }

    #[test]
    fn a_member_that_is_asked_for_in_another_version_is_a_fault() {
        let tree = Tree::of(&[(
            "Cargo.toml",
            "[workspace.package]\nversion = \"1.2.3\"\n[workspace.dependencies]\nanyhow = \"1\"\n\
             a = { path = \"a\", version = \"1.2.3\" }\nb = { path = \"b\", version = \"1.2.2\" }\n\
             c = { path = \"c\" }\n",
        )]);
        assert_eq!(
            lines_of(&members_ask_for_their_version(&tree)),
            [("Cargo.toml", 6), ("Cargo.toml", 7)]
        );
    }

    #[test]
    fn a_manifest_that_is_not_toml_is_a_fault() {
        assert_eq!(
            packages_inherit(&Tree::of(&[("crates/a/Cargo.toml", "[package")])).len(),
            1
        );
    }
}

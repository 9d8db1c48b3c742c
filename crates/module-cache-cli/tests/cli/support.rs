//! Starting the command, and what it is started on.

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

/// A place of a test's own, with a cache in it that does not exist yet.
pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.path().join("cache")
    }

    /// A file with this content; folders in its name are created.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The command, with this place's cache and working directory.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_module-cache"));
        command
            .args(args)
            .env("MODULE_CACHE_DIR", self.cache())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Stores these modules, which exit with codes, and returns what `ls --json` says of each.
    pub(crate) fn store(&self, codes: std::ops::Range<i32>) -> Vec<Entry> {
        let names = codes.map(|code| {
            let name = format!("{code}.wat");
            self.file(&name, exits_with(code));
            name
        });
        let names: Vec<_> = names.collect();
        let mut args = vec!["compile", "--json"];
        args.extend(names.iter().map(String::as_str));
        let ran = self.run(&args).ok();
        let stored = ran.json();
        let find = |name: &String| stored.iter().find(|object| object["path"] == **name);
        let entries = names
            .iter()
            .map(|name| Entry::of(self, find(name).unwrap()));
        entries.collect()
    }

    /// Stores a component that does nothing.
    pub(crate) fn store_component(&self) -> Entry {
        self.file("component.wat", "(component)");
        let ran = self.run(&["compile", "--json", "component.wat"]).ok();
        Entry::of(self, &ran.json()[0])
    }

    /// Moves the cache into a folder that [`on_mount`] can mount.
    pub(crate) fn move_cache_to_disk(&self) {
        fs::create_dir(self.path().join("disk")).unwrap();
        fs::rename(self.cache(), self.path().join("disk/cache")).unwrap();
    }

    /// Where entries and the rest lie.
    pub(crate) fn v1(&self) -> PathBuf {
        self.cache().join("v1")
    }

    /// What `ls` says is there, by hash and sorted.
    #[track_caller]
    pub(crate) fn hashes(&self) -> Vec<String> {
        let hash = |object: &serde_json::Value| object["hash"].as_str().unwrap().to_owned();
        let ran = self.run(&["ls", "--json"]).ok();
        let mut hashes: Vec<_> = ran.json().iter().map(hash).collect();
        hashes.sort_unstable();
        hashes
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::new(&self.command(args).output().unwrap())
    }

    /// Runs the command by another one, which starts it.
    pub(crate) fn run_by(&self, by: &[&str], args: &[&str]) -> Ran {
        let command = self.command(args);
        let mut starts = Command::new(by[0]);
        starts.args(&by[1..]).arg(command.get_program()).args(args);
        starts.env("MODULE_CACHE_DIR", self.cache());
        starts.current_dir(self.path()).stdin(Stdio::null());
        Ran::new(&starts.output().unwrap())
    }

    /// Runs the command with this standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::new(&child.wait_with_output().unwrap())
    }
}

/// What was stored.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) engine: String,
    pub(crate) hash: String,
    pub(crate) path: PathBuf,
}

impl Entry {
    /// One of which `compile --json` spoke.
    pub(crate) fn of(place: &Place, object: &serde_json::Value) -> Self {
        let field = |name: &str| object[name].as_str().unwrap().to_owned();
        let (engine, hash) = (field("engine"), field("hash"));
        let path = place.v1().join(&engine).join(&hash);
        Self { engine, hash, path }
    }

    /// Flips a bit in the middle.
    pub(crate) fn damage(&self) {
        let mut bytes = fs::read(&self.path).unwrap();
        bytes[100] ^= 1;
        let mode = |mode| fs::set_permissions(&self.path, fs::Permissions::from_mode(mode));
        mode(0o644).unwrap();
        fs::write(&self.path, bytes).unwrap();
        mode(0o444).unwrap();
    }

    /// Makes it as if it had been stored so long ago, and not used since.
    pub(crate) fn make_old(&self, age: Duration) {
        let hints = self.path.parent().unwrap().with_file_name("hints");
        match fs::remove_file(hints) {
            Err(error) if error.kind() != ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
        let file = fs::File::open(&self.path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    /// A copy under a hash that begins equal, and is not that of its module.
    pub(crate) fn copy_beside(&self) -> Self {
        let last = if self.hash.ends_with('0') { '1' } else { '0' };
        let mut hash = self.hash.clone();
        hash.pop();
        hash.push(last);
        let path = self.path.with_file_name(&hash);
        fs::copy(&self.path, &path).unwrap();
        Self {
            engine: self.engine.clone(),
            hash,
            path,
        }
    }
}

/// How the command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// -1 if a signal ended it.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// Standard output, of a run that ended well and said nothing else.
    #[track_caller]
    pub(crate) fn quiet(self) -> String {
        let ran = self.ok();
        assert_eq!(ran.stderr, "");
        ran.stdout
    }

    /// The one line on standard error, which must start like this.
    #[track_caller]
    pub(crate) fn one_line(&self, start: &str) -> &str {
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(
            line.starts_with(start) && !line.contains('\n'),
            "{start}: {self:?}"
        );
        line
    }

    /// The one error, of a command that failed with this code.
    #[track_caller]
    pub(crate) fn error(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{self:?}");
        self.one_line("module-cache: error: ")
    }

    /// What `--timing` says: the source and the hash.
    #[track_caller]
    pub(crate) fn timing(&self) -> (String, String) {
        let words = self.stderr.lines().find_map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                [
                    "module-cache:",
                    source,
                    hash,
                    "load",
                    load,
                    "ms",
                    "total",
                    total,
                    "ms",
                ] => {
                    assert!(load.parse::<f64>().unwrap() <= total.parse::<f64>().unwrap());
                    Some((source.to_owned(), hash.to_owned()))
                }
                _ => None,
            }
        });
        words.unwrap_or_else(|| panic!("no timing: {self:?}"))
    }

    /// The lines on standard error, each of which must start like this.
    #[track_caller]
    pub(crate) fn lines(&self, start: &str) -> Vec<&str> {
        let lines: Vec<_> = self.stderr.lines().collect();
        assert!(
            lines.iter().all(|line| line.starts_with(start)),
            "{start}: {self:?}"
        );
        lines
    }

    /// The objects of `--json`.
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).unwrap();
        self.stdout.lines().map(parse).collect()
    }
}

/// A program of `samples/`.
pub(crate) fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../samples")
        .join(name);
    assert!(
        path.exists(),
        "{} is part of the repository",
        path.display()
    );
    path.to_str().unwrap().to_owned()
}

/// What `sha256sum` prints of a file.
#[track_caller]
pub(crate) fn sha256sum(path: impl AsRef<Path>) -> String {
    let output = Command::new("sha256sum").arg(path.as_ref()).output();
    let line = String::from_utf8(output.unwrap().stdout).unwrap();
    line.split(' ').next().unwrap().to_owned()
}

/// A module that exits with a code.
pub(crate) fn exits_with(code: i32) -> String {
    format!(
        r#"(module
             (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
             (memory (export "memory") 1)
             (func (export "_start") (call $exit (i32.const {code}))))"#
    )
}

/// A module that prints a line, once or for ever.
pub(crate) fn prints(line: &str, for_ever: bool) -> String {
    let again = if for_ever { "(br $again)" } else { "" };
    let len = line.len() + 1;
    format!(
        r#"(module
             (import "wasi_snapshot_preview1" "fd_write"
               (func $write (param i32 i32 i32 i32) (result i32)))
             (memory (export "memory") 1)
             (data (i32.const 0) "\10\00\00\00\{len:02x}\00\00\00")
             (data (i32.const 16) "{line}\0a")
             (func (export "_start")
               (loop $again
                 (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
                 {again})))"#
    )
}

/// Makes sure that this is root, whom the test needs to be somebody else's enemy.
#[track_caller]
pub(crate) fn need_root() {
    use std::os::unix::fs::MetadataExt;
    let probe = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(
        probe.as_file().metadata().unwrap().uid(),
        0,
        "this test changes owners or mounts: run it as root, as in a container"
    );
}

/// Runs the command where `place.path()/mounted` is a file system mounted with `options`, in a mount
/// namespace that ends with it.
pub(crate) fn on_mount(place: &Place, options: &str, args: &[&str]) -> Ran {
    need_root();
    fs::create_dir_all(place.path().join("mounted")).unwrap();
    let script = format!(r#"mount {options} mounted && exec "$@""#);
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(env!("CARGO_BIN_EXE_module-cache"))
        .args(args)
        .env("MODULE_CACHE_DIR", place.path().join("mounted/cache"))
        .current_dir(place.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Ran::new(&output)
}

//! The sections of the page: what each is about, and which of its cases are drawn.

/// A kind of task.
pub(super) struct Section {
    /// As the benchmarks call it.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) unit: Unit,
    /// What the drawn cases have in their names; the tables have all.
    pub(super) drawn: &'static str,
}

/// What the values of a section are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Times of one call; less is better.
    Time,
    /// Whatever the task's name says; less is better.
    Count,
    /// Parts of 1; more is better.
    Share,
}

pub(super) const SECTIONS: [Section; 16] = [
    Section {
        name: "memory hit",
        about: "A module that is alive in this process. `ModuleLoader` is what a host calls, over a `SharedCache`. All \
                contenders clone an `Arc` and share the modules, so two threads share their reference counts \
                everywhere. All but the floor as everybody writes it \
                take the key's first bytes for its hash, as `SharedCache` does: maps are compared, not hash \
                functions. With two threads, the time is that of a load in each of them. DashMap and papaya \
                are not bounded and evict nothing; ThreadLocalCache shares nothing between threads.",
        unit: Unit::Time,
        drawn: "1024 entries",
    },
    Section {
        name: "memory hit of wasmer modules",
        about: "The same with modules of wasmer, which is what wasmer-wasix keeps: called through its own \
                trait, as wasmer-wasix does, on an executor that does nothing but poll.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "eviction",
        about: "The share of requests, and of bytes, that a cache with room for so many bytes answers, on traces that \
                are the same in every run: modules of 10 KB to 50 MB and of different popularity (Zipf), the same \
                with scans through modules that never come again, with changing sets of popular modules, with \
                popular modules that are light or heavy, a loop through 1.2 times as many as there is room for, a \
                host of plugins, and requests for recent modules only. quick_cache is not divided into shards \
                here, and moka is made to evict at once, so that all have the same room.",
        unit: Unit::Share,
        drawn: "requests",
    },
    Section {
        name: "compile",
        about: "Compiling through the adapter, without any cache, beside wasmtime alone, with the same number of \
                threads.",
        unit: Unit::Time,
        drawn: "2 threads",
    },
    Section {
        name: "disk hit, verified before",
        about: "A module of wasmtime from disk, in the page cache. The floor is wasmtime mapping a file that it \
                believes. Every load checks owner, permissions, length and identity; the contents were \
                hashed by an earlier load since the machine started.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "disk hit, first this boot",
        about: "The load that hashes the contents, beside hashing the same file on all cores and mapping it.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "disk hit of wasmer modules",
        about: "A module of wasmer from disk, into a new engine each time, because wasmer's engines keep the \
                code of every module for as long as they live.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "save",
        about: "Storing a module of wasmtime that is not stored. This project syncs the file before its name \
                appears, so the floor does, too; the peers do not sync, and stand beside a file that is written \
                without it. wasmtime's own cache is missing: it stores in the background, and only what it \
                compiles.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "save of wasmer modules",
        about: "The same for modules of wasmer. The peers replace what they have stored.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "herd",
        about: "Processes that ask at once for a module that nobody has compiled. The floor is one thread of \
                one process, alone. wasmtime's own cache coordinates nothing, so it is asked by one thread of \
                each process only: more would compile more often still.",
        unit: Unit::Count,
        drawn: "CPU time",
    },
    Section {
        name: "remote hit",
        about: "A module of wasmtime from remote storage: fetched, verified, decompressed, compared with its digest \
                and deserialized, beside a bare read of the same object by OpenDAL. The servers run on the same \
                machine, so there is no network in it, which is the worst case: a real one adds the same to both.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "remote hit, after the read",
        about: "What is done with the object after it was read, each stage alone, beside what the engine does in \
                the end.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "command, warm start",
        about: "`module-cache run` of a program that does nothing, as a whole process, beside a process that \
                does no more than map the artifact and run it.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "growth",
        about: "What a folder costs as it grows, compared with one of ten entries.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "hashing",
        about: "The BLAKE3 of a module, without a pool of threads that the caller may be a part of.",
        unit: Unit::Time,
        drawn: "",
    },
    Section {
        name: "verify",
        about: "`module-cache verify`, beside hashing the same files.",
        unit: Unit::Time,
        drawn: "",
    },
];

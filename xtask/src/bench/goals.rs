//! What is to be reached, and what was.

use super::measurements::{Contender, Measurements, Spread, Task};

/// A bound on this project beside another contender, in every case of a section.
pub(super) struct Goal {
    pub(super) text: &'static str,
    section: &'static str,
    /// What the names of the cases that count begin with, or end with.
    cases: fn(&str) -> bool,
    /// What the contenders' names begin with.
    ours: &'static str,
    than: Than,
    pub(super) bound: Bound,
    /// Where it is missed, what that is made of, if there is something to be said.
    pub(super) why_missed: &'static str,
}

enum Than {
    /// The one whose name begins so.
    Named(&'static str),
    /// Whichever of the others is best in that case.
    BestPeer,
}

#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// At most so many times the other's value.
    AtMost(f64),
    /// At least so many times the other's value.
    AtLeast(f64),
    /// The other takes at least so many times as long.
    Faster(f64),
}

/// The case in which a goal is farthest from being reached, or nearest to not being.
pub(super) struct Outcome<'a> {
    pub(super) case: &'a str,
    pub(super) other: &'a str,
    pub(super) ratio: Spread,
    pub(super) reached: bool,
}

pub(super) const GOALS: [Goal; 17] = [
    Goal {
        text: "Memory hit: at most 1.5 × the bare thread-local map",
        section: "memory hit",
        cases: is_hit,
        ours: "module-cache SharedCache",
        than: Than::Named("floor: thread-local HashMap"),
        bound: Bound::AtMost(1.5),
        why_missed: "",
    },
    Goal {
        text: "Memory hit: within 5 % of the best concurrent peer, or ahead of it",
        section: "memory hit",
        cases: is_hit,
        ours: "module-cache SharedCache",
        than: Than::BestPeer,
        bound: Bound::AtMost(1.05),
        why_missed: "One thread that loads one module over and over waits for nothing but its reference count, and \
            there papaya, inlined into the loop, is about a nanosecond ahead. Taking out the lock, the mixing of \
            the key or the counters, one at a time, changed nothing that could be measured: what is left is \
            the call and its result. With 100,000 modules, what counts is how closely a map packs its slots: \
            DashMap takes 40 bytes for each, this cache 56, with the engine's instance and the bit for eviction. \
            DashMap and papaya are not bounded.",
    },
    Goal {
        text: "A loader's resident hit: at most 1.5 × the cache's own",
        section: "memory hit",
        cases: is_hit,
        ours: "module-cache ModuleLoader",
        than: Than::Named("module-cache SharedCache"),
        bound: Bound::AtMost(1.5),
        why_missed: "",
    },
    Goal {
        text: "Compiling: within 2 % of wasmtime alone",
        section: "compile",
        cases: |_| true,
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.02),
        why_missed: "wasmtime alone differs from itself by as much from run to run.",
    },
    Goal {
        text: "Memory hit: at least 4 × faster than wasmer-wasix `SharedCache`",
        section: "memory hit of wasmer modules",
        cases: |_| true,
        ours: "module-cache",
        than: Than::Named("wasmer-wasix"),
        bound: Bound::Faster(4.0),
        why_missed: "",
    },
    Goal {
        text: "Disk hit, verified earlier this boot: at most 1.10 × raw `deserialize_open_file`",
        section: "disk hit, verified before",
        cases: |_| true,
        ours: "module-cache, verified",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.1),
        why_missed: "For a module of 1 KB an open alone is a seventh of what real modules take. What is added is \
            always the same, some 12 µs: the checks of `openat` and `fstat`, one read of the footer and one \
            of the hint; and small artifacts are read in instead of mapped, because wasmtime keeps a \
            descriptor open for each mapped module.",
    },
    Goal {
        text: "Disk hit: at least 150 × faster than wasmtime's cache on esbuild",
        section: "disk hit, verified before",
        cases: |case| case == "esbuild",
        ours: "module-cache, verified",
        than: Than::Named("wasmtime"),
        bound: Bound::Faster(150.0),
        why_missed: "",
    },
    Goal {
        text: "Disk hit: at least 25 × faster than wasmtime's cache on sqlite",
        section: "disk hit, verified before",
        cases: |case| case == "sqlite",
        ours: "module-cache, verified",
        than: Than::Named("wasmtime"),
        bound: Bound::Faster(25.0),
        why_missed: "",
    },
    Goal {
        text: "First load this boot: at most 1.10 × hash with all cores and raw load",
        section: "disk hit, first this boot",
        cases: |_| true,
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.1),
        why_missed: "The same for a module of 1 KB, and the write of the hint. Of large modules esbuild \
            varies most, from 1.0 to 1.4 in six runs: the threads that hash it are started for it, \
            where the floor's wait in a pool.",
    },
    Goal {
        text: "wasmer disk hit: at least 1.25 × faster than wasmer-wasix `FileSystemCache`",
        section: "disk hit of wasmer modules",
        cases: |_| true,
        ours: "module-cache",
        than: Than::Named("wasmer-wasix"),
        bound: Bound::Faster(1.25),
        why_missed: "The floor itself, wasmer loading a file without any check, is hardly faster than that: wasmer \
            copies the code into memory of its own, whatever the cache does, and all that a cache can spare \
            it is the structural check. More would take a wasmer that maps code.",
    },
    Goal {
        text: "Save: at most 1.15 × serialize, write and sync",
        section: "save",
        cases: |_| true,
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.15),
        why_missed: "To a small module 0.1 ms is added: two locks of the ledger, what is announced and \
            added up in it, and the rename, which keep the cap hard, whoever dies when. To a large \
            one, 0.05 to 0.2 of its time, by run: the hash runs beside the write, on the core that \
            the disk's own work wants too.",
    },
    Goal {
        text: "Herd of 64 threads × 8 processes: one compilation",
        section: "herd",
        cases: |case| case.starts_with("compilations"),
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.0),
        why_missed: "",
    },
    Goal {
        text: "Herd: the slowest waiter at most 1.05 × the compilation",
        section: "herd",
        cases: |case| case.starts_with("slowest"),
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.05),
        why_missed: "The herd starts eight engines, and wakes 512 threads, on the cores that compile.",
    },
    Goal {
        text: "Eviction: answers at least as many requests as LRU on every trace",
        section: "eviction",
        cases: |case| case.starts_with("requests"),
        ours: "module-cache",
        than: Than::Named("LRU"),
        bound: Bound::AtLeast(1.0),
        why_missed: "Where the popular modules are the heaviest and hardly any has room, light ones stay.",
    },
    Goal {
        text: "Hit and open: flat as a folder grows, within 10 %",
        section: "growth",
        cases: |case| matches!(case, "hit" | "open"),
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.1),
        why_missed: "",
    },
    Goal {
        text: "Save: flat as a folder grows, within 10 %",
        section: "growth",
        cases: |case| case == "save",
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.1),
        why_missed: "",
    },
    Goal {
        text: "Command: warm `run` of 14 MB within 1.3 × of a program that maps the artifact and runs it",
        section: "command, warm start",
        cases: |case| case == "14 MB",
        ours: "module-cache",
        than: Than::Named("floor"),
        bound: Bound::AtMost(1.3),
        why_missed: "What is added is the same for every module, about 1 ms: the start of a larger program (its \
            arguments and help, and the relocations of all that), opening the folder with its checks, and \
            asking it for the hash of the file. The wasm is neither read nor hashed.",
    },
];

fn is_hit(case: &str) -> bool {
    !case.contains("misses")
}

impl Goal {
    /// `None` if it was not measured.
    pub(super) fn outcome<'a>(&self, measurements: &'a Measurements) -> Option<Outcome<'a>> {
        let tasks = measurements.tasks(self.section);
        tasks
            .filter(|task| (self.cases)(&task.case))
            .flat_map(|task| self.outcomes(task))
            .max_by(|a, b| {
                let distance = |outcome: &Outcome<'_>| self.bound.distance(outcome.ratio.median);
                distance(a).total_cmp(&distance(b))
            })
    }

    fn outcomes<'a>(&self, task: &'a Task) -> Vec<Outcome<'a>> {
        let named = |name: &str| {
            task.contenders
                .iter()
                .find(|one| one.name.starts_with(name))
        };
        let other = match self.than {
            Than::Named(name) => named(name),
            Than::BestPeer => self.best(task.peers()),
        };
        let Some(other) = other else {
            return Vec::new();
        };
        let ours = task
            .contenders
            .iter()
            .filter(|one| one.name.starts_with(self.ours));
        ours.map(|ours| {
            let ratio = match self.bound {
                Bound::Faster(_) => other.ratio(ours),
                Bound::AtMost(_) | Bound::AtLeast(_) => ours.ratio(other),
            };
            Outcome {
                case: &task.case,
                other: &other.name,
                ratio,
                reached: self.bound.distance(ratio.median) <= 1.0,
            }
        })
        .collect()
    }

    fn best<'a>(&self, peers: impl Iterator<Item = &'a Contender>) -> Option<&'a Contender> {
        let by_value = |a: &&Contender, b: &&Contender| a.value().total_cmp(&b.value());
        match self.bound {
            Bound::AtLeast(_) => peers.max_by(by_value),
            Bound::AtMost(_) | Bound::Faster(_) => peers.min_by(by_value),
        }
    }
}

impl Bound {
    /// At most 1 if it is kept.
    fn distance(self, ratio: f64) -> f64 {
        match self {
            Self::AtMost(bound) => ratio / bound,
            Self::AtLeast(bound) | Self::Faster(bound) => bound / ratio,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sections::SECTIONS;
    use super::*;

    fn goal(bound: Bound, than: Than) -> Goal {
        Goal {
            text: "",
            section: "s",
            cases: |_| true,
            ours: "module-cache",
            than,
            bound,
            why_missed: "",
        }
    }

    #[test]
    fn the_worst_case_decides() {
        let lines = "s: good\tfloor: f\t10\ns: good\tmodule-cache\t9\n\
                     s: bad\tfloor: f\t10\ns: bad\tmodule-cache\t12\n";
        let measurements = Measurements::printed(lines).unwrap();
        let floor = || Than::Named("floor");
        let outcome = |bound| goal(bound, floor()).outcome(&measurements).unwrap();
        let missed = outcome(Bound::AtMost(1.1));
        assert_eq!((missed.case, missed.reached), ("bad", false));
        let reached = outcome(Bound::AtMost(1.2));
        assert_eq!((reached.case, reached.reached), ("bad", true));
    }

    #[test]
    fn the_best_peer_is_the_fastest_or_the_one_with_most_hits() {
        let lines = "s: c\tfloor: f\t1\ns: c\tmodule-cache\t10\ns: c\ta\t5\ns: c\tb\t20\n";
        let measurements = Measurements::printed(lines).unwrap();
        for (bound, best) in [(Bound::AtMost(1.0), "a"), (Bound::AtLeast(1.0), "b")] {
            let outcome = goal(bound, Than::BestPeer).outcome(&measurements);
            assert_eq!(outcome.unwrap().other, best);
        }
    }

    #[test]
    fn what_was_not_measured_has_no_outcome() {
        let goal = goal(Bound::AtMost(1.0), Than::BestPeer);
        assert!(goal.outcome(&Measurements::default()).is_none());
    }

    #[test]
    fn every_goal_is_of_a_section() {
        for goal in GOALS {
            let known = SECTIONS.iter().any(|section| section.name == goal.section);
            assert!(known, "{}", goal.section);
        }
    }
}

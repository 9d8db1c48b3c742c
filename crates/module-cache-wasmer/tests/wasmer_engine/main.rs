//! What the engine promises, shown on real wasm that is run, with each compiler and each artifact format.

/// Makes a test of each function for every way to make an engine.
macro_rules! for_each_compiler {
    ($($test:ident),* $(,)?) => {$(
        mod $test {
            #[test]
            fn cranelift() {
                super::$test(crate::support::cranelift);
            }

            #[cfg(unix)]
            #[test]
            fn cranelift_native() {
                super::$test(crate::support::cranelift_native);
            }

            #[test]
            fn singlepass() {
                super::$test(crate::support::singlepass);
            }
        }
    )*};
}

mod compile;
mod configurations;
#[path = "../../../module-cache/tests/support/corpus.rs"]
mod corpus;
mod fields;
mod hostile;
mod identity;
mod levels;
mod load;
mod middleware;
#[path = "../../../module-cache/tests/support/role.rs"]
mod role;
mod serialize;
mod support;
mod tiers;
mod whole_corpus;

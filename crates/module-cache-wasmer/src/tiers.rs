//! Two engines of one configuration: Singlepass compiles fast, and the code of Cranelift is fast.

use module_cache_core::{EngineError, Tiers};
use wasmer::sys::{CompilerConfig, Cranelift, Singlepass};

use crate::WasmerEngine;

/// Two engines for tiers, created by one function, so that they differ only in the compiler.
///
/// A module does the same on both, except for what WebAssembly leaves open (Singlepass makes the bits of each NaN the same)
/// and for the stack that its calls use. Wasm with proposals that Singlepass lacks does not compile on the fast engine. For
/// engines with middleware, name it for both and pair them with [`Tiers::pair`].
///
/// Keep both engines for as long as a module of theirs is used.
///
/// ```
/// use module_cache_core::Compile;
/// use wasmer::sys::EngineBuilder;
///
/// let tiers = module_cache_wasmer::tiers(|compiler| EngineBuilder::new(compiler).engine().into())?;
/// let empty = b"\0asm\x01\0\0\0";
/// tiers.fast().compile(empty)?;
/// tiers.best().compile(empty)?;
/// # Ok::<(), module_cache_core::EngineError>(())
/// ```
///
/// # Errors
///
/// When an engine has another compiler than the one that the function got, or as for [`WasmerEngine::without_middleware`].
pub fn tiers(
    make: impl Fn(Box<dyn CompilerConfig>) -> wasmer::Engine,
) -> Result<Tiers<WasmerEngine, WasmerEngine>, EngineError> {
    let engine = |compiler: Box<dyn CompilerConfig>, name: &str| {
        let engine = WasmerEngine::without_middleware(&make(compiler))?;
        let label = module_cache_core::Engine::id(&engine).label().to_owned();
        if !label.ends_with(name) {
            let message = format!(
                "the fast engine is to be singlepass and the best cranelift, and one is {label}"
            );
            return Err(EngineError::refused(&message));
        }
        Ok(engine)
    };
    let fast = engine(Box::new(Singlepass::new()), "singlepass")?;
    let best = engine(Box::new(Cranelift::new()), "cranelift")?;
    Tiers::pair(fast, best)
}

//! WASI programs of any size that do nothing.

use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection, MemoryType,
    Module, TypeSection, ValType,
};

use crate::random::{Pcg64, Rng, seeded};

/// A program of about `size` bytes: functions of a kilobyte that compute something, and a `_start` that
/// calls none of them.
///
/// # Panics
///
/// When `size` is not that of a wasm file.
pub fn program(size: usize) -> Vec<u8> {
    let functions = u32::try_from(size.div_ceil(FUNCTION_SIZE)).expect("a wasm file is smaller");
    let mut random = seeded(size as u64);
    let mut types = TypeSection::new();
    types.ty().function([], []);
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut kinds = FunctionSection::new();
    let mut code = CodeSection::new();
    kinds.function(0);
    let mut start = Function::new([]);
    start.instructions().end();
    code.function(&start);
    for _ in 0..functions {
        kinds.function(1);
        code.function(&function(size.min(FUNCTION_SIZE), &mut random));
    }
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("_start", ExportKind::Func, 0);
    exports.export("memory", ExportKind::Memory, 0);
    // One that is exported, or all could be dropped as dead.
    exports.export("compute", ExportKind::Func, functions);

    let mut module = Module::new();
    module
        .section(&types)
        .section(&kinds)
        .section(&memories)
        .section(&exports)
        .section(&code);
    module.finish()
}

const FUNCTION_SIZE: usize = 1000;

/// A constant of five bytes, and two instructions of one.
const STEP_SIZE: usize = 7;

fn function(size: usize, random: &mut Pcg64) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.local_get(0);
    for _ in 0..size / STEP_SIZE {
        let bits = random.next_u64().to_le_bytes();
        let constant = i32::from_le_bytes([bits[0], bits[1], bits[2], bits[3] | 64]);
        code.i32_const(constant);
        match bits[4] % 4 {
            0 => code.i32_add(),
            1 => code.i32_mul(),
            2 => code.i32_xor(),
            _ => code.i32_rotl(),
        };
    }
    code.end();
    function
}

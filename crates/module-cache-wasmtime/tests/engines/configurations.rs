//! Configurations of wasmtime: those that make other code, of which no two may share an entry, and those that do not.

use wasmtime::{
    Config, InstanceAllocationStrategy, ModuleVersionStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

pub(crate) type Change = fn(&mut Config) -> &mut Config;

pub(crate) const WITH_OTHER_CODE: &[(&str, Change)] = &[
    ("default", |c| c),
    ("Winch", |c| c.strategy(wasmtime::Strategy::Winch)),
    ("no optimization", |c| c.cranelift_opt_level(OptLevel::None)),
    ("small code", |c| {
        c.cranelift_opt_level(OptLevel::SpeedAndSize)
    }),
    ("canonical NaN", |c| c.cranelift_nan_canonicalization(true)),
    ("a CPU feature off", no_cpu_feature),
    ("a cranelift flag", |c| {
        // SAFETY: this engine only computes its id.
        unsafe { c.cranelift_flag_set("machine_code_cfg_info", "true") }
    }),
    ("another CPU", |c| {
        // A named target has its least features, where the host is asked for its own.
        let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        c.target(&target).unwrap()
    }),
    ("fuel", |c| c.consume_fuel(true)),
    ("epochs", |c| c.epoch_interruption(true)),
    ("debug information", |c| c.debug_info(true)),
    ("no address map", |c| c.generate_address_map(false)),
    ("traps without signals", |c| c.signals_based_traps(false)),
    ("memory reservation", |c| c.memory_reservation(1 << 20)),
    ("room to grow", |c| c.memory_reservation_for_growth(1 << 20)),
    ("guard size", |c| c.memory_guard_size(1 << 20)),
    ("no guard in front", |c| c.guard_before_linear_memory(false)),
    ("fixed memory", |c| c.memory_may_move(false)),
    ("no images of memory", |c| c.memory_init_cow(false)),
    ("tables filled at once", |c| c.table_lazy_init(false)),
    ("no relaxed SIMD", |c| c.wasm_relaxed_simd(false)),
    ("no SIMD", |c| c.wasm_relaxed_simd(false).wasm_simd(false)),
    ("deterministic SIMD", |c| c.relaxed_simd_deterministic(true)),
    ("no tail calls", |c| c.wasm_tail_call(false)),
    ("no multi-value", |c| c.wasm_multi_value(false)),
    ("no multi-memory", |c| c.wasm_multi_memory(false)),
    ("no 64-bit memory", |c| c.wasm_memory64(false)),
    ("no extended constants", |c| c.wasm_extended_const(false)),
    ("custom page sizes", |c| c.wasm_custom_page_sizes(true)),
    ("a named version", |c| named_version(c, "a")),
    ("another named version", |c| named_version(c, "b")),
    ("details of backtraces", |c| {
        c.wasm_backtrace_details(WasmBacktraceDetails::Enable)
    }),
    ("the verifier of cranelift", |c| {
        c.cranelift_debug_verifier(true)
    }),
    ("no memory reservation", |c| {
        c.memory_reservation(0).memory_guard_size(0)
    }),
    ("no bulk memory", |c| {
        c.wasm_bulk_memory(false).wasm_reference_types(false)
    }),
    ("fuel and epochs", |c| {
        c.consume_fuel(true).epoch_interruption(true)
    }),
    ("fuel without optimization", |c| {
        c.consume_fuel(true).cranelift_opt_level(OptLevel::None)
    }),
];

pub(crate) const WITH_EQUAL_CODE: &[(&str, Change)] = &[
    ("default", |c| c),
    ("one thread", |c| c.parallel_compilation(false)),
    ("a small stack", |c| c.max_wasm_stack(256 * 1024)),
    ("images of memory of any size", |c| {
        c.memory_guaranteed_dense_image_size(1 << 20)
    }),
    ("images of memory in files", |c| {
        c.force_memory_init_memfd(true)
    }),
    ("a pool of instances", pool),
    ("core dumps", |c| c.coredump_on_trap(true)),
];

fn pool(c: &mut Config) -> &mut Config {
    let mut pool = PoolingAllocationConfig::default();
    pool.total_core_instances(4)
        .total_memories(4)
        .total_tables(4);
    c.allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
}

fn named_version<'c>(config: &'c mut Config, version: &str) -> &'c mut Config {
    config
        .module_version(ModuleVersionStrategy::Custom(version.to_owned()))
        .unwrap()
}

fn no_cpu_feature(config: &mut Config) -> &mut Config {
    let flag = if cfg!(target_arch = "x86_64") {
        "has_avx"
    } else {
        "has_lse"
    };
    // SAFETY: this engine only computes its id.
    unsafe { config.cranelift_flag_set(flag, "false") }
}

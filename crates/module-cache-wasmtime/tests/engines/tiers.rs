//! Pairs of engines for tiers: what they share, and which are refused.

use module_cache_core::{Compile, Engine};
use module_cache_wasmtime::EngineBuilder;
use wasmtime::{Config, Instance, Module, Store, Trap};

const PROGRAM: &str = r#"(module
    (memory (export "memory") 1 2)
    (table 2 funcref)
    (elem (i32.const 0) $ones)
    (type $unary (func (param i64) (result i64)))
    (func $ones (type $unary) (i64.popcnt (local.get 0)))
    (func (export "indirect") (param i64) (result i64)
        (call_indirect (type $unary) (local.get 0) (i32.wrap_i64 (local.get 0))))
    (func (export "load") (param i64) (result i64)
        (i64.load offset=3 align=1 (i32.wrap_i64 (local.get 0))))
    (func (export "grow") (param i64) (result i64)
        (i64.extend_i32_s (memory.grow (i32.wrap_i64 (local.get 0)))))
    (func (export "divide") (param i64) (result i64) (i64.div_s (i64.const -9) (local.get 0)))
    (func (export "overflow") (param i64) (result i64)
        (i64.div_s (i64.const -9223372036854775808) (local.get 0)))
    (func (export "truncate") (param i64) (result i64)
        (i64.trunc_f64_s (f64.reinterpret_i64 (local.get 0))))
    (func (export "unreachable") (param i64) (result i64) (unreachable))
    (func $deep (export "deep") (param i64) (result i64)
        (i64.add (i64.const 1) (call $deep (local.get 0))))
    (func $sum (export "sum") (param i64) (result i64) (local i64)
        (loop
            (local.set 1 (i64.add (local.get 1) (local.get 0)))
            (br_if 0 (i64.ne (i64.const 0)
                (local.tee 0 (i64.sub (local.get 0) (i64.const 1))))))
        (local.get 1)))"#;

const CALLS: [(&str, i64); 14] = [
    ("indirect", 0),
    ("indirect", 1),
    ("indirect", 9),
    ("load", 5),
    ("load", 65_536),
    ("load", -1),
    ("grow", 1),
    ("grow", 9),
    ("divide", 2),
    ("divide", 0),
    ("overflow", -1),
    ("truncate", 0x7ff8_0000_0000_0000),
    ("unreachable", 0),
    ("deep", 0),
];

/// What each call returns, or how it traps.
fn call(module: &Module) -> Vec<Result<i64, Trap>> {
    let mut store = Store::new(module.engine(), ());
    store.set_epoch_deadline(1_000_000);
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    CALLS
        .iter()
        .map(|(name, argument)| {
            let function = instance
                .get_typed_func::<i64, i64>(&mut store, name)
                .unwrap();
            let result = function.call(&mut store, *argument);
            result.map_err(|error| error.downcast::<Trap>().unwrap())
        })
        .collect()
}

fn epochs() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config
}

#[test]
fn both_tiers_return_and_trap_alike() {
    let wasm = wat::parse_str(PROGRAM).unwrap();
    for config in [Config::new(), epochs()] {
        let tiers = EngineBuilder::new(&config).module_tiers().unwrap();
        let of =
            |engine: &module_cache_wasmtime::WasmtimeEngine| call(&engine.compile(&wasm).unwrap());
        let (fast, best) = (of(tiers.fast()), of(tiers.best()));
        assert_eq!(fast, best);
        assert!(best.iter().any(Result::is_ok) && best.contains(&Err(Trap::StackOverflow)));
    }
}

#[test]
fn an_endless_loop_is_interrupted_on_both() {
    let wasm = r#"(module (func (export "run") (loop (br 0))))"#;
    let tiers = EngineBuilder::new(&epochs()).module_tiers().unwrap();
    for engine in [tiers.fast(), tiers.best()] {
        let module = engine.compile(&wat::parse_str(wasm).unwrap()).unwrap();
        let mut store = Store::new(engine.engine(), ());
        store.set_epoch_deadline(1);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance
            .get_typed_func::<(), ()>(&mut store, "run")
            .unwrap();
        engine.engine().increment_epoch();
        let trap = run.call(&mut store, ()).unwrap_err().downcast::<Trap>();
        assert_eq!(trap.unwrap(), Trap::Interrupt);
    }
}

#[test]
fn the_label_tells_fast_from_best_and_a_best_engine_is_like_one_alone() {
    let builder = EngineBuilder::new(&Config::new());
    let tiers = builder.module_tiers().unwrap();
    assert!(tiers.fast().id().label().ends_with("-winch-module"));
    assert_eq!(tiers.best().id(), builder.module_engine().unwrap().id());
    assert!(!wasmtime::Engine::same(
        tiers.fast().engine(),
        tiers.best().engine()
    ));
}

#[test]
fn a_configuration_that_counts_fuel_makes_no_tiers() {
    let mut fuel = Config::new();
    fuel.consume_fuel(true);
    let error = EngineBuilder::new(&fuel).module_tiers().unwrap_err();
    assert!(error.to_string().contains("use epochs"), "{error}");
}

#[test]
fn a_configuration_that_demands_what_winch_lacks_makes_no_tiers() {
    let mut relaxed = Config::new();
    relaxed.wasm_relaxed_simd(true);
    let builder = EngineBuilder::new(&relaxed);
    assert!(builder.module_engine().is_ok());
    assert!(builder.module_tiers().is_err());
}

#[test]
fn wasm_of_proposals_that_winch_lacks_compiles_on_best_alone() {
    let wasm = wat::parse_str("(module (func $f (return_call $f)))").unwrap();
    let tiers = EngineBuilder::new(&Config::new()).module_tiers().unwrap();
    assert!(tiers.fast().compile(&wasm).is_err());
    tiers.best().compile(&wasm).unwrap();
}

#[cfg(feature = "component-model")]
#[test]
fn components_have_tiers_too() {
    let wasm = wat::parse_str(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 7)))
            (core instance $i (instantiate $m))
            (func (export "f") (result s32) (canon lift (core func $i "f"))))"#,
    )
    .unwrap();
    let tiers = EngineBuilder::new(&Config::new())
        .component_tiers()
        .unwrap();
    for engine in [tiers.fast(), tiers.best()] {
        let component = engine.compile(&wasm).unwrap();
        let mut store = Store::new(engine.engine(), ());
        let linker = wasmtime::component::Linker::new(engine.engine());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let f = instance
            .get_typed_func::<(), (i32,)>(&mut store, "f")
            .unwrap();
        assert_eq!(f.call(&mut store, ()).unwrap(), (7,));
    }
    assert!(tiers.fast().id().label().ends_with("-winch-component"));
}

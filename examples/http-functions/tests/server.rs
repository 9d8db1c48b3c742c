//! What a client gets from functions that work, that do not, and that do not end.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use support::{Client, folder_of, open, serve, until};

const ECHO: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "handle") (param i32) (result i32) (local.get 0)))"#;

const ENDLESS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "handle") (param i32) (result i32) (loop (br 0)) unreachable))"#;

const TRAP: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "handle") (param i32) (result i32) unreachable))"#;

const ENDLESS_ANSWER: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "handle") (param i32) (result i32) (i32.const -1)))"#;

/// The limit of memory holds for each: a second one would double what the function may have.
const TWO_MEMORIES: &str = r#"(module
    (memory (export "memory") 1)
    (memory 1)
    (func (export "handle") (param i32) (result i32) (local.get 0)))"#;

/// Asks for more memory than it may have, and answers nothing if it gets it.
const GREEDY: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "handle") (param i32) (result i32)
        (if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then (return (local.get 0))))
        (i32.const 0)))"#;

const PLENTY: u64 = 1 << 30;

#[tokio::test]
async fn a_function_gets_the_body_or_else_the_query() {
    let keep = folder_of(&[("echo", ECHO)]);
    let address = serve(Arc::new(open(keep.path(), PLENTY))).await;
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/echo?a=1").await, (200, "a=1".to_owned()));
    assert_eq!(client.get("/echo").await, (200, String::new()));
    assert_eq!(
        client.post("/echo?a=1", "body").await,
        (200, "body".to_owned())
    );
}

#[tokio::test]
async fn a_function_is_resident_after_its_first_request() {
    let keep = folder_of(&[("echo", ECHO)]);
    let functions = Arc::new(open(keep.path(), PLENTY));
    let mut client = Client::connect(serve(Arc::clone(&functions)).await).await;
    assert_eq!(client.get("/echo").await.0, 200);
    until(async || functions.loader().stats().upgraded == 1).await;
    for _ in 0..2 {
        assert_eq!(client.get("/echo").await.0, 200);
    }
    let stats = functions.loader().stats();
    assert_eq!((stats.fast.compiled, stats.best.compiled), (1, 1));
    assert_eq!((stats.fast.resident, stats.best.resident), (0, 2));
}

#[tokio::test]
async fn another_server_on_the_same_cache_compiles_nothing() {
    let keep = folder_of(&[("echo", ECHO)]);
    for expected in [(1, 1, 0), (0, 0, 1)] {
        let functions = Arc::new(open(keep.path(), PLENTY));
        let mut client = Client::connect(serve(Arc::clone(&functions)).await).await;
        assert_eq!(client.get("/echo?x").await, (200, "x".to_owned()));
        let loader = functions.loader();
        until(async || loader.cache().fallback().usage().unwrap().entries == 1).await;
        until(async || loader.stats().pending_upgrades == 0).await;
        let stats = loader.stats();
        let of_best = (stats.best.compiled, stats.best.stored);
        assert_eq!((stats.fast.compiled, of_best.0, of_best.1), expected);
    }
}

#[tokio::test]
async fn an_unknown_function_is_not_found() {
    let keep = folder_of(&[("echo", ECHO)]);
    let mut client = Client::connect(serve(Arc::new(open(keep.path(), PLENTY))).await).await;
    let (status, message) = client.get("/nothing").await;
    assert_eq!(status, 404);
    assert_eq!(message, "there is no function called nothing\n");
}

#[tokio::test]
async fn what_goes_wrong_in_a_function_is_an_internal_error_that_says_what() {
    let keep = folder_of(&[
        ("invalid", "(module (func (result i32)))"),
        ("importing", r#"(module (import "a" "b" (func)))"#),
        ("idle", "(module)"),
        ("trap", TRAP),
        ("endless_answer", ENDLESS_ANSWER),
        ("two_memories", TWO_MEMORIES),
    ]);
    let mut client = Client::connect(serve(Arc::new(open(keep.path(), PLENTY))).await).await;
    for (name, expected) in [
        ("invalid", "type mismatch"),
        ("importing", "import"),
        ("idle", "exports no `memory`"),
        ("trap", "unreachable"),
        ("endless_answer", "longer than its memory"),
        ("two_memories", "memory count too high"),
    ] {
        let (status, message) = client.get(&format!("/{name}")).await;
        assert_eq!(status, 500, "{name}: {message}");
        assert!(message.contains(expected), "{name}: {message}");
    }
}

#[tokio::test]
async fn an_endless_function_is_ended_and_keeps_nobody_waiting() {
    let keep = folder_of(&[("endless", ENDLESS), ("echo", ECHO)]);
    // The runtime of this test has one thread, for which all of them contend.
    let address = serve(Arc::new(open(keep.path(), PLENTY))).await;
    let endless = tokio::spawn(async move { Client::connect(address).await.get("/endless").await });
    let mut client = Client::connect(address).await;
    let start = Instant::now();
    let mut served = 0;
    while !endless.is_finished() {
        assert_eq!(client.get("/echo?x").await, (200, "x".to_owned()));
        served += 1;
        assert!(start.elapsed() < Duration::from_mins(1));
    }
    assert_eq!(endless.await.unwrap().0, 504);
    assert!(served > 1, "{served} requests beside the endless function");
}

#[tokio::test]
async fn a_function_gets_no_more_memory_than_it_may_have() {
    let keep = folder_of(&[("greedy", GREEDY)]);
    let mut client = Client::connect(serve(Arc::new(open(keep.path(), PLENTY))).await).await;
    assert_eq!(
        client.get("/greedy?refused").await,
        (200, "refused".to_owned())
    );
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused() {
    let keep = folder_of(&[("echo", ECHO)]);
    let address = serve(Arc::new(open(keep.path(), PLENTY))).await;
    let long = "x".repeat(65 << 10);
    assert_eq!(
        Client::connect(address).await.post("/echo", &long).await.0,
        413
    );
}

#[tokio::test]
async fn a_function_whose_file_changed_is_not_stored_under_its_old_name() {
    let keep = folder_of(&[("echo", ECHO)]);
    let functions = Arc::new(open(keep.path(), PLENTY));
    let mut client = Client::connect(serve(Arc::clone(&functions)).await).await;
    std::fs::write(keep.path().join("functions/echo.wat"), TRAP).unwrap();
    let (status, message) = client.get("/echo").await;
    assert_eq!(status, 500);
    assert!(message.contains("start the server again"), "{message}");
    assert!(functions.loader().cache().primary().is_empty());
}

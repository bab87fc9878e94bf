//! Property tests of what parses packets, channel frames, the first bytes of requests, tokens and
//! tickets. `PROPTEST_CASES=1000000 cargo test --release --lib property_tests` runs a million cases
//! of each; the default is a few hundred.

mod browser;
mod channel;
mod gateway;
mod secrets;

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::runtime::Runtime;

/// Failures are printed and not kept in a file.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

/// One runtime for all cases.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});

#[derive(Debug, Clone)]
enum Edit {
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

/// Bytes of this strategy with a few mutations.
fn mutated(good: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let at = any::<Index>;
    let edit = prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        2 => (at(), 1..20_usize).prop_map(|(at, count)| Edit::Remove(at, count)),
        2 => (at(), 1..20_usize).prop_map(|(at, count)| Edit::Repeat(at, count)),
        1 => at().prop_map(Edit::Cut),
    ];
    (good, vec(edit, 1..6)).prop_map(|(mut bytes, edits)| {
        for edit in edits {
            let length = bytes.len();
            let upto = |at: usize, count: usize| at..(at + count).min(length);
            match edit {
                Edit::Insert(at, byte) => bytes.insert(at.index(length + 1), byte),
                _ if bytes.is_empty() => {}
                Edit::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
                Edit::Remove(at, count) => drop(bytes.drain(upto(at.index(length), count))),
                Edit::Repeat(at, count) => {
                    let at = at.index(length);
                    let again = bytes[upto(at, count)].to_vec();
                    bytes.splice(at..at, again);
                }
                Edit::Cut(at) => bytes.truncate(at.index(length)),
            }
        }
        bytes
    })
}

/// The same as text.
fn mutated_text(good: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    mutated(good.prop_map(String::into_bytes)).prop_map(text)
}

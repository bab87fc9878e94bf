//! The dependencies of a project: permissive licences, no banned crate, and only Cargo's own
//! registry.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use crate::helpers::{HOST, REPOSITORY};

const LICENCES: [&str; 4] = ["MIT", "Apache-2.0", "BSD-3-Clause", "Unicode-3.0"];
/// TLS ends at the proxy, so no C library for it is needed; `rsa` has a timing side channel.
const BANNED: [&str; 3] = ["openssl-sys", "native-tls", "rsa"];

#[test]
fn every_crate_is_free_to_use_from_the_registry_and_not_banned() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1"]);
    cargo.args(["--filter-platform", HOST]);
    let metadata = cargo.current_dir(REPOSITORY).output().expect("Cargo runs").stdout;
    let metadata: Value = serde_json::from_slice(&metadata).expect("JSON");
    let own = metadata["workspace_members"].as_array().expect("a list");
    let mut sources = BTreeSet::new();
    for package in metadata["packages"].as_array().expect("a list") {
        if own.contains(&package["id"]) {
            continue;
        }
        let name = package["name"].as_str().expect("a name");
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence), "{name}: {licence:?}");
        assert!(!BANNED.contains(&name), "{name}");
        sources.insert(package["source"].as_str().unwrap_or(name));
    }
    let registry = sources.iter().all(|source| source.starts_with("registry+"));
    assert!(sources.len() == 1 && registry, "{sources:?}");
}

/// Whoever wants no lease in NATS does not build its client, also not for the structure's tests.
#[test]
fn the_client_of_nats_is_built_only_with_its_feature() {
    let tree = |more: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["tree", "--workspace", "--locked", "--offline", "--prefix", "none"]).args(more);
        let tree = cargo.current_dir(REPOSITORY).output().expect("Cargo runs").stdout;
        String::from_utf8(tree).expect("text")
    };
    assert!(tree(&["--features", "cluster/nats"]).contains("\nasync-nats "));
    let without = tree(&[]);
    assert!(without.contains("\ntokio ") && !without.contains("\nasync-nats "), "{without}");
}

#[test]
fn a_licence_is_allowed_if_one_of_its_choices_is() {
    for allowed in ["MIT", "GPL-3.0 OR MIT", "Unlicense/MIT", "(MIT OR Zlib) AND Unicode-3.0"] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Zlib) AND GPL-3.0"] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

/// Whether an SPDX expression can be satisfied by these licences. In practice AND nests no more
/// than two levels.
fn is_allowed(expression: &str) -> bool {
    let any = |part: &str| {
        let mut choices = part.split(" OR ").flat_map(|choice| choice.split('/'));
        choices.any(|choice| LICENCES.contains(&choice.trim_matches(['(', ')', ' '])))
    };
    expression.split(" AND ").all(any)
}

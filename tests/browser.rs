//! The page in a real browser, headless Chromium, with the program of a freshly generated project.
//! Each test starts its own lobby and browser, and waits for conditions, never for a fixed time.
//!
//! `CLUSTER_PROJECT=FOLDER cargo test --test browser` tests the project in that folder instead; `.`
//! is this one. Screenshots are kept in `target/screenshots`.

mod browser {
    mod chromium;
    mod libraries;
    mod looks;
    mod old_browsers;
    mod project;
    mod proxies;
    mod proxy;
    mod safety;
    mod story;
    mod tabs;
    mod turns;
    mod ways_back;
}
mod template;

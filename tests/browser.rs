//! The page in a real browser: headless Chromium, driven as a person would, against the program of
//! a freshly generated project. A test starts a lobby and a browser of its own, waits for what must
//! be seen, and never for a fixed time.
//!
//! `CLUSTER_PROJECT=FOLDER cargo test --test browser` tests the project in that folder instead; `.`
//! is this one. Screenshots are kept in `target/screenshots`.

mod browser {
    mod admin;
    mod chromium;
    mod client;
    mod cookies;
    mod dev_panel;
    mod hosts;
    mod identity;
    mod libraries;
    mod looks;
    mod markup;
    mod old_browsers;
    mod picture;
    mod project;
    mod proxies;
    mod proxy;
    mod recipes;
    mod restart;
    mod rounds;
    mod safety;
    mod steering;
    mod story;
    mod tabs;
    mod turns;
    mod vite;
    mod ways_back;
}
mod template;

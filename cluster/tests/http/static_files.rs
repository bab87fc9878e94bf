//! The static folder: only its files are served, whatever the path.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::common::raw::{Raw, http, request, status};
use crate::http::pages::{cluster_of, page, put};

#[tokio::test]
async fn only_files_inside_the_static_folder_are_served() {
    let page = page();
    put(&page, "static/.env", "our secret");
    put(&page, "static/.git/config", "our secret");
    put(&page, "static/pictures/.env", "our secret");
    put(&page, "static/.well-known/security.txt", "whom to write to");
    let cluster = cluster_of(&page, &[]).await;
    for (path, text) in [
        ("/", "our page"),
        ("/index.html", "our page"),
        ("/client.js?x=../secret.txt", "our script"),
        ("/%63lient.js", "our script"),
        ("/.well-known/security.txt", "whom to write to"),
    ] {
        let (status, answer) = http(&cluster.url, "GET", path, &[]).await;
        assert!(status == 200 && answer.contains(text), "{path}: {answer}");
    }
    let long = format!("/{}", "a".repeat(10_000));
    let deep = "/a".repeat(5000);
    for path in [
        "/missing.js",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%2E%2E%2Fsecret.txt",
        "/%252e%252e/secret.txt",
        "/.%2e/secret.txt",
        "/x/../../secret.txt",
        "//../secret.txt",
        "/..\\secret.txt",
        "/..%5csecret.txt",
        "/..;/secret.txt",
        "/%c0%ae%c0%ae/secret.txt",
        "/\u{ff0e}\u{ff0e}/secret.txt",
        "/cluster/../../secret.txt",
        "/cluster/..%2f..%2fsecret.txt",
        "/cluster/libraries/..%2f..%2f..%2fsecret.txt",
        "/rooms/1/../../../secret.txt",
        &page.path().join("secret.txt").display().to_string(),
        &format!("/%2f{}", page.path().join("secret.txt").display()),
        "/client.js/",
        "/client.js/../../secret.txt",
        "/client.js%00.html",
        "/%00",
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/%2Egit%2Fconfig",
        "/pictures/.env",
        "/pictures%2f.env",
        "/pictures//.env",
        "/pictures/./.env",
        "/pictures",
        "/pictures/",
        "/%ff",
        "/%",
        "/%zz",
        &long,
        &deep,
    ] {
        for method in ["GET", "HEAD"] {
            let (status, answer) = http(&cluster.url, method, path, &[]).await;
            // A folder redirects to its path with a slash.
            let refused = (400..500).contains(&status) || (path == "/pictures" && status == 307);
            assert!(refused && !answer.contains("our secret"), "{method} {path}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_folder_redirects_to_its_index_and_never_to_another_host() {
    let page = page();
    put(&page, "static/evil.example/index.html", "a folder");
    let cluster = cluster_of(&page, &[]).await;
    let ask = async |path: &str| http(&cluster.url, "GET", path, &[]).await;
    let (status, answer) = ask("/evil.example/").await;
    assert!(status == 200 && answer.contains("a folder"), "{answer}");
    let (status, answer) = ask("/evil.example").await;
    assert!(status == 307 && answer.contains("location: /evil.example/\r\n"), "{answer}");
    for path in [
        "//evil.example",
        "///evil.example",
        "/%2fevil.example",
        "/%2Fevil.example",
        "//evil.example/..",
        "//evil.example/%2e%2e",
        "/\\evil.example",
        "/%5cevil.example",
        "/.//evil.example",
        "/x/..//evil.example",
    ] {
        let (status, answer) = ask(path).await;
        assert!((400..500).contains(&status), "{path}: {answer}");
        assert!(!answer.contains("location"), "{path}: {answer}");
    }
}

/// Anyone who can create a link in the folder could copy the file there as well.
#[tokio::test]
async fn a_symbolic_link_in_the_folder_is_followed() {
    let page = page();
    put(&page, "elsewhere/sound.ogg", "a sound");
    symlink(page.path().join("elsewhere"), page.path().join("static/sounds")).expect("a link");
    symlink(page.path().join("nowhere"), page.path().join("static/broken")).expect("a link");
    let cluster = cluster_of(&page, &[]).await;
    let (status, answer) = http(&cluster.url, "GET", "/sounds/sound.ogg", &[]).await;
    assert!(status == 200 && answer.contains("a sound"), "{answer}");
    for path in ["/sounds/../../secret.txt", "/sounds/..%2f..%2fsecret.txt", "/broken"] {
        let (status, answer) = http(&cluster.url, "GET", path, &[]).await;
        assert!((400..500).contains(&status), "{path}: {answer}");
    }
}

#[tokio::test]
async fn static_files_can_only_be_read() {
    let page = page();
    let cluster = cluster_of(&page, &[]).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"] {
        for path in [
            "/",
            "/client.js",
            "/missing.js",
            "/cluster/cluster.js",
            "/cluster/libraries/js.cookie.min.js",
            "/cluster/missing.js",
            "/dev",
        ] {
            let (status, answer) = http(&cluster.url, method, path, &[("X-Secret", "echo?")]).await;
            assert_eq!(status, 405, "{method} {path}: {answer}");
            assert!(!answer.contains("echo?") && !answer.contains("our script"), "{answer}");
        }
    }
    for request in [
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET client.js HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ] {
        let mut raw = Raw::connect(&cluster.url).await;
        raw.send(request).await;
        let answer = raw.rest().await;
        assert!((400..500).contains(&status(&answer)), "{request}: {answer}");
    }
    let (status, answer) = http(&cluster.url, "HEAD", "/client.js", &[]).await;
    assert!(status == 200 && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: 13\r\n"), "{answer}");
}

#[tokio::test]
async fn range_and_conditional_requests_are_answered() {
    let page = page();
    put(&page, "static/digits.txt", "0123456789");
    let cluster = cluster_of(&page, &[]).await;
    for (name, value, expected, body) in [
        ("Range", "bytes=2-4", 206, "234"),
        ("Range", "bytes=-3", 206, "789"),
        ("Range", "bytes=7-", 206, "789"),
        ("Range", "bytes=7-99999999999", 206, "789"),
        ("Range", "bytes=-99999999999", 416, ""),
        ("Range", "bytes=10-", 416, ""),
        ("Range", "bytes=5-2", 416, ""),
        ("Range", "bytes=99999999999999999999999-", 416, ""),
        ("Range", "bytes=0-1,3-4", 416, ""),
        ("Range", "lines=0-1", 416, ""),
        ("Range", "0-1", 416, ""),
        ("If-Modified-Since", "yesterday", 200, "0123456789"),
        ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 200, "0123456789"),
        ("If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT", 304, ""),
        ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT", 412, ""),
        ("If-None-Match", "garbage", 200, "0123456789"),
        ("If-None-Match", "*", 304, ""),
        ("If-Match", "\"nothing\"", 412, ""),
        ("Accept-Encoding", "br;q=9, */*", 200, "0123456789"),
    ] {
        let (status, answer) = http(&cluster.url, "GET", "/digits.txt", &[(name, value)]).await;
        let (_, got) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(status == expected, "{name}: {value}: {answer}");
        assert!(got == body || expected >= 400, "{name}: {value}: {answer}");
    }
    let many = format!("bytes={}", vec!["0-"; 3000].join(","));
    let (status, _) = http(&cluster.url, "GET", "/digits.txt", &[("Range", &many)]).await;
    assert_eq!(status, 416);
    // The next request on the same connection is answered as well.
    let mut raw = Raw::connect(&cluster.url).await;
    for _ in 0..2 {
        raw.send(&request("GET", "/digits.txt", &[("Range", "bytes=0-1,3-4")])).await;
        assert_eq!(status_of(&mut raw).await, 416);
        raw.send(&request("GET", "/digits.txt", &[("Range", "bytes=2-4")])).await;
        assert_eq!(status_of(&mut raw).await, 206);
        assert_eq!(raw.body(3).await, "234");
    }
}

/// The status of the next response. Its body is still to be read, unless it is a refusal.
async fn status_of(raw: &mut Raw) -> u16 {
    let head = raw.head().await;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if status(&head) >= 400
        && let Some(length) = length
    {
        raw.body(length.parse().expect("a number")).await;
    }
    status(&head)
}

/// In packages of Nix, Bazel and npm, all files have the same modification time.
#[tokio::test]
async fn a_changed_file_is_sent_whatever_its_modification_time_is() {
    let page = page();
    let changed = ["static/client.js", "node_modules/js-cookie/dist/js.cookie.min.js"];
    let urls = ["/client.js", "/cluster/libraries/js.cookie.min.js"];
    let write = |path: &str, text: &str, seconds: u64| {
        put(&page, path, text);
        let file = File::options().write(true).open(page.path().join(path)).expect("our file");
        let time = UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(time).expect("a time");
    };
    let cluster = cluster_of(&page, &[]).await;
    let header = |answer: &str, name: &str| {
        let mut lines = answer.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| *found == name).expect("this header").1.to_owned()
    };
    for (path, url) in changed.into_iter().zip(urls) {
        // The last one is older than the one before: an update was taken back.
        for (before, after) in [(0, 0), (1, 1), (499_162_500, 499_162_500), (2_000_000_000, 1)] {
            write(path, "one", before);
            let (_, answer) = http(&cluster.url, "GET", url, &[]).await;
            let (etag, modified) = (header(&answer, "etag"), header(&answer, "last-modified"));
            let known =
                [("If-None-Match", etag.as_str()), ("If-Modified-Since", modified.as_str())];
            assert_eq!(http(&cluster.url, "GET", url, &known).await.0, 304, "it is the same");
            write(path, "two", after);
            let (status, answer) = http(&cluster.url, "GET", url, &known).await;
            assert!(status == 200 && answer.ends_with("two"), "{url} {before} {after}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_no_file_is_not_opened() {
    let page = page();
    let fifo = page.path().join("static/fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).expect("a FIFO");
    symlink("/dev/zero", page.path().join("static/zero")).expect("a link");
    let cluster = cluster_of(&page, &[]).await;
    for path in ["/fifo", "/zero"] {
        for method in ["GET", "HEAD"] {
            assert_eq!(http(&cluster.url, method, path, &[]).await.0, 404, "{method} {path}");
        }
    }
}

//! The pages of all examples comply with the lobby's Content-Security-Policy, and insert text as
//! text.

use crate::helpers::repository;

/// Functions that turn text into elements, scripts or styles.
const FORBIDDEN: [&str; 12] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "setHTMLUnsafe",
    "srcdoc",
    "document.write",
    "createContextualFragment",
    "DOMParser",
    "eval(",
    "new Function",
    "cssText",
    "javascript:",
];

#[test]
fn no_page_has_a_script_a_style_or_a_handler_within() {
    let mut pages = 0;
    for (path, content) in repository() {
        let page = path == "static/index.html" || path.ends_with("/static/index.html");
        let text = String::from_utf8_lossy(&content).into_owned();
        pages += usize::from(page);
        if page {
            assert_eq!(inline(&text), Vec::<String>::new(), "{path}");
        }
    }
    assert_eq!(pages, 5, "one for each example, and that of the structure's tests");
}

#[test]
fn no_script_makes_elements_of_text() {
    let mut scripts = 0;
    for (path, content) in repository() {
        let folder = ["static/", "cluster/web/"].iter().any(|folder| path.starts_with(folder));
        if path.ends_with(".js") && (folder || path.contains("/static/")) {
            scripts += 1;
            let text = String::from_utf8_lossy(&content).into_owned();
            for word in FORBIDDEN {
                assert!(!text.contains(word), "{path}: {word}");
            }
        }
    }
    assert!(scripts > 12, "{scripts} are not all");
}

/// A bundler can import the structure's scripts from their folder, which an update replaces.
#[test]
fn the_structures_part_of_the_page_imports_nothing_but_its_own_files() {
    let mut imports = 0;
    for (path, content) in repository() {
        if !path.starts_with("cluster/web/") || path.ends_with(".json") {
            continue;
        }
        let text = String::from_utf8_lossy(&content).into_owned();
        for part in text.split(" from \"").skip(1).chain(text.split("import(\"").skip(1)) {
            let (from, _) = part.split_once('"').expect("a path");
            let own = from.strip_prefix("./").is_some_and(|name| !name.contains('/'));
            // Types of the client library, and for pages.
            let types = from == "socket.io-client" || path.ends_with("/page.d.ts");
            assert!(own || types, "{path}: {from}");
            imports += 1;
        }
    }
    assert!(imports > 10, "{imports} are not all");
}

#[test]
fn the_oldest_browsers_are_the_same_in_documents_scripts_and_tests() {
    let files = repository();
    for (path, says) in [
        ("cluster/docs/page.md", "Chrome and Edge 90, Firefox 90 and Safari 15 "),
        ("cluster/web/cluster.js", "Chrome 90, Firefox 90 and\n * Safari 15 (cluster/docs/page.md"),
        ("cluster/docs/recipes/vite.md", "[\"chrome90\", \"firefox90\", \"safari15\"]"),
        ("tests/browser/newer.mjs", "{ chrome: 90, firefox: 90, safari: 15 }"),
    ] {
        assert!(String::from_utf8_lossy(&files[path]).contains(says), "{path}: {says}");
    }
}

/// The one line of a page that adds the development panel.
const PANEL: &str = "import(\"./cluster/dev-panel.js\").then(({ devPanel }) => devPanel(cluster)); \
                     // Development only: delete this line to remove the panel.";

#[test]
fn each_page_has_one_line_for_the_development_panel_and_no_part_of_it() {
    let parts = ["hops", "kill", "drop", "another", "details", "client-log", "server-log"];
    let mut pages = 0;
    for (path, content) in yours() {
        for part in parts {
            let uses = [format!("id=\"{part}\""), format!("$(\"{part}\")")];
            assert!(!uses.iter().any(|uses| content.contains(uses)), "{path}: {part}");
        }
        let lines: Vec<_> = content.lines().filter(|line| line.contains("dev-panel")).collect();
        let page = path.ends_with("static/client.js");
        pages += usize::from(page);
        assert_eq!(lines, if page { vec![PANEL] } else { vec![] }, "{path}");
    }
    assert_eq!(pages, 4, "one for each example");
}

#[test]
fn the_sentences_for_reasons_are_in_one_place() {
    let files = repository();
    let client = String::from_utf8_lossy(&files["cluster/web/cluster.js"]);
    let (_, reasons) = client.split_once("const REASON_MESSAGES = {").expect("the sentences");
    let reasons = reasons.split_once("\n};").expect("their end").0;
    let sentences: Vec<_> = reasons.split('"').skip(1).step_by(2).collect();
    assert!(sentences.len() >= 8, "{sentences:?}");
    for (path, content) in yours() {
        for sentence in &sentences {
            assert!(!content.contains(sentence), "{path}: {sentence}");
        }
    }
}

/// Scripts and pages of all examples, as text.
fn yours() -> impl Iterator<Item = (String, String)> {
    let yours = |path: &str| path.starts_with("static/") || path.contains("/static/");
    let text = |path: &str| path.ends_with(".js") || path.ends_with(".html");
    let files = repository().into_iter().filter(move |(path, _)| yours(path) && text(path));
    files.map(|(path, content)| (path, String::from_utf8_lossy(&content).into_owned()))
}

#[test]
fn what_is_within_a_page_is_found() {
    for (page, count) in [
        (
            "<p>style=x onclick=y <script src=\"a.js\"></script><script\n  defer src=b.js></script>",
            0,
        ),
        ("<!-- <script>x</script> --><p class=\"on\" data-on=\"x\" aria-label=\"style = x\">", 0),
        ("<SCRIPT>x</SCRIPT>", 1),
        ("<script type=\"module\">x</script><style>p { }</style>", 2),
        ("<p\n style=\"color: red\"><b onclick=\"x()\"><i OnLoad = x>", 3),
        ("<a href=\"javascript:x()\"><base href=\"x\"><iframe srcdoc=x>", 3),
    ] {
        assert_eq!(inline(page).len(), count, "{page}: {:?}", inline(page));
    }
}

/// Tags that the policy would block.
fn inline(page: &str) -> Vec<String> {
    let mut text = page.to_ascii_lowercase();
    while let Some((before, rest)) = text.split_once("<!--") {
        text = format!("{before}{}", rest.split_once("-->").map_or("", |(_, after)| after));
    }
    let tags = text.split('<').skip(1).filter_map(|tag| Some(tag.split_once('>')?.0));
    let bad = |tag: &&str| {
        let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        // Text in quotes is not an attribute, but may be a script.
        let outside: String = attributes.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
        let mut names = outside.split_whitespace().map(|part| part.split('=').next().unwrap());
        let script = name == "script" && !attributes.contains("src=");
        let handler =
            names.any(|name| name == "style" || name == "srcdoc" || name.starts_with("on"));
        script || handler || ["style", "base"].contains(&name) || tag.contains("javascript:")
    };
    tags.filter(bad).map(str::to_owned).collect()
}

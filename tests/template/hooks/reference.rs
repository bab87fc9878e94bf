//! `cluster/docs/hooks.md`, made from the doc comments of the traits and of the contexts.

mod types;

use std::fmt::Write as _;
use std::path::Path;

use syn::spanned::Spanned;
use syn::{
    Attribute, Expr, File, GenericArgument, ImplItem, Item, Meta, PathArguments, ReturnType,
    Signature, TraitItem, Type, TypeParamBound, Visibility,
};

use self::types::{ANSWER_TYPES, LOBBY_TYPES, MESSAGE_TYPES, add_types};
use crate::helpers::{REPOSITORY, read};

pub const PATH: &str = "cluster/docs/hooks.md";
pub const LOBBY_HOOKS: &str = "cluster/src/lobby/hooks.rs";
pub const ROOM_HOOKS: &str = "cluster/src/room/hooks.rs";

const HEAD: &str = "\
<!-- Made from the doc comments in cluster/src; in the template's repository \
`UPDATE_DOCS=1 cargo test --test template hooks::` writes it anew. -->

# Hooks

All hooks of the lobby and of rooms, and what they can do. `cargo doc -p cluster --no-deps --features testing --open`
shows the same with links, with examples of each method, and all other types. [page.md](page.md) has the hooks of the page.

";
const FOOT: &str = "\
## The page

The hooks, options and methods of `cluster.js` are in [page.md](page.md).
";

/// A trait with hooks: its comment, its message types, and its hooks.
pub struct Hooks {
    pub docs: String,
    pub types: Vec<Named>,
    pub hooks: Vec<Hook>,
}

pub struct Hook {
    pub item: Named,
    pub default: Default,
}

#[derive(PartialEq)]
pub enum Default {
    None,
    /// An empty body.
    Nothing,
    Something,
}

/// A method or a type, as users write or call it.
#[derive(Clone)]
pub struct Named {
    pub name: String,
    pub code: String,
    pub docs: String,
}

/// The hooks of a trait.
pub fn hooks(path: &str, name: &str) -> Hooks {
    let file = parse(path);
    let found = file.items.iter().find_map(|item| match item {
        Item::Trait(found) if found.ident == name => Some(found),
        _ => None,
    });
    let found = found.unwrap_or_else(|| panic!("no trait {name} in {path}"));
    let mut all = Hooks { docs: docs(&found.attrs), types: vec![], hooks: vec![] };
    for item in &found.items {
        match item {
            TraitItem::Type(ty) => all.types.push(Named {
                name: ty.ident.to_string(),
                code: String::new(),
                docs: docs(&ty.attrs),
            }),
            TraitItem::Fn(hook) => all.hooks.push(Hook {
                item: Named {
                    name: hook.sig.ident.to_string(),
                    code: as_written(&hook.sig),
                    docs: docs(&hook.attrs),
                },
                default: match &hook.default {
                    None => Default::None,
                    Some(body) if body.stmts.is_empty() => Default::Nothing,
                    Some(_) => Default::Something,
                },
            }),
            _ => {}
        }
    }
    all
}

/// The public methods of a type, in these files.
fn methods(paths: &[&str], of: &str) -> Vec<Named> {
    let mut methods = Vec::new();
    for path in paths {
        let items = parse(path).items.into_iter().filter_map(|item| match item {
            Item::Impl(block) if block.trait_.is_none() => Some(block),
            _ => None,
        });
        for block in items.filter(|block| last_name(&block.self_ty) == of) {
            for item in block.items {
                if let ImplItem::Fn(method) = item
                    && matches!(method.vis, Visibility::Public(_))
                {
                    methods.push(Named {
                        name: method.sig.ident.to_string(),
                        code: joined(source(&method.sig)),
                        docs: docs(&method.attrs),
                    });
                }
            }
        }
    }
    methods
}

/// The whole file, as it should be.
pub fn text() -> String {
    let mut text = HEAD.to_owned();
    let lobby = hooks(LOBBY_HOOKS, "Lobby");
    add_hooks(&mut text, "The lobby: `Lobby`, in `src/server.rs`", &lobby);
    let rooms = hooks(LOBBY_HOOKS, "RoomManager");
    add_hooks(&mut text, "The lobby: `RoomManager`, in `src/room_manager.rs`", &rooms);
    add_hooks(&mut text, "A room: `Room`, in `src/room.rs`", &hooks(ROOM_HOOKS, "Room"));

    let context = ["mod", "players", "rooms", "joins"];
    let context = context.map(|file| format!("cluster/src/lobby/context/{file}.rs"));
    let context = context.each_ref().map(String::as_str);
    add_methods(&mut text, "What hooks of the lobby can do: `LobbyContext`", &context);
    add_types(&mut text, "Types of the lobby's hooks", &LOBBY_TYPES);
    let context = ["cluster/src/room/context.rs", "cluster/src/room/sending.rs"];
    add_methods(&mut text, "What hooks of a room can do: `RoomContext`", &context);
    let both = ["cluster/src/runtime/scheduler.rs"];
    add_methods(&mut text, "What both can do: `Scheduler`", &both);
    add_types(&mut text, "Answers, players, and reasons", &ANSWER_TYPES);
    add_types(&mut text, "Messages, kinds of rooms, and data", &MESSAGE_TYPES);
    text + FOOT
}

fn add_hooks(text: &mut String, title: &str, all: &Hooks) {
    writeln!(text, "## {title}\n\n{}", markdown(&all.docs)).unwrap();
    for Named { name, docs, .. } in &all.types {
        // An item of the list has one paragraph.
        *text += &markdown(&format!("- `type {name}`: {}", docs.replace("\n\n", "\n")));
    }
    if !all.types.is_empty() {
        text.push('\n');
    }
    for Hook { item: Named { name, code, docs }, .. } in &all.hooks {
        writeln!(text, "### `{name}`\n\n```rust\n{code}\n```\n\n{}", markdown(docs)).unwrap();
    }
}

fn add_methods(text: &mut String, title: &str, paths: &[&str]) {
    let (_, name) = title.split_once(": ").unwrap();
    writeln!(text, "## {title}\n").unwrap();
    let methods = methods(paths, name.trim_matches('`'));
    assert!(methods.len() >= 5, "{name} has only {} methods", methods.len());
    methods.iter().for_each(|method| add_method(text, method));
}

fn add_method(text: &mut String, Named { name, code, docs }: &Named) {
    let docs = markdown(&without_examples(docs));
    writeln!(text, "### `{name}`\n\n```rust\n{code}\n```\n\n{docs}").unwrap();
}

/// All but the code; `# Errors` as a paragraph.
fn without_examples(docs: &str) -> String {
    let text: String = docs.split("```").step_by(2).collect();
    let heading = |line: &str| match line.strip_prefix("# ") {
        Some(title) => format!("{title}:\n\n"),
        None => format!("{line}\n"),
    };
    text.replace("\n\n\n", "\n").lines().map(heading).collect()
}

fn parse(path: &str) -> File {
    let text = read(Path::new(REPOSITORY), path);
    syn::parse_file(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The doc comment, without the space that each line begins with.
fn docs(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(line), .. }) => Some(line.value()),
            _ => None,
        },
        _ => None,
    };
    let lines = attributes.iter().filter_map(line);
    let lines: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).into()).collect();
    let lines: Vec<String> = lines;
    lines.join("\n")
}

/// The code as it stands in the file, without the indentation of a method.
fn source(code: &impl Spanned) -> String {
    code.span().source_text().expect("parsed from a file").replace("\n    ", "\n")
}

/// A signature on one line, if it fits.
fn joined(signature: String) -> String {
    let line = signature.replace("(\n    ", "(").replace(",\n)", ")").replace(",\n    ", ", ");
    if line.len() <= 92 { line } else { signature }
}

/// A hook as users write it: `async fn` instead of `-> impl Future`.
fn as_written(signature: &Signature) -> String {
    let code = source(signature);
    let Some(output) = output_of_future(&signature.output) else { return code };
    let (before, _) = code.rsplit_once(" -> impl Future").expect("it ends so");
    joined(match source(output).as_str() {
        "()" => format!("async {before}"),
        output => format!("async {before} -> {output}"),
    })
}

fn output_of_future(output: &ReturnType) -> Option<&Type> {
    let ReturnType::Type(_, ty) = output else { return None };
    let Type::ImplTrait(ty) = &**ty else { return None };
    let TypeParamBound::Trait(bound) = ty.bounds.first()? else { return None };
    let last = bound.path.segments.last().filter(|last| last.ident == "Future")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::AssocType(output) => Some(&output.ty),
        _ => None,
    }
}

fn last_name(ty: &Type) -> String {
    let Type::Path(ty) = ty else { return String::new() };
    ty.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default()
}

/// Markdown of a Git host from that of rustdoc: names instead of links to items, examples without
/// their hidden lines. Ends with a line break.
fn markdown(docs: &str) -> String {
    let mut text = String::new();
    let mut paragraph = String::new();
    let mut in_code = false;
    for line in docs.lines().chain([""]) {
        let begins = line.is_empty() || line.starts_with("```") || line.starts_with("- ");
        if begins && !paragraph.is_empty() {
            text += &filled(&without_links(&std::mem::take(&mut paragraph)));
        }
        if line.starts_with("```") {
            in_code = !in_code;
            text += if in_code { "```rust\n" } else { "```\n" };
        } else if in_code {
            if line != "#" && !line.starts_with("# ") {
                writeln!(text, "{line}").unwrap();
            }
        } else if line.is_empty() {
            text.push('\n');
        } else if !is_link_target(line) {
            paragraph = format!("{paragraph} {}", line.trim()).trim_start().to_owned();
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// Such as ``[`Room`]: crate::Room``.
fn is_link_target(line: &str) -> bool {
    line.starts_with('[') && line.contains("]: ")
}

/// A paragraph or an item of a list, as lines of at most 100 characters.
fn filled(paragraph: &str) -> String {
    let indent = if paragraph.starts_with("- ") { "\n  " } else { "\n" };
    let (mut text, mut width) = (String::new(), 0);
    for word in paragraph.split(' ') {
        let fits = width + 1 + word.chars().count() <= 100;
        let gap = if text.is_empty() { "" } else { [indent, " "][usize::from(fits)] };
        width = if fits { width + 1 } else { indent.len() - 1 } + word.chars().count();
        text = text + gap + word;
    }
    text + "\n"
}

/// ``[`Lobby`]`` and ``[`send`](Self::send)`` become their text; links to the web stay.
fn without_links(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, after)) = link.split_once(']') else { break };
        let target = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        text += before;
        match target {
            Some((to, after)) if !to.contains("://") => (text, rest) = (text + name, after),
            None if name.starts_with('`') => (text, rest) = (text + name, after),
            _ => (text, rest) = (text + "[" + name + "]", after),
        }
    }
    text + rest
}

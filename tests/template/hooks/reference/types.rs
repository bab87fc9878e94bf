//! The types and macros that the reference explains beside the hooks and their contexts.

use std::fmt::Write as _;

use syn::{Field, Fields, Item, Variant, Visibility};

use super::{Named, add_method, docs, joined, markdown, methods, parse, source};

/// The types of the lobby's hooks and of its context.
pub const LOBBY_TYPES: [(&str, &str); 7] = [
    ("cluster/src/lobby/registration.rs", "Registration"),
    ("cluster/src/lobby/registration.rs", "Identity"),
    ("cluster/src/lobby/registration.rs", "Arrival"),
    ("cluster/src/lobby/context/rooms.rs", "RoomInfo"),
    ("cluster/src/lobby/hooks.rs", "RoomLimits"),
    ("cluster/src/lobby/context/players.rs", "Place"),
    ("cluster/src/lobby/handle.rs", "LobbyHandle"),
];
pub const MESSAGE_TYPES: [(&str, &str); 5] = [
    ("cluster/src/types/message.rs", "messages"),
    ("cluster/src/types/message.rs", "Data"),
    ("cluster/src/types/message.rs", "lobby_types"),
    ("cluster/src/types/message.rs", "room_types"),
    ("cluster/src/lobby/context/kinds.rs", "kinds"),
];

/// What hooks answer, and what they are told about players.
pub const ANSWER_TYPES: [(&str, &str); 10] = [
    ("cluster/src/types/answer.rs", "Answer"),
    ("cluster/src/types/answer.rs", "ok"),
    ("cluster/src/types/answer.rs", "reply"),
    ("cluster/src/types/answer.rs", "deferred"),
    ("cluster/src/types/answer.rs", "refuse"),
    ("cluster/src/types/answer.rs", "Refusal"),
    ("cluster/src/types/text.rs", "readable_line"),
    ("cluster/src/types/player.rs", "Player"),
    ("cluster/src/types/reason.rs", "LeaveReason"),
    ("cluster/src/types/reason.rs", "Exit"),
];

/// Functions, structs with their fields and methods, enums with their variants, traits and macros.
pub fn add_types(text: &mut String, title: &str, types: &[(&str, &str)]) {
    writeln!(text, "## {title}\n").unwrap();
    for (path, name) in types {
        let found = parse(path).items.into_iter().find_map(|item| match item {
            Item::Struct(item) if item.ident == name => {
                let fields = item.fields.iter().filter_map(about_field).collect();
                Some((docs(&item.attrs), fields, (*name).to_owned()))
            }
            Item::Enum(item) if item.ident == name => {
                let variants = item.variants.iter().map(about_variant).collect();
                Some((docs(&item.attrs), variants, (*name).to_owned()))
            }
            Item::Trait(item) if item.ident == name => {
                Some((docs(&item.attrs), vec![], (*name).to_owned()))
            }
            Item::Type(item) if item.ident == name => {
                Some((docs(&item.attrs), vec![], (*name).to_owned()))
            }
            Item::Fn(item) if item.sig.ident == name => {
                let signature = format!("```rust\n{}\n```\n\n", joined(source(&item.sig)));
                Some((signature + &docs(&item.attrs), vec![], (*name).to_owned()))
            }
            Item::Macro(item) if item.ident.as_ref().is_some_and(|ident| ident == name) => {
                Some((docs(&item.attrs), vec![], format!("{name}!")))
            }
            _ => None,
        });
        let (about, parts, title) = found.unwrap_or_else(|| panic!("no {name} in {path}"));
        writeln!(text, "### `{title}`\n\n{}", markdown(&about)).unwrap();
        let list: String = parts.iter().map(|part: &String| markdown(part)).collect();
        *text += &if list.is_empty() { list } else { list + "\n" };
        methods(&[path], name).iter().for_each(|method| {
            add_method(text, &Named { name: format!("{name}::{}", method.name), ..method.clone() });
        });
    }
}

/// A public field: its name, its type, and its comment.
fn about_field(field: &Field) -> Option<String> {
    let name = field.ident.as_ref().filter(|_| matches!(field.vis, Visibility::Public(_)))?;
    Some(format!("- `{name}: {}`: {}", source(&field.ty), docs(&field.attrs)))
}

/// A variant of an enum, and what is in it.
fn about_variant(variant: &Variant) -> String {
    let (name, about) = (&variant.ident, docs(&variant.attrs));
    let Fields::Named(fields) = &variant.fields else {
        return format!("- `{}`: {about}", source(variant).rsplit('\n').next().unwrap().trim());
    };
    let part = |field: &Field| {
        format!(" `{}`: {}", field.ident.as_ref().expect("named"), docs(&field.attrs))
    };
    format!("- `{name}`: {about}{}", fields.named.iter().map(part).collect::<String>())
}

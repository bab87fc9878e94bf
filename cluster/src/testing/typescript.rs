//! The messages as TypeScript types, in `static/messages.d.ts`: editors and `npm run check` hold the page
//! against them. The test writes the file anew whenever the messages have changed.

use std::{collections::BTreeMap, fs, path::Path};

use ts_rs::{Config, TS, TypeVisitor};

use crate::{lobby::hooks::Lobby, room::hooks::Room};

const HEAD: &str = "\
// Made of src/messages.rs by `cargo test`: what is said, as TypeScript types. An enum is a union of its
// events, such as `\"play\" | { join: { room: string } }`.
";

/// Fails if `static/messages.d.ts` in this project is not of these messages, after it has written it anew.
///
/// # Panics
/// If the file was out of date.
pub fn check_types<L: Lobby>(project: &str)
where
    L::Request: TS + 'static,
    L::Event: TS + 'static,
    <L::Room as Room>::Request: TS + 'static,
    <L::Room as Room>::Event: TS + 'static,
    <L::Room as Room>::Options: TS + 'static,
{
    // Browsers read numbers as numbers, also large ones.
    let mut types =
        Types { config: Config::new().with_large_int("number"), found: BTreeMap::new() };
    let text = format!(
        "{HEAD}\nexport type Messages = {{\n  lobbyRequest: {},\n  lobbyEvent: {},\n  roomRequest: {},\n  \
         roomEvent: {},\n  options: {},\n}};\n\n{}",
        types.add::<L::Request>(),
        types.add::<L::Event>(),
        types.add::<<L::Room as Room>::Request>(),
        types.add::<<L::Room as Room>::Event>(),
        types.add::<<L::Room as Room>::Options>(),
        types.found.into_values().collect::<Vec<_>>().join("\n"),
    );
    let file = Path::new(project).join("static/messages.d.ts");
    if fs::read_to_string(&file).unwrap_or_default() != text {
        fs::write(&file, text).expect("static/messages.d.ts can be written");
        panic!(
            "static/messages.d.ts was out of date, and has been written anew: run `npm run check`"
        );
    }
}

/// Declarations by name: of the types that were added, and of all that these mention.
struct Types {
    config: Config,
    found: BTreeMap<String, String>,
}

impl Types {
    /// The type as it is written where it is used.
    fn add<T: TS + 'static>(&mut self) -> String {
        self.visit::<T>();
        T::name(&self.config)
    }
}

impl TypeVisitor for Types {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Numbers, text, lists: these are declared already.
        if T::output_path().is_none() {
            return T::visit_dependencies(self);
        }
        let name = T::ident(&self.config);
        assert_ne!(name, "Messages", "this name is taken: call the type something else");
        let docs = T::docs().unwrap_or_default();
        let declaration = format!("{docs}export {}\n", T::decl(&self.config));
        match self.found.insert(name.clone(), declaration.clone()) {
            None => T::visit_dependencies(self),
            Some(other) => assert_eq!(other, declaration, "two types of the name {name}"),
        }
    }
}

#[test]
fn enums_become_unions_of_their_events() {
    #[derive(serde::Serialize, TS)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its shape is looked at")]
    enum Event {
        Play,
        Chat(String),
        SteerTo { x: f32, id: u64, near: Option<u8> },
        Options {},
    }
    #[derive(TS)]
    enum Nothing {}

    let config = Config::new().with_large_int("number");
    assert_eq!(
        Event::inline(&config),
        r#""play" | { "chat": string } | { "steer_to": { x: number, id: number, near: number | null, } } | { "options": Record<symbol, never> }"#
    );
    assert_eq!(Nothing::inline(&config), "never");
}

//! Messages as TypeScript declarations. ts-rs makes them, for development builds alone.

use std::collections::BTreeMap;

use ts_rs::{Config, TS, TypeVisitor};

/// Declarations by name: of the types that were added, and of all that these mention.
pub struct Declarations {
    config: Config,
    found: BTreeMap<String, String>,
}

impl Declarations {
    pub(crate) fn new() -> Self {
        // Browsers read numbers as numbers, also large ones.
        let config = Config::new().with_large_int("number");
        Declarations { config, found: BTreeMap::new() }
    }

    /// Adds a type; returns how it is written where it is used.
    pub fn add<T: TS + 'static>(&mut self) -> String {
        self.visit::<T>();
        T::name(&self.config)
    }

    /// All declarations, in the order of their names.
    pub(crate) fn text(self) -> String {
        self.found.into_values().collect::<Vec<_>>().join("\n")
    }
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Numbers, text, lists: these are declared already.
        if T::output_path().is_none() {
            return T::visit_generics(self);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_may_contain_itself() {
        crate::messages! {
            enum Plan {
                Rest,
                Steps(Vec<Plan>),
                Either(Option<Box<Plan>>, [Step; 2]),
            }
            struct Step(u8);
        }

        let mut types = Declarations::new();
        assert_eq!(types.add::<Plan>(), "Plan");
        assert_eq!(
            types.text(),
            r#"export type Plan = "rest" | { "steps": Array<Plan> } | { "either": [Plan | null, [Step, Step]] };

export type Step = number;
"#
        );
    }

    #[test]
    fn enums_become_unions_of_their_events() {
        crate::messages! {
            enum Event {
                Play,
                Chat(String),
                SteerTo { x: f32, id: u64, near: Option<u8> },
                Options {},
            }
            enum Empty {}
        }

        let config = Config::new().with_large_int("number");
        assert_eq!(
            Event::inline(&config),
            r#""play" | { "chat": string } | { "steer_to": { x: number, id: number, near: number | null, } } | { "options": Record<symbol, never> }"#
        );
        assert_eq!(Empty::inline(&config), "never");
    }
}

//! Messages as TypeScript declarations, generated with ts-rs in development builds only.

use std::collections::BTreeMap;

use ts_rs::{Config, TS, TypeVisitor};

/// The declarations of the added types and of their parts.
pub struct Declarations {
    config: Config,
    by_name: BTreeMap<String, String>,
    /// A name that two types have. `Messages` conflicts, too: the generated file declares it.
    conflict: Option<String>,
}

impl Declarations {
    pub(crate) fn new() -> Self {
        // JSON.parse reads large integers as numbers, too.
        let config = Config::new().with_large_int("number");
        Declarations { config, by_name: BTreeMap::new(), conflict: None }
    }

    /// Adds a type; returns its name in TypeScript.
    pub fn add<T: TS + 'static>(&mut self) -> String {
        self.visit::<T>();
        T::name(&self.config)
    }

    /// All declarations, sorted by name. Returns `Err` with a name that two types have.
    pub(crate) fn text(self) -> Result<String, String> {
        let text = self.by_name.into_values().collect::<Vec<_>>().join("\n");
        self.conflict.map_or(Ok(text), Err)
    }
}

impl TypeVisitor for Declarations {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Built-in types, such as numbers and arrays, need no declaration.
        if T::output_path().is_none() {
            return T::visit_generics(self);
        }
        let name = T::ident(&self.config);
        let docs = T::docs().unwrap_or_default();
        let declaration = format!("{docs}export {}\n", T::decl(&self.config));
        match self.by_name.insert(name.clone(), declaration.clone()) {
            None if name != "Messages" => T::visit_dependencies(self),
            Some(other) if other == declaration => {}
            _ => self.conflict = Some(name),
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
            types.text().as_deref(),
            Ok(
                r#"export type Plan = "rest" | { "steps": Array<Plan> } | { "either": [Plan | null, [Step, Step]] };

export type Step = number;
"#
            )
        );
    }

    #[test]
    fn two_types_of_one_name_are_a_conflict() {
        mod other {
            crate::messages! {
                pub struct Player(pub bool);
            }
        }
        let mut types = Declarations::new();
        types.add::<other::Player>();
        types.add::<crate::Player>();
        assert_eq!(types.text(), Err("Player".to_owned()));
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

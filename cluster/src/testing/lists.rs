//! The lists that a page watches: sent whole, and from then on what has changed.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Keeps the lists as the cluster's page does.
#[derive(Default)]
pub(crate) struct Lists(HashMap<String, Vec<Value>>);

impl Lists {
    /// An event as the page's hooks get it: a change is the list whole.
    pub fn follow(&mut self, event: &str, data: Value) -> (String, Value) {
        let name = event.trim_end_matches("_changed");
        if !["rooms", "players"].contains(&name) {
            return (event.to_owned(), data);
        }
        let list = self.0.entry(name.to_owned()).or_default();
        match name == event {
            true => *list = data.as_array().expect("a list").clone(),
            false => apply(list, &data),
        }
        (name.to_owned(), json!(list))
    }
}

fn apply(list: &mut Vec<Value>, change: &Value) {
    let mut change: Vec<_> = change.as_object().expect("entries by their ids").iter().collect();
    change.sort_by_key(|(id, _)| (id.len(), id.as_str()));
    for (id, new) in change {
        let at = list.iter().position(|entry| entry.get("id").unwrap_or(&entry["room"]) == id);
        match at {
            Some(at) if new.is_null() => drop(list.remove(at)),
            Some(at) => list[at] = new.clone(),
            None if new.is_null() => {}
            None => list.push(new.clone()),
        }
    }
}

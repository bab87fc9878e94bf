//! Tokens and tickets.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use tokio::time::Instant;

use crate::auth::{Tokens, now, random_ticket};
use crate::room::Tickets;
use crate::testing::property_tests::{config, mutated_text};
use crate::types::{AnyPlayer, PlayerId, Refusal};

static TOKENS: LazyLock<Tokens> = LazyLock::new(|| {
    Tokens::new("this-lobby", &[1; 32], Some(&[2; 32]), Duration::from_secs(86_400))
});
static TOKEN: LazyLock<String> = LazyLock::new(|| {
    let profile = Value::Null;
    let ann = AnyPlayer { id: PlayerId("p1".into()), name: "Ann".into(), profile };
    TOKENS.issue(ann).unwrap().token.unwrap()
});
static TICKETS: LazyLock<Vec<String>> = LazyLock::new(|| (0..4).map(|_| random_ticket()).collect());

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nobody_has_a_token_but_who_was_given_one(text in shown(&TOKEN)) {
        let verified = TOKENS.verify(&text, now());
        prop_assert_eq!(verified.is_ok(), text == *TOKEN, "{:?}", verified);
    }

    #[test]
    fn a_ticket_is_good_once_for_its_player_and_only_in_time(
        doings in vec((0..4_usize, 0..5_usize, mutated_text(Just(TICKETS[0].clone()))), 0..30),
    ) {
        follow_tickets(&doings)?;
    }
}

/// This text, a mutation of it, or any other.
fn shown(good: &'static str) -> impl Strategy<Value = String> {
    let changed = mutated_text(Just(good.to_owned()));
    prop_oneof![
        1 => Just(good.to_owned()),
        6 => changed,
        1 => "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,90}\\.[A-Za-z0-9_-]{0,43}",
        1 => "\\PC{0,200}",
        1 => "[A-Za-z0-9._-]{2000,3000}",
    ]
}

/// Issues, revokes and redeems tickets, and checks them against a model.
fn follow_tickets(doings: &[(usize, usize, String)]) -> Result<(), TestCaseError> {
    let tickets = Tickets::default();
    let mut book: HashMap<String, (PlayerId, bool)> = HashMap::new();
    let now = Instant::now();
    for (which, doing, text) in doings {
        let ticket = &TICKETS[*which];
        let player = PlayerId(format!("p{}", which % 3)); // a ticket is one player's
        match doing {
            // Valid or expired.
            0 | 1 => {
                let late = *doing == 1;
                let until = if late { now } else { now + Duration::from_secs(3600) };
                tickets.add(ticket.clone(), player.clone(), until);
                book.retain(|_, (other, late)| *other != player && !*late);
                book.insert(ticket.clone(), (player, late));
            }
            2 => {
                tickets.revoke(&player);
                book.retain(|_, (other, _)| *other != player);
            }
            _ => {
                let shown = if *doing == 3 { ticket } else { text };
                let good = book.remove(shown).filter(|(_, late)| !late).map(|(player, _)| player);
                prop_assert_eq!(tickets.redeem(shown, now), good.ok_or(Refusal::BAD_TICKET));
            }
        }
    }
    Ok(())
}

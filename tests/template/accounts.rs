//! The recipe for accounts, with a real PostgreSQL.

use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use cluster::testing::{Client, LobbyBuilder, LobbyProcess, TestFolder, command};
use serde_json::{Value, json};

use crate::helpers::{Workshop, must, run};
use crate::postgres::Postgres;
use crate::recipe::Recipe;

#[tokio::test]
async fn accounts_are_kept_in_a_database() {
    let recipe = Recipe::read("accounts");
    let workshop = follow(&recipe);
    let mut database = Postgres::start();
    let psql = recipe.command("psql");
    database.run(psql.strip_prefix("sudo -u postgres ").expect(psql));
    let start = recipe.command("cargo run");
    let url = start.strip_prefix("DATABASE_URL=").and_then(|rest| rest.split(' ').next());
    let url = database.url(url.expect(start));
    let program = Program { workshop, url, key: TestFolder::new() };

    program.refuses_to_start_without_a_database();
    let lobby = program.lobby().start().await;
    one_person_is_one_player(&lobby).await;
    what_is_refused(&lobby).await;
    one_of_many_gets_a_name(&lobby).await;
    an_unknown_name_takes_as_long_as_a_wrong_password(&lobby).await;
    the_database_is_lost_and_comes_back(&lobby, &mut database).await;
    drop(lobby);

    // Another lobby finds the accounts.
    let lobby = program.lobby().start().await;
    let ann = enter(&lobby, log_in("Ann", "correct horse")).await.expect("her account");
    assert_eq!(ann.0["name"], "Ann");
    assert!(!lobby.text().contains("correct horse"), "the log has a password");
    let kept =
        database.run("psql --dbname game --no-align --tuples-only --command 'TABLE accounts'");
    assert!(kept.contains("|Ann|$argon2id$") && !kept.contains("horse"), "{kept}");
}

/// A project made from `blank` by the recipe; its own tests pass without a database.
fn follow(recipe: &Recipe) -> Workshop {
    let workshop = recipe.follow_from_blank();
    // Adds the new crates to Cargo.lock.
    must(workshop.cargo(&["build", "--quiet"]).env_remove("DATABASE_URL"));
    workshop.lint();
    must(workshop.cargo(&["test", "--locked"]).env_remove("DATABASE_URL"));
    workshop.check_types().expect("the page is in order");
    workshop
}

struct Program {
    workshop: Workshop,
    url: String,
    key: Arc<TestFolder>,
}

impl Program {
    fn lobby(&self) -> LobbyBuilder {
        let lobby = LobbyProcess::builder(self.workshop.target.join("debug/server"));
        lobby.working_dir(&self.workshop.project).folder(&self.key).env("DATABASE_URL", &self.url)
    }

    fn refuses_to_start_without_a_database(&self) {
        let mut lobby = command(self.workshop.target.join("debug/server"));
        lobby.current_dir(&self.workshop.project).args(["--port", "0"]);
        let refused = |lobby: &mut Command, why: &str| {
            let (success, said) = run(lobby);
            assert!(!success && said.contains(why), "{said}");
        };
        refused(lobby.env_remove("DATABASE_URL").arg("--dev=false"), "set DATABASE_URL");
        let nowhere = format!("{}-that-is-missing", self.url);
        refused(lobby.env("DATABASE_URL", nowhere), "Accounts are not available");
    }
}

fn sign_up(name: &str, password: &str) -> Value {
    json!({ "name": name, "password": password, "create": true })
}

fn log_in(name: &str, password: &str) -> Value {
    json!({ "name": name, "password": password, "create": false })
}

/// The player and their connection, or the code of the refusal.
async fn enter(lobby: &LobbyProcess, form: Value) -> Result<(Value, Client), String> {
    let mut visitor = lobby.visitor().await;
    let answer = visitor.ask("register", form).await?;
    Ok((answer["you"].clone(), visitor))
}

async fn refusal(lobby: &LobbyProcess, form: Value) -> String {
    enter(lobby, form).await.map(|(you, _)| you).expect_err("refused")
}

async fn one_person_is_one_player(lobby: &LobbyProcess) {
    let (ann, mut laptop) = enter(lobby, sign_up("Ann", "correct horse")).await.expect("new");
    let (again, mut phone) = enter(lobby, log_in("ann", "correct horse")).await.expect("known");
    assert_eq!(again, ann);
    assert_eq!(phone.event("news").await["text"], "Welcome back: this is visit 2.");
    assert_eq!(laptop.event("refused").await["code"], "replaced");
    // What SQL would read as code is a name.
    let (bob, _) = enter(lobby, sign_up("'; DROP TABLE a; --", "12345678")).await.expect("new");
    assert_ne!(bob["id"], ann["id"]);
}

async fn what_is_refused(lobby: &LobbyProcess) {
    for (form, code) in [
        (log_in("Ann", "wrong horse"), "wrong_password"),
        (log_in("Nobody", "correct horse"), "wrong_password"),
        (log_in("Ann", ""), "bad_password"),
        (json!({ "name": "Ann" }), "bad_password"),
        (json!({ "name": "Ann", "password": 12345678 }), "bad_password"),
        (sign_up("ANN", "another horse"), "name_taken"),
        (sign_up("Cleo", "1234567"), "bad_password"),
        (sign_up("Cleo", &"x".repeat(129)), "bad_password"),
        (sign_up("", "correct horse"), "bad_name"),
    ] {
        assert_eq!(refusal(lobby, form.clone()).await, code, "{form}");
    }
    // A visitor who was refused may try again.
    let mut visitor = lobby.visitor().await;
    assert!(visitor.ask("register", log_in("Ann", "wrong horse")).await.is_err());
    lobby.logged("wrong name or password").await;
    visitor.ask("register", log_in("Ann", "correct horse")).await.expect("the right one");
}

async fn one_of_many_gets_a_name(lobby: &LobbyProcess) {
    let ask = || enter(lobby, sign_up("Dora", "correct horse"));
    let (one, two, three) = tokio::join!(ask(), ask(), ask());
    let refused: Vec<_> = [one, two, three].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused, ["name_taken"; 2]);
}

async fn an_unknown_name_takes_as_long_as_a_wrong_password(lobby: &LobbyProcess) {
    let mut fastest = [None; 2];
    for _ in 0..10 {
        for (fastest, name) in fastest.iter_mut().zip(["Ann", "Nobody"]) {
            let start = Instant::now();
            refusal(lobby, log_in(name, "wrong horse")).await;
            let took = start.elapsed();
            *fastest = Some(fastest.map_or(took, |fastest| took.min(fastest)));
        }
    }
    let [known, unknown] = fastest.map(Option::unwrap);
    assert!(unknown > known / 2, "{unknown:?} and {known:?}");
}

async fn the_database_is_lost_and_comes_back(lobby: &LobbyProcess, database: &mut Postgres) {
    let (_, mut ann) = enter(lobby, log_in("Ann", "correct horse")).await.expect("known");
    database.stop();
    assert_eq!(refusal(lobby, log_in("Ann", "correct horse")).await, "unavailable");
    assert_eq!(refusal(lobby, sign_up("Eve", "correct horse")).await, "unavailable");
    // Players are not affected.
    ann.ask("wave", json!({})).await.expect("an answer");
    database.resume();
    enter(lobby, sign_up("Eve", "correct horse")).await.expect("a new account");
    enter(lobby, log_in("Ann", "correct horse")).await.expect("her account");
}

//! The event `binary`, in both directions.

use cluster::testing::{Client, LobbyProcess};
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game};

const PLACEHOLDER: &str = r#"{"_placeholder":true,"num":0}"#;

/// Ann and Bob in one room.
async fn two(cluster: &LobbyProcess) -> (Client, Client) {
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let mut anns = ann.enter("create", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    let mut bobs = bob.enter("join", json!({ "room": room })).await;
    bobs.event("joined").await;
    (anns, bobs)
}

#[tokio::test]
async fn a_room_receives_and_broadcasts_bytes() {
    let cluster = start_game(&[]).await;
    let (mut anns, mut bobs) = two(&cluster).await;
    for bytes in [vec![], vec![0], (0..=255).collect::<Vec<u8>>(), vec![7; 60 * 1024]] {
        assert_eq!(anns.ask_binary(&bytes).await, json!({ "ok": bytes.len() }));
        assert_eq!(anns.binary().await, bytes);
        assert_eq!(bobs.binary().await, bytes);
    }
}

#[tokio::test]
async fn a_room_sends_bytes_to_one_player_to_all_and_volatile() {
    let cluster = start_game(&[]).await;
    let (mut anns, mut bobs) = two(&cluster).await;
    anns.ask("bytes", json!({ "n": 5 })).await.expect("sent");
    // Volatile events may overtake the others.
    let (mut to_ann, mut to_bob) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        to_ann.push(anns.binary().await);
    }
    for _ in 0..2 {
        to_bob.push(bobs.binary().await);
    }
    to_ann.sort();
    to_bob.sort();
    assert_eq!(to_ann, [vec![1; 5], vec![2; 5], vec![3; 5]]);
    assert_eq!(to_bob, [vec![2; 5], vec![3; 5]]);
    // A room may send larger messages than it accepts.
    anns.ask("bytes", json!({ "n": 1_000_000 })).await.expect("sent");
    assert_eq!(bobs.binary().await.len(), 1_000_000);
}

#[tokio::test]
async fn binary_and_json_events_of_one_player_stay_in_order() {
    let cluster = start_game(&NO_RATE_LIMITS).await;
    let (mut anns, mut bobs) = two(&cluster).await;
    for n in 0..200_u8 {
        anns.emit("echo", json!({ "n": n }));
        anns.send(format!(r#"451-["binary",{PLACEHOLDER}]"#));
        anns.send_bytes(&[n]);
    }
    for n in 0..200_u8 {
        assert_eq!(bobs.event("echoed").await, json!({ "n": n }));
        assert_eq!(bobs.binary().await, [n]);
    }
    anns.ask("echo", json!({ "n": 0 })).await.expect("still there");
}

#[tokio::test]
async fn unexpected_attachments_are_refused() {
    let cluster = start_game(&[]).await;
    let (mut anns, mut bobs) = two(&cluster).await;
    // Without an attachment it is an event like any other, and no enum has this one.
    for data in
        [json!({}), Value::Null, json!([1, 2, 3]), json!({ "_placeholder": true, "num": 0 })]
    {
        assert_eq!(anns.ask("binary", data.clone()).await, Err("unknown_event".into()), "{data}");
    }
    // An attachment to an event that takes none.
    for event in ["echo", "logged", "no"] {
        anns.send(format!(r#"451-["{event}",{PLACEHOLDER}]"#));
        anns.send_bytes(&[1, 2, 3]);
        let refused = anns.event("refused").await;
        assert_eq!((&refused["event"], &refused["code"]), (&json!(event), &json!("bad_message")));
    }
    assert_eq!(bobs.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn what_accompanies_the_bytes_of_an_event_is_not_dropped_silently() {
    let cluster = start_game(&[]).await;
    let (mut anns, mut bobs) = two(&cluster).await;
    let second = PLACEHOLDER.replace('0', "1");
    for (attachments, arguments) in [
        (2, format!("{PLACEHOLDER},{second}")),
        (2, PLACEHOLDER.to_owned()),
        (1, format!("{PLACEHOLDER},{{}}")),
        (1, format!("{{}},{PLACEHOLDER}")),
        (1, format!(r#"{{"bytes":{PLACEHOLDER}}}"#)),
        (1, format!("[{PLACEHOLDER}]")),
        (1, r#"{"_placeholder":true,"num":0,"name":"x"}"#.to_owned()),
        (1, r#"{"_placeholder":false,"num":0}"#.to_owned()),
        (1, second.clone()),
        (1, "null".to_owned()),
    ] {
        anns.send(format!(r#"45{attachments}-["binary",{arguments}]"#));
        (0..attachments).for_each(|_| anns.send_bytes(&[1, 2, 3]));
        let refused = anns.event("refused").await;
        assert_eq!(
            (&refused["event"], &refused["code"]),
            (&json!("binary"), &json!("bad_message"))
        );
    }
    assert_eq!(anns.ask_binary(&[7]).await, json!({ "ok": 1 }));
    assert_eq!(bobs.binary().await, [7], "none before it has reached the hook");
}

#[tokio::test]
async fn invalid_binary_packets_end_at_most_their_own_connection() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let mut stays = boss.enter("create", json!({})).await;
    let room = stays.event("joined").await["room"].take();
    let promised = format!(r#"451-["binary",{PLACEHOLDER}]"#);
    let garbage: [(&[&str], &[usize]); 8] = [
        // Bytes that were not announced, more than announced, and fewer.
        (&[], &[3]),
        (&[&promised], &[3, 3]),
        (&[&promised, r#"42["echo",{"n":1}]"#], &[]),
        (&[&promised, &promised], &[3]),
        (&[r#"45999999999-["binary"]"#], &[3]),
        (&[r#"450-["binary"]"#], &[]),
        (&[r#"451-"binary""#], &[3]),
        // Larger than the message limit.
        (&[&promised], &[70_000]),
    ];
    for (texts, frames) in garbage {
        let mut guest = cluster.player("Guest").await;
        let mut client = guest.enter("join", json!({ "room": room })).await;
        client.event("joined").await;
        stays.event("player_joined").await;
        texts.iter().for_each(|text| client.send((*text).to_owned()));
        frames.iter().for_each(|bytes| client.send_bytes(&vec![1; *bytes]));
        assert_eq!(stays.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{texts:?}");
        drop(client);
        stays.event("player_left").await;
    }
    assert_eq!(stays.ask_binary(&[1]).await, json!({ "ok": 1 }));
}

#[tokio::test]
async fn incomplete_binary_packets_are_bounded_by_the_message_limit() {
    let cluster = start_game(&[]).await;
    let parts = |count: usize| format!(r#"45{count}-["binary",{PLACEHOLDER}]"#);
    for (count, frames) in [(16, &[100_000, 100_000, 100_000][..]), (17, &[])] {
        let mut ann = cluster.player("Ann").await;
        let mut in_room = ann.enter("create", json!({})).await;
        in_room.event("joined").await;
        for mut client in [in_room, cluster.visitor().await] {
            client.send(parts(count));
            frames.iter().for_each(|bytes| client.send_bytes(&vec![1; *bytes]));
            client.end().await;
        }
    }
}

#[tokio::test]
async fn the_lobby_refuses_binary_events() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let answer = ann.lobby().ask_binary(&[1, 2, 3]).await;
    assert_eq!(answer["error"]["code"], "unknown_event");
    let mut visitor = cluster.visitor().await;
    let answer = visitor.ask_binary(&[1, 2, 3]).await;
    assert_eq!(answer["error"]["code"], "not_registered");
    ann.ask("list", json!({})).await.expect("still there");
}

//! Invalid tokens, each with a name, also those that the library alone would accept. All are signed
//! with the lobby's own key unless noted, though an attacker has no key.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};

use crate::auth::Tokens;
use crate::auth::token::{KIND, MAX_CLOCK_SKEW, MAX_TOKEN_BYTES};
use crate::types::Refusal;

const ISSUER: &str = "this-lobby";
const KEY: [u8; 32] = *b"thirty-two bytes that are random";
const NOW: u64 = 1_800_000_000;
const TTL: u64 = 1000;
const HEADER: &str = r#"{"typ":"JWT","alg":"HS256"}"#;
const TEXTS: [&str; 5] = ["iss", "kind", "sid", "sub", "name"];
const NUMBERS: [&str; 2] = ["iat", "exp"];

type Named = (String, String);

#[test]
fn any_token_the_lobby_did_not_issue_is_refused() {
    let lobby = lobby();
    assert!(lobby.verify(&good(), NOW).is_ok(), "what follows differs from this in one thing");
    let forged = [headers(), claims(), keys(), texts()].concat();
    assert!(forged.len() >= 180, "{}", forged.len());
    for (name, token) in &forged {
        assert_eq!(lobby.verify(token, NOW), Err(Refusal::BAD_TOKEN), "{name}: {token}");
    }
    assert_eq!(lobby.rejected.count.load(Relaxed), forged.len() as u64, "each is counted");
    assert!(lobby.verify(&good(), NOW).is_ok());
}

#[test]
fn no_bit_of_a_token_can_be_changed() {
    let (lobby, token) = (lobby(), good());
    for at in 0..token.len() {
        for bit in 0..7 {
            let mut bytes = token.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let changed = String::from_utf8(bytes).expect("still ASCII");
            let verified = lobby.verify(&changed, NOW);
            assert_eq!(verified, Err(Refusal::BAD_TOKEN), "bit {bit} of byte {at}: {changed}");
        }
    }
}

#[test]
fn a_token_is_good_at_its_time_alone() {
    let (lobby, mut claims) = (lobby(), good_claims());
    for (name, iat, exp) in [
        ("expired", NOW - 10, NOW),
        ("expired long ago", 0, 10),
        ("over before it began", NOW, NOW - 1),
        ("older than tokens get now", NOW - TTL, NOW + TTL),
        ("without an end, and old", NOW - TTL, u64::MAX),
        ("from the day after tomorrow", NOW + 1 + MAX_CLOCK_SKEW, NOW + 2 * MAX_CLOCK_SKEW),
        ("from the end of time", u64::MAX, u64::MAX),
    ] {
        (claims["iat"], claims["exp"]) = (json!(iat), json!(exp));
        let token = signed(HEADER, &claims.to_string());
        assert_eq!(lobby.verify(&token, NOW), Err(Refusal::BAD_TOKEN), "{name}");
    }
    assert_eq!(lobby.rejected.count.load(Relaxed), 0, "these are no guesses");
}

fn lobby() -> Tokens {
    Tokens::new(ISSUER, &KEY, None, Duration::from_secs(TTL))
}

fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "kind": KIND, "sid": "0123456789abcdef", "sub": "p1", "name": "Ann?~",
        "iat": NOW, "exp": NOW + TTL,
    })
}

fn good() -> String {
    signed(HEADER, &good_claims().to_string())
}

/// Other algorithms, and headers with missing or additional fields.
fn headers() -> Vec<Named> {
    let mut forged = Vec::new();
    let claims = good_claims().to_string();
    let named = |header: &str| format!("the header {header}");
    for algorithm in ["none", "None", "nOnE", "NONE", ""] {
        let header = json!({ "typ": "JWT", "alg": algorithm }).to_string();
        let unsigned = signed(&header, &claims);
        let unsigned = unsigned.rsplit_once('.').expect("three parts").0;
        forged.push((format!("{} without a signature", named(&header)), format!("{unsigned}.")));
        forged.push((format!("{} in two parts", named(&header)), unsigned.to_owned()));
    }
    let others =
        ["HS384", "HS512", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA", "hs256", "none"];
    let algorithms = others.map(|other| format!(r#"{{"typ":"JWT","alg":"{other}"}}"#));
    let rest = [
        "",
        "null",
        "{}",
        "[]",
        "HS256",
        "{",
        r#"{"typ":"JWT"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"typ":"JWT","alg":null}"#,
        r#"{"typ":"JWT","alg":256}"#,
        r#"{"typ":"JWT","alg":["HS256"]}"#,
        r#"{"typ":"jwt","alg":"HS256"}"#,
        r#"{"typ":"JWE","alg":"HS256"}"#,
        r#"{"typ":"JWT","alg":"none","alg":"HS256"}"#,
        r#"{"typ":"JWT","alg":"HS256","alg":"none"}"#,
        r#"{"typ":"JWT","alg":"HS256","kid":"../../dev/null"}"#,
        r#"{"typ":"JWT","alg":"HS256","cty":"JWT"}"#,
        r#"{"typ":"JWT","alg":"HS256","crit":["exp"]}"#,
        r#"{"typ":"JWT","alg":"HS256","zip":"DEF"}"#,
        r#"{"typ":"JWT","alg":"HS256","b64":false}"#,
        r#"{"typ":"JWT","alg":"HS256","jku":"http://127.0.0.1/keys"}"#,
        r#"{"typ":"JWT","alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#,
        r#"{"typ":"JWT","alg":"HS256","x5u":"http://127.0.0.1/cert"}"#,
        r#"{"typ":"JWT","alg":"HS256"} {}"#,
    ];
    let all = algorithms.iter().map(String::as_str).chain(rest);
    forged.extend(all.map(|header| (named(header), signed(header, &claims))));

    let by_512 = head(&HEADER.replace("256", "512"), &claims);
    let by_384 = head(&HEADER.replace("256", "384"), &claims);
    let mac_512 = Hmac::<Sha512>::new_from_slice(&KEY).unwrap().chain_update(&by_512).finalize();
    let mac_384 = Hmac::<Sha384>::new_from_slice(&KEY).unwrap().chain_update(&by_384).finalize();
    forged.extend([
        ("really HS512".into(), format!("{by_512}.{}", base64(&mac_512.into_bytes()))),
        ("really HS384".into(), format!("{by_384}.{}", base64(&mac_384.into_bytes()))),
    ]);
    forged
}

/// Each claim missing, of another type, or with another value.
fn claims() -> Vec<Named> {
    let mut forged = Vec::new();
    let mut forge = |name: String, claims: &str| forged.push((name, signed(HEADER, claims)));
    for claim in TEXTS.into_iter().chain(NUMBERS) {
        let mut without = good_claims();
        without.as_object_mut().expect("an object").remove(claim);
        forge(format!("no {claim}"), &without.to_string());
        let own = &good_claims()[claim];
        let number = json!(5);
        let other_type = if own.is_number() { json!(own.to_string()) } else { number };
        for value in
            [json!(null), json!(true), json!(""), json!([own]), json!({ "": own }), other_type]
        {
            let mut claims = good_claims();
            claims[claim] = value.clone();
            forge(format!("{claim} is {value}"), &claims.to_string());
        }
        let twice = good_claims().to_string().replacen('{', &format!(r#"{{"{claim}":{own},"#), 1);
        forge(format!("{claim} twice"), &twice);
    }
    for claim in NUMBERS {
        for number in
            ["1800000500.0", "1.8000005e9", "-1", "18446744073709551616", "1e300", "1e999"]
        {
            let own = format!(r#""{claim}":{}"#, good_claims()[claim]);
            let claims = good_claims().to_string();
            let changed = claims.replace(&own, &format!(r#""{claim}":{number}"#));
            assert_ne!(claims, changed);
            forge(format!("{claim} is {number}"), &changed);
        }
    }
    for (claim, value) in [
        ("iss", json!("another-lobby")),
        ("iss", json!(format!("x{ISSUER}"))),
        ("iss", json!(format!("{ISSUER} "))),
        ("iss", json!([ISSUER, "another-lobby"])),
        ("kind", json!("ticket")),
        ("kind", json!("Player")),
        ("aud", json!("another-lobby")),
        ("aud", json!(["another-lobby"])),
    ] {
        let mut claims = good_claims();
        claims[claim] = value.clone();
        forge(format!("{claim} is {value}"), &claims.to_string());
    }
    let good = good_claims();
    let values = ["iss", "kind", "sid", "sub", "name", "iat", "exp"].map(|claim| &good[claim]);
    forge("the values without their names".to_owned(), &json!(values).to_string());
    let good = good.to_string();
    for claims in ["", "null", "5", "\"\"", "[]", "{}", &format!("[{good}]"), &format!("{good}x")] {
        forge(format!("the claims {claims}"), claims);
    }
    forged
}

/// Signed with another key.
fn keys() -> Vec<Named> {
    let hex: String = KEY.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut other = KEY;
    other[31] ^= 1;
    let keys: [(&str, &[u8]); 7] = [
        ("a key that differs in one bit", &other),
        ("the beginning of the key", &KEY[..31]),
        ("the key twice", &[KEY, KEY].concat()),
        ("the key in hexadecimal", hex.as_bytes()),
        ("zeros", &[0; 32]),
        ("no key", &[]),
        ("the word secret", b"secret"),
    ];
    let claims = good_claims().to_string();
    keys.map(|(name, key)| (name.to_owned(), signed_with(key, HEADER, &claims))).to_vec()
}

/// A valid token whose text was changed.
fn texts() -> Vec<Named> {
    let good = good();
    let parts: Vec<&str> = good.split('.').collect();
    let [header, claims, signature] = parts[..] else { panic!("three parts") };
    let mut bob = good_claims();
    bob["sub"] = json!("p2");
    let bobs = signed(HEADER, &bob.to_string());
    let (_, bobs_signature) = bobs.rsplit_once('.').expect("three parts");
    let bobs_claims = bobs.split('.').nth(1).expect("three parts");
    let mut long = good_claims();
    long["name"] = json!("x".repeat(MAX_TOKEN_BYTES));
    // The last character carries two bits that decode to nothing.
    let loose = format!("{}{}", &good[..good.len() - 1], next_character(&good));
    let mut forged = vec![
        ("nothing", String::new()),
        ("one dot", ".".into()),
        ("two dots", "..".into()),
        ("three dots", "...".into()),
        ("only words", "x.y.z".into()),
        ("without a signature", format!("{header}.{claims}")),
        ("with an empty signature", format!("{header}.{claims}.")),
        ("without claims", format!("{header}..{signature}")),
        ("without a header", format!(".{claims}.{signature}")),
        ("the header alone", header.into()),
        ("header and signature", format!("{header}.{signature}")),
        ("two parts changed places", format!("{claims}.{header}.{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot after", format!("{good}.")),
        ("two dots in the middle", format!("{header}..{claims}.{signature}")),
        ("a fourth part", format!("{good}.{signature}")),
        ("twice", format!("{good}{good}")),
        ("twice, with a dot", format!("{good}.{good}")),
        ("a space before", format!(" {good}")),
        ("a space after", format!("{good} ")),
        ("a space in the middle", format!("{header}. {claims}.{signature}")),
        ("a line's end after", format!("{good}\n")),
        ("a line's end in the middle", format!("{header}.\r\n{claims}.{signature}")),
        ("a zero after", format!("{good}\0")),
        ("a padded signature", format!("{good}=")),
        ("padded claims", format!("{header}.{claims}=.{signature}")),
        ("a padded header", format!("{header}=.{claims}.{signature}")),
    ];
    forged.extend(disguised(&good, signature));
    forged.extend([
        ("loose bits at the end", loose),
        ("somebody else's signature", format!("{header}.{claims}.{bobs_signature}")),
        ("somebody else's claims", format!("{header}.{bobs_claims}.{signature}")),
        ("zeros for a signature", format!("{header}.{claims}.{}", "A".repeat(43))),
        ("crabs", "🦀.🦀.🦀".into()),
        ("2049 bytes", "a".repeat(MAX_TOKEN_BYTES + 1)),
        ("2049 dots", ".".repeat(MAX_TOKEN_BYTES + 1)),
        ("well signed, but too long", signed(HEADER, &long.to_string())),
    ]);
    forged.retain(|(_, token)| *token != good);
    forged.into_iter().map(|(name, token)| (name.to_owned(), token)).collect()
}

/// A valid token in other encodings or in part.
fn disguised(good: &str, signature: &str) -> Vec<(&'static str, String)> {
    let backwards: String = signature.chars().rev().collect();
    let unsigned = &good[..good.len() - signature.len()];
    vec![
        ("the other alphabet of base64", good.replace('-', "+").replace('_', "/")),
        ("in capitals", good.to_uppercase()),
        ("percent-encoded", good.replace('.', "%2e")),
        ("in quotes", format!("\"{good}\"")),
        ("as a header says it", format!("Bearer {good}")),
        ("a signature that was turned round", format!("{unsigned}{backwards}")),
        ("a letter with dots", format!("{good}ä")),
        ("wide letters", good.replace('e', "ｅ")),
        ("letters from right to left", format!("\u{202e}{good}")),
        ("a mark of byte order before", format!("\u{feff}{good}")),
        ("half a signature", good[..good.len() - 22].into()),
        ("the last character is missing", good[..good.len() - 1].into()),
        ("the first character is missing", good[1..].into()),
    ]
}

/// Replaces the last character by the next one of the base64 alphabet.
fn next_character(text: &str) -> char {
    let last = text.bytes().last().and_then(|last| ALPHABET.iter().position(|c| *c == last));
    char::from(ALPHABET[last.expect("base64") + 1])
}

fn signed(header: &str, claims: &str) -> String {
    signed_with(&KEY, header, claims)
}

fn signed_with(key: &[u8], header: &str, claims: &str) -> String {
    let head = head(header, claims);
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(&head).finalize();
    format!("{head}.{}", base64(&mac.into_bytes()))
}

fn head(header: &str, claims: &str) -> String {
    format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()))
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64(bytes: &[u8]) -> String {
    let six_bits = |chunk: &[u8]| {
        let bits =
            chunk.iter().chain(&[0; 3]).take(3).fold(0, |all, byte| all << 8 | *byte as usize);
        let digits = [18, 12, 6, 0].map(|shift| char::from(ALPHABET[bits >> shift & 63]));
        digits.into_iter().take(chunk.len() + 1).collect::<String>()
    };
    bytes.chunks(3).map(six_bits).collect()
}

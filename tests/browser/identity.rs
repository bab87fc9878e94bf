//! The recipe for identity from a proxy: its configurations of nginx and Caddy, with a mock of
//! oauth2-proxy that logs everybody in as Ann.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use cluster::testing::{LobbyProcess, Signal};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, spawn_blocking};

use super::chromium::Browser;
use super::proxy::{NAME, Ports, Program, Proxy, Rooms};
use crate::template::helpers::{Workshop, must, read};
use crate::template::recipe::Recipe;

const KEEPS: &str = "on_disconnect\");\n        Some(Duration::from_secs(60))";

#[tokio::test]
async fn behind_nginx_and_caddy_a_login_makes_the_player_and_a_forged_header_does_not() -> Result<()>
{
    let workshop = Recipe::read("identity").follow_from_blank();
    workshop.install_libraries();
    // A room that keeps seats.
    let room = read(&workshop.project, "src/room.rs");
    let keeps = room.replace("on_disconnect\");\n        None", KEEPS);
    ensure!(room != keeps, "on_disconnect has changed");
    fs::write(workshop.project.join("src/room.rs"), keeps)?;
    must(&mut workshop.cargo(&["build", "--locked", "--quiet"]));
    for program in [Program::Nginx, Program::Caddy] {
        a_forged_header_is_removed(&workshop, program).await?;
        ann_plays_and_returns(&workshop, program).await?;
    }
    Ok(())
}

async fn ann_plays_and_returns(workshop: &Workshop, program: Program) -> Result<()> {
    let ports = Ports::free();
    let url = format!("https://{NAME}:{}", ports.https);
    let lobby = LobbyProcess::builder(workshop.target.join("debug/server"));
    let lobby = lobby.working_dir(&workshop.project).on_line(|line| println!("{line}"));
    let lobby = lobby.flags(&["--dev", "--client-address-header", "x-forwarded-for"]);
    let lobby = lobby.flags(&["--port", &ports.lobby.to_string(), "--public-url", &url]);
    let mut lobby = lobby.start().await;
    let login = Mock::start(log_in).await?;
    let _proxy = start(program, workshop, &login, ports).await?;

    let name_is_here = format!("--host-resolver-rules=MAP {NAME} 127.0.0.1");
    let browser = Browser::start_with(&[&name_is_here, "--ignore-certificate-errors"]).await?;
    let page = browser.open(&url).await?;
    page.until_shows("#play", "Welcome, ann").await?;
    page.click("#join").await?;
    page.until_at("room 1").await?;
    page.reload().await?;
    page.until_at("room 1").await?;
    page.until_shows("#players", "ann").await?;
    let kept = page.eval("document.cookie.includes('token') || localStorage.length > 0").await?;
    ensure!(kept == false, "the page keeps a token");
    page.is_safe().await?;

    lobby.signal(Signal::TERM);
    lobby.ended().await;
    let counts = lobby.logged("lobby stopped").await;
    ensure!(counts["handed_off"] == 2 && counts["relayed"] == 0, "{counts}");
    Ok(())
}

/// Sends headers of Eve's to a mock of the lobby, which says what it got.
async fn a_forged_header_is_removed(workshop: &Workshop, program: Program) -> Result<()> {
    let ports = Ports::free();
    let address = format!("127.0.0.1:{}", ports.lobby);
    let echo = |head: &str| format!("HTTP/1.1 200 OK\r\nX-Echo: yes\r\n\r\n{head}");
    let _lobby = Mock::listen(TcpListener::bind(address).await?, echo)?;
    let login = Mock::start(log_in).await?;
    let _proxy = start(program, workshop, &login, ports).await?;
    let forged = "X-Auth-Request-Email: eve@example.org\r\nx-auth-request-email: eve@example.org";
    for (cookie, passes, expected) in [
        ("login=ann", true, vec!["x-auth-request-email: ann@example.org"]),
        // Logged in, but the login does not say as whom.
        ("login=nobody", true, vec![]),
        ("login=", false, vec![]),
    ] {
        for path in ["/socket.io/?EIO=4&transport=websocket", "/rooms/1/socket.io/"] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {NAME}:{}\r\nCookie: {cookie}\r\n{forged}\r\n\
                 Connection: close\r\n\r\n",
                ports.https
            );
            let answer = ask(ports.https, request).await?.to_lowercase();
            ensure!(answer.contains("x-echo: yes") == passes, "{cookie} {path}: {answer}");
            ensure!(!answer.contains("eve@"), "{cookie} {path}: {answer}");
            let header = "x-auth-request-email: ";
            let named = answer
                .lines()
                .filter(|line| line.strip_prefix(header).is_some_and(|value| value.contains('@')));
            ensure!(named.eq(expected.iter().copied()), "{cookie} {path}: {answer}");
        }
    }
    Ok(())
}

async fn start(program: Program, workshop: &Workshop, login: &Mock, ports: Ports) -> Result<Proxy> {
    let sample = program.read(&workshop.project.join("deploy"))?;
    let sample = sample.with("127.0.0.1:4180", &format!("127.0.0.1:{}", login.port))?;
    Proxy::start_with(program, sample, Rooms::Apart, ports).await
}

/// As oauth2-proxy answers. Its page of the login logs in as Ann at once.
fn log_in(head: &str) -> String {
    let email = "X-Auth-Request-Email: ann@example.org\r\n";
    let refresh = "<meta http-equiv='refresh' content='0; url=/'>";
    let (status, headers, body) = match head {
        _ if !head.starts_with("GET /oauth2/auth") => {
            ("200 OK", "Set-Cookie: login=ann; Path=/\r\nContent-Type: text/html\r\n", refresh)
        }
        _ if head.contains("login=ann") => ("202 Accepted", email, ""),
        _ if head.contains("login=nobody") => ("202 Accepted", "", ""),
        _ => ("401 Unauthorized", "", ""),
    };
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A server that answers each request by its head, and closes the connection.
struct Mock {
    port: u16,
    accepting: AbortHandle,
}

impl Mock {
    async fn start(answer: fn(&str) -> String) -> Result<Mock> {
        Mock::listen(TcpListener::bind("127.0.0.1:0").await?, answer)
    }

    fn listen(listener: TcpListener, answer: fn(&str) -> String) -> Result<Mock> {
        let port = listener.local_addr()?.port();
        let accept = async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await?);
                    }
                    let answer = answer(&String::from_utf8_lossy(&head));
                    let answer = answer.replacen("\r\n", "\r\nConnection: close\r\n", 1);
                    stream.write_all(answer.as_bytes()).await
                });
            }
        };
        Ok(Mock { port, accepting: tokio::spawn(accept).abort_handle() })
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Sends a request over TLS. Returns the answer.
async fn ask(port: u16, request: String) -> Result<String> {
    let ask = move || {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-servername", NAME, "-connect"]);
        openssl.arg(format!("127.0.0.1:{port}"));
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = openssl.spawn().context("openssl is missing")?;
        // Held until the answer has come: its end would end the connection.
        let mut stdin = process.stdin.take().context("piped")?;
        stdin.write_all(request.as_bytes())?;
        let output = process.wait_with_output()?;
        drop(stdin);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    spawn_blocking(ask).await?
}

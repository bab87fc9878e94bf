//! Rooms on a host: the page goes to the host's own address, and to the lobby if it cannot.

use std::net::TcpListener;
use std::process::{Child, Command};

use anyhow::{Result, ensure};
use cluster::testing::{LobbyProcess, TestFolder};

use super::chromium::Browser;
use super::project::Project;
use super::story::register;

/// A lobby with a host, which is killed on drop.
struct Cluster {
    lobby: LobbyProcess,
    host: Child,
}

impl Cluster {
    /// Browsers are told that the host is at this port of 127.0.0.2, or else at its own.
    async fn start(told: Option<u16>) -> Result<Cluster> {
        let project = Project::get()?;
        let folder = TestFolder::new();
        let key = |name| folder.path().join(name);
        let server = || {
            let mut server = Command::new(&project.program);
            server.env("CLUSTER_KEY_FILE", key("lobby.key")).current_dir(folder.path());
            server
        };
        std::fs::write(key("link.key"), server().arg("link-key").output()?.stdout)?;
        let [link, port, public] = ["127.0.0.1", "127.0.0.2", "127.0.0.1"].map(free_port);
        let url = format!("http://127.0.0.2:{}", told.unwrap_or(port));
        let host = server()
            .args(["host", "--name", "h1", "--host", "127.0.0.2", "--public-url", &url])
            .args(["--link", &format!("127.0.0.1:{link}"), "--port", &port.to_string()])
            .spawn()?;
        let public_url = format!("http://127.0.0.1:{public}");
        let hosts = format!("127.0.0.1:{link}");
        let flags = ["--hosts", &hosts, "--public-url", &public_url, "--port", &public.to_string()];
        let lobby = LobbyProcess::builder(&project.program).working_dir(&project.folder);
        let lobby = lobby.folder(&folder).flags(&flags).start().await;
        lobby.logged("host linked").await;
        Ok(Cluster { lobby, host })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.host.kill();
        let _ = self.host.wait();
    }
}

fn free_port(address: &str) -> u16 {
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[tokio::test]
async fn a_page_plays_at_the_address_of_the_host() -> Result<()> {
    let cluster = Cluster::start(None).await?;
    let browser = Browser::start().await?;
    let page = browser.open(&cluster.lobby.url).await?;
    register(&page, "Ann").await?;
    page.click("#join-any").await?;
    page.until_at("room h1-1").await?;
    ensure!(cluster.lobby.count("relayed") == 0, "through the lobby");
    page.is_content()
}

#[tokio::test]
async fn a_page_that_cannot_reach_the_host_is_relayed_by_the_lobby() -> Result<()> {
    // Nobody listens there.
    let cluster = Cluster::start(Some(1)).await?;
    let browser = Browser::start().await?;
    let page = browser.open(&cluster.lobby.url).await?;
    register(&page, "Ann").await?;
    page.click("#join-any").await?;
    page.until_at("room h1-1").await?;
    cluster.lobby.logged("relayed").await;
    Ok(())
}

//! The client libraries without `npm ci`: from a CDN, here a mock.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use cluster::testing::{LobbyProcess, TestFolder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::chromium::{Browser, Page};
use super::project::Project;
use super::story::register;

/// What the mock CDN answers.
#[derive(Clone, Copy)]
enum Cdn {
    Works,
    ServesSomethingElse,
    IsDown,
}

#[tokio::test]
async fn without_node_modules_the_libraries_come_from_the_cdn() -> Result<()> {
    let (_lobby, _folder, _browser, page) = open_without_libraries(Cdn::Works).await?;
    register(&page, "Ann").await?;
    page.click("#join-any").await?;
    page.until_at("room 1").await?;
    ensure!(page.eval("notices.some((notice) => notice.includes('npm ci'))").await? == false);
    page.is_content()
}

#[tokio::test]
async fn libraries_that_are_not_the_right_ones_are_not_run_and_a_notice_says_what_to_do()
-> Result<()> {
    let (_lobby, _folder, _browser, page) =
        open_without_libraries(Cdn::ServesSomethingElse).await?;
    page.until_shows("#notice", "npm ci").await?;
    ensure!(page.eval("window.ranSomethingElse === undefined").await? == true);
    Ok(())
}

#[tokio::test]
async fn without_a_cdn_a_notice_says_what_to_do_and_doing_it_helps() -> Result<()> {
    let (_lobby, folder, _browser, page) = open_without_libraries(Cdn::IsDown).await?;
    page.until_shows("#notice", "npm ci").await?;
    // What `npm ci` does, without its network.
    symlink(Project::get()?.folder.join("node_modules"), folder.path().join("node_modules"))?;
    page.click("#resume").await?;
    register(&page, "Ann").await?;
    page.reload().await?;
    page.until_at("lobby").await?;
    page.until_shows("#hop-you", "Ann").await
}

/// A page of a lobby whose `static` folder has no `node_modules` beside it.
async fn open_without_libraries(
    cdn: Cdn,
) -> Result<(LobbyProcess, Arc<TestFolder>, Browser, Page)> {
    let project = Project::get()?;
    let folder = TestFolder::new();
    let pages = folder.path().join("static");
    fs::create_dir(&pages)?;
    for file in fs::read_dir(project.folder.join("static"))? {
        let file = file?;
        fs::copy(file.path(), pages.join(file.file_name()))?;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    match cdn {
        Cdn::IsDown => drop(listener),
        Cdn::Works | Cdn::ServesSomethingElse => drop(tokio::spawn(serve(listener, cdn))),
    }
    let pages = pages.to_str().context("a path that is not text")?;
    let lobby = project.start_lobby(&["--static-dir", pages, "--cdn", &address]).await;
    let browser = Browser::start().await?;
    let page = browser.open(&lobby.url).await?;
    Ok((lobby, folder, browser, page))
}

async fn serve(listener: TcpListener, cdn: Cdn) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, cdn));
    }
}

/// `GET /PACKAGE@VERSION/FILE`, as at the CDN.
async fn answer(mut stream: TcpStream, cdn: Cdn) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        ensure!(stream.read_buf(&mut request).await? > 0, "half a request");
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split(' ').nth(1).context("no path")?;
    let (package, file) = path.trim_start_matches('/').split_once('/').context("no file")?;
    let (name, version) = package.split_once('@').context("no version")?;
    let package = Project::get()?.folder.join("node_modules").join(name);
    ensure!(is_version(&package, version)?, "{name} {version} is not what is installed");
    let body = match cdn {
        Cdn::Works => fs::read_to_string(package.join(file))?,
        Cdn::ServesSomethingElse | Cdn::IsDown => "window.ranSomethingElse = true;".into(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nAccess-Control-Allow-Origin: *\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

fn is_version(package: &Path, version: &str) -> Result<bool> {
    let manifest = fs::read_to_string(package.join("package.json"))?;
    Ok(serde_json::from_str::<serde_json::Value>(&manifest)?["version"] == version)
}

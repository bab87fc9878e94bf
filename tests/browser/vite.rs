//! The recipe for Vite and TypeScript: its page, built and served by the lobby, and through Vite's
//! own server.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};
use cluster::testing::{LobbyProcess, free_port};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::chromium::{Browser, LOOK, PATIENCE, Page};
use super::project::Project;
use crate::template::helpers::{Folder, Template, must, read, run};
use crate::template::recipe::Recipe;

#[tokio::test]
async fn a_typescript_page_is_built_by_vite_and_plays() -> Result<()> {
    let program = Project::of("blank")?.program.clone();
    let (recipe, folder) = (Recipe::read("vite"), Folder::new());
    let answers = ["--name", "typed", "--silent", "-d", "example=blank"];
    Template::new().generate(folder.path()).args(&answers).succeed();
    let project = &folder.path().join("typed");
    must(shell(project).args(["-e", "-c", recipe.block("npm install")]));
    recipe.follow(project);

    // No folder has an index.html yet, and the lobby says so.
    let (success, said) = run(Command::new(&program).current_dir(project).args(["--port", "0"]));
    ensure!(!success && said.contains("no index.html"), "{said}");
    must(shell(project).args(["-e", "-c", recipe.block("npm run build")]));

    let lobby = LobbyProcess::builder(&program).working_dir(project).flags(&["--dev"]);
    let lobby = lobby.on_line(|line| println!("{line}")).start().await;
    let browser = Browser::start().await?;
    play(&browser, &lobby.url, "Ann").await?;
    a_bundle_plays_below_a_path(&program, project, &browser).await?;

    let (vite, url) = Vite::start(project, &lobby).await?;
    let page = play(&browser, &url, "Bob").await?;
    a_saved_file_is_shown(project, &page).await?;
    drop(vite);
    a_field_that_does_not_exist_is_found(project)
}

/// As the recipe's last sentence says.
async fn a_bundle_plays_below_a_path(
    program: &Path,
    project: &Path,
    browser: &Browser,
) -> Result<()> {
    let client = read(project, "page/client.ts");
    let options = "url: location.origin + \"/game\", storage: cookieStorage(Cookies, \"/game\")";
    let changed = client.replace("storage: cookieStorage(Cookies)", options);
    ensure!(client != changed, "the page has other options");
    fs::write(project.join("page/client.ts"), changed)?;
    let build = ["vite", "build", "--base", "/game/"];
    must(Command::new("npx").current_dir(project).args(build));
    fs::write(project.join("page/client.ts"), client)?;

    let port = free_port().to_string();
    let url = format!("http://127.0.0.1:{port}/game");
    let lobby = LobbyProcess::builder(program).working_dir(project).flags(&["--dev"]);
    let _lobby = lobby.flags(&["--port", &port, "--public-url", &url]).start().await;
    let page = play(browser, &url, "Cem").await?;
    ensure!(page.eval("localStorage.getItem('cluster-token/game-Cem')").await?.is_string());
    Ok(())
}

/// Registers, and says hello in a room.
async fn play(browser: &Browser, url: &str, name: &str) -> Result<Page> {
    let page = browser.open(&format!("{url}/?as={name}")).await?;
    page.until_at("lobby").await?;
    page.click("#register input").await?;
    page.write(name).await?;
    page.press("Enter").await?;
    page.until_shows("#play", &format!("Welcome, {name}")).await?;
    page.click("#wave").await?;
    page.until_shows("#news", &format!("{name} waves")).await?;
    page.click("#join").await?;
    page.until_at("room 1").await?;
    page.click("#hello").await?;
    page.until_shows("#greeting", &format!("{name} says hello")).await?;
    page.until_shows("#players", name).await?;
    page.is_safe().await?;
    page.is_content()?;
    Ok(page)
}

async fn a_saved_file_is_shown(project: &Path, page: &Page) -> Result<()> {
    let client = read(project, "page/client.ts");
    let changed = client.replace("You are in room", "Here you are: room");
    ensure!(client != changed, "the page says something else");
    fs::write(project.join("page/client.ts"), changed)?;
    // The page has loaded again, and the player is back in the lobby.
    page.until_shows("#play", "Play").await?;
    page.click("#join").await?;
    page.until_shows("#notice", "Here you are: room").await
}

fn a_field_that_does_not_exist_is_found(project: &Path) -> Result<()> {
    let client = read(project, "page/client.ts");
    fs::write(project.join("page/client.ts"), client.replace("data.text", "data.texts"))?;
    let (success, said) = run(Command::new("npm").current_dir(project).args(["run", "check"]));
    ensure!(!success && said.contains("page/client.ts") && said.contains("texts"), "{said}");
    Ok(())
}

fn shell(project: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.current_dir(project);
    shell
}

/// `npm run dev`. Ends when dropped.
struct Vite(Child);

impl Vite {
    async fn start(project: &Path, lobby: &LobbyProcess) -> Result<(Vite, String)> {
        let config = read(project, "vite.config.ts");
        let address = lobby.url.trim_start_matches("http://");
        ensure!(config.contains("127.0.0.1:3000"), "{config}");
        fs::write(project.join("vite.config.ts"), config.replace("127.0.0.1:3000", address))?;
        let port = free_port();
        let mut npm = Command::new("npm");
        npm.args(["run", "dev", "--", "--strictPort", "--port", &port.to_string()]);
        // A group of its own, since npm starts Vite in a shell.
        npm.current_dir(project).stdin(Stdio::null()).process_group(0);
        let mut vite = Vite(npm.spawn()?);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("localhost", port)).await.is_err() {
            ensure!(vite.0.try_wait()?.is_none(), "Vite has ended");
            ensure!(Instant::now() < deadline, "Vite does not listen");
            sleep(LOOK).await;
        }
        Ok((vite, format!("http://localhost:{port}")))
    }
}

impl Drop for Vite {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

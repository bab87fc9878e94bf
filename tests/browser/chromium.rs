//! Headless Chromium, driven by the DevTools protocol: expressions, keys, mouse and touch. It keeps
//! the browser's errors and warnings, for tests that expect none.

use std::collections::HashMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use cluster::testing::TestFolder;
use futures_util::{SinkExt as _, StreamExt as _};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

/// A generous timeout, also for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often a condition is polled.
pub const LOOK: Duration = Duration::from_millis(40);

/// Runs in each page before its own scripts, and records what polling could miss: notices, policy
/// violations, elements that no page of ours creates.
const REMEMBER: &str = "window.notices = [];
addEventListener('DOMContentLoaded', () => {
  const notice = document.getElementById('notice');
  new MutationObserver(() => notices.push(notice.textContent)).observe(notice, { childList: true });
});
window.forbidden = [];
addEventListener('securitypolicyviolation', ({ effectiveDirective: what, blockedURI }) =>
  forbidden.push(`${what} ${blockedURI}`));
window.made = [];
new MutationObserver((changes) => {
  for (const node of changes.flatMap(({ addedNodes }) => [...addedNodes]).filter((node) => node.matches))
    for (const e of [node, ...node.querySelectorAll('*')])
      if (e.matches('b, i, img, svg, iframe, script:not([src]), [onload], [onerror], [href^=\"javascript:\" i]'))
        made.push(e.outerHTML);
}).observe(document, { childList: true, subtree: true });";

/// A browser with its own profile; its pages share cookies. Ends when dropped.
pub struct Browser {
    process: Child,
    wire: Wire,
    _profile: Arc<TestFolder>,
}

impl Browser {
    pub async fn start() -> Result<Browser> {
        Browser::start_with(&[]).await
    }

    pub async fn start_with(flags: &[&str]) -> Result<Browser> {
        Browser::start_in(TestFolder::new(), flags).await
    }

    /// A browser that blocks cookies and all other storage.
    pub async fn start_without_cookies() -> Result<Browser> {
        let profile = TestFolder::new();
        let blocked = json!({ "profile": { "default_content_setting_values": { "cookies": 2 } } });
        fs::create_dir(profile.path().join("Default"))?;
        fs::write(profile.path().join("Default/Preferences"), blocked.to_string())?;
        Browser::start_in(profile, &[]).await
    }

    async fn start_in(profile: Arc<TestFolder>, flags: &[&str]) -> Result<Browser> {
        let process = Command::new("chromium")
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
            .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
            .args(["--disable-component-update", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(flags)
            // Temporary files are deleted with the profile.
            .env("TMPDIR", profile.path())
            // Not the server's time zone, so that a log without conversion fails.
            .env("TZ", "Asia/Kolkata")
            // Ends its child processes, too.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("chromium is missing: install it (on Debian, `apt-get install chromium`)")?;
        let mut browser = Browser { process, wire: Wire::default(), _profile: profile };
        browser.wire = Wire::connect(&browser.address().await?).await?;
        Ok(browser)
    }

    /// Chromium writes its port and path to a file when it listens.
    async fn address(&mut self) -> Result<String> {
        let file = self._profile.path().join("DevToolsActivePort");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = fs::read_to_string(&file).unwrap_or_default();
            if let Some((port, path)) = text.split_once('\n')
                && !path.is_empty()
            {
                return Ok(format!("ws://127.0.0.1:{port}{path}"));
            }
            if let Some(status) = self.process.try_wait()? {
                bail!("chromium has ended: {status}");
            }
            ensure!(Instant::now() < deadline, "chromium does not listen");
            sleep(LOOK).await;
        }
    }

    /// Opens a window, and waits until its page is loaded and polls the server's log.
    pub async fn open(&self, url: &str) -> Result<Page> {
        self.open_on(&Device::LAPTOP, url).await
    }

    pub async fn open_on(&self, device: &Device, url: &str) -> Result<Page> {
        self.open_after(device, "", url).await
    }

    /// Runs a script in the page before its own scripts.
    pub async fn open_after(&self, device: &Device, script: &str, url: &str) -> Result<Page> {
        let new = json!({ "url": "about:blank", "newWindow": true });
        let target = self.wire.ask(None, "Target.createTarget", new).await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.wire.ask(None, "Target.attachToTarget", attach).await?;
        let session = session["sessionId"].as_str().context("no session")?.to_owned();
        let page = Page { session, wire: self.wire.clone() };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await?;
        }
        let &Device { width, height, scale, phone, dark } = device;
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone,
        });
        page.call("Emulation.setDeviceMetricsOverride", metrics).await?;
        let touch = json!({ "enabled": phone, "maxTouchPoints": 1 });
        page.call("Emulation.setTouchEmulationEnabled", touch).await?;
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        page.call("Emulation.setEmulatedMedia", media).await?;
        // All windows count as focused, so that none is throttled.
        page.call("Emulation.setFocusEmulationEnabled", json!({ "enabled": true })).await?;
        let script = json!({ "source": format!("{REMEMBER}\n{script}") });
        page.call("Page.addScriptToEvaluateOnNewDocument", script).await?;
        page.call("Page.navigate", json!({ "url": url })).await?;
        page.until_watching().await?;
        Ok(page)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
    }
}

pub struct Device {
    pub width: u32,
    pub height: u32,
    pub scale: u32,
    pub phone: bool,
    pub dark: bool,
}

impl Device {
    pub const LAPTOP: Device =
        Device { width: 1280, height: 800, scale: 1, phone: false, dark: false };
    pub const PHONE: Device =
        Device { width: 390, height: 844, scale: 2, phone: true, dark: false };
}

pub struct Page {
    session: String,
    wire: Wire,
}

impl Page {
    pub async fn call(&self, method: &str, params: Value) -> Result<Value> {
        self.wire.ask(Some(&self.session), method, params).await
    }

    /// Evaluates an expression in the page.
    pub async fn eval(&self, expression: &str) -> Result<Value> {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true,
        });
        let answer = self.call("Runtime.evaluate", params).await?;
        let thrown = &answer["exceptionDetails"];
        ensure!(thrown.is_null(), "{expression}: {}", thrown["exception"]["description"]);
        Ok(answer["result"]["value"].clone())
    }

    /// Polls until an expression is true. Errors while a page loads are retried.
    pub async fn until(&self, expression: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let condition = format!("Boolean({expression})");
        while self.eval(&condition).await.ok() != Some(Value::Bool(true)) {
            if Instant::now() > deadline {
                let page = self.eval("document.body.innerText").await?;
                bail!("not seen: {expression}\nThe page:\n{}", page.as_str().unwrap_or_default());
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Waits until an element shows a text.
    pub async fn until_shows(&self, selector: &str, text: &str) -> Result<()> {
        self.until(&format!("{}?.innerText.includes({})", element(selector), json!(text))).await
    }

    /// Waits for a notice, also one that has been replaced already.
    pub async fn until_notice(&self, text: &str) -> Result<()> {
        self.until(&format!("notices.some((notice) => notice.includes({}))", json!(text))).await
    }

    /// Forgets the notices so far.
    pub async fn forget_notices(&self) -> Result<()> {
        self.eval("void (notices.length = 0)").await.map(drop)
    }

    /// Waits for the current hop: `lobby`, `room 1`, …
    pub async fn until_at(&self, hop: &str) -> Result<()> {
        let lit = "document.querySelector('#hops [aria-current=step]')?.innerText.trim()";
        self.until(&format!("{lit} === {}", json!(hop))).await
    }

    /// Moves the focus to an element with the Tab key.
    pub async fn tab_to(&self, selector: &str) -> Result<()> {
        let there = format!("document.activeElement === {}", element(selector));
        for _ in 0..20 {
            if self.eval(&there).await? == Value::Bool(true) {
                return Ok(());
            }
            self.press("Tab").await?;
        }
        bail!("the Tab key does not lead to {selector}")
    }

    /// Presses and releases a key.
    pub async fn press(&self, key: &str) -> Result<()> {
        self.hold(key).await?;
        self.release(key).await
    }

    pub async fn hold(&self, key: &str) -> Result<()> {
        self.key("keyDown", key).await
    }

    pub async fn release(&self, key: &str) -> Result<()> {
        self.key("keyUp", key).await
    }

    async fn key(&self, what: &str, key: &str) -> Result<()> {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            _ => bail!("a key that no test has used so far: {key}"),
        };
        let mut event = json!({
            "type": what, "key": key, "code": key, "windowsVirtualKeyCode": code,
        });
        if what == "keyDown" && !text.is_empty() {
            event["text"] = json!(text);
        }
        self.call("Input.dispatchKeyEvent", event).await.map(drop)
    }

    /// Types into the focused element.
    pub async fn write(&self, text: &str) -> Result<()> {
        self.call("Input.insertText", json!({ "text": text })).await.map(drop)
    }

    /// Clicks the middle of a visible element.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let (x, y) = self.place(selector, 0.5, 0.5).await?;
        for what in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": what, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Touches an element at fractions of its width and height, and keeps the finger there.
    pub async fn touch(&self, selector: &str, across: f64, down: f64) -> Result<()> {
        let (x, y) = self.place(selector, across, down).await?;
        let event = json!({ "type": "touchStart", "touchPoints": [{ "x": x, "y": y }] });
        self.call("Input.dispatchTouchEvent", event).await.map(drop)
    }

    /// Moves the finger there.
    pub async fn slide(&self, selector: &str, across: f64, down: f64) -> Result<()> {
        let (x, y) = self.place(selector, across, down).await?;
        let event = json!({ "type": "touchMove", "touchPoints": [{ "x": x, "y": y }] });
        self.call("Input.dispatchTouchEvent", event).await.map(drop)
    }

    /// Lifts the finger.
    pub async fn lift(&self) -> Result<()> {
        let event = json!({ "type": "touchEnd", "touchPoints": [] });
        self.call("Input.dispatchTouchEvent", event).await.map(drop)
    }

    /// An element's box on the screen, once it is visible and enabled.
    async fn place(&self, selector: &str, across: f64, down: f64) -> Result<(f64, f64)> {
        let element = element(selector);
        self.until(&format!("{element}?.getClientRects().length && !{element}.disabled")).await?;
        let place = self
            .eval(&format!(
                "(() => {{ const e = {element}; e.scrollIntoView({{ block: 'center' }});
                  const box = e.getBoundingClientRect();
                  return [box.left + box.width * {across}, box.top + box.height * {down}]; }})()"
            ))
            .await?;
        let number = |i: usize| place[i].as_f64().context("no place");
        Ok((number(0)?, number(1)?))
    }

    pub async fn reload(&self) -> Result<()> {
        self.eval("void (window.reloading = true)").await?;
        self.call("Page.reload", json!({})).await?;
        // Otherwise the next poll may still see the old page.
        self.until("!window.reloading && document.readyState === 'complete'").await
    }

    pub async fn screenshot(&self, file: &Path) -> Result<()> {
        let params = json!({ "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", params).await?;
        fs::write(file, from_base64(picture["data"].as_str().context("no picture")?))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Errors and warnings of the page's console, scripts, network and content security policy.
    pub fn complaints(&self) -> Vec<String> {
        let of = |event: &Event| {
            let Event { method, params, .. } = event;
            let (level, text) = match method.as_str() {
                "Log.entryAdded" => (&params["entry"]["level"], &params["entry"]),
                "Runtime.consoleAPICalled" => (&params["type"], &params["args"]),
                "Runtime.exceptionThrown" => (&Value::Null, &params["exceptionDetails"]),
                _ => return None,
            };
            let bad = level.is_null() || ["error", "warning", "assert"].iter().any(|l| level == l);
            bad.then(|| text.to_string())
        };
        let events = self.wire.events.lock().unwrap();
        events.iter().filter(|event| event.session == self.session).filter_map(of).collect()
    }

    /// Fails if text has become an element, or the policy was violated.
    pub async fn is_safe(&self) -> Result<()> {
        let seen = self.eval("[...made, ...forbidden]").await?;
        ensure!(seen == json!([]), "made or forbidden: {seen}");
        Ok(())
    }

    /// Fails if there are errors or warnings.
    pub fn is_content(&self) -> Result<()> {
        let complaints = self.complaints();
        ensure!(complaints.is_empty(), "the browser complains:\n{}", complaints.join("\n"));
        Ok(())
    }

    /// Waits until the page has the server's log.
    async fn until_watching(&self) -> Result<()> {
        let is_log = |event: &Event| {
            let url = event.params["response"]["url"].as_str().unwrap_or("");
            event.session == self.session && url.contains("/dev/log?")
        };
        let deadline = Instant::now() + PATIENCE;
        while !self.wire.events.lock().unwrap().iter().any(is_log) {
            ensure!(Instant::now() < deadline, "the page does not watch the server's log");
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// The element that a selector finds, as an expression.
fn element(selector: &str) -> String {
    format!("document.querySelector({})", json!(selector))
}

/// The connection to the browser, shared by its pages.
#[derive(Clone, Default)]
struct Wire {
    commands: Option<mpsc::UnboundedSender<(Value, oneshot::Sender<Value>)>>,
    events: Arc<Mutex<Vec<Event>>>,
}

struct Event {
    session: String,
    method: String,
    params: Value,
}

impl Event {
    const KEPT: [&str; 4] = [
        "Log.entryAdded",
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Network.responseReceived",
    ];

    fn worth_keeping(mut said: Value) -> Option<Event> {
        let method = said["method"].as_str()?.to_owned();
        let session = said["sessionId"].as_str()?.to_owned();
        Self::KEPT.contains(&&*method).then(|| Event {
            session,
            method,
            params: said["params"].take(),
        })
    }
}

impl Wire {
    async fn connect(address: &str) -> Result<Wire> {
        let (mut socket, _) = connect_async(address).await?;
        let (commands, mut orders) = mpsc::unbounded_channel::<(Value, oneshot::Sender<Value>)>();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        tokio::spawn(async move {
            let mut waiting = HashMap::new();
            let mut id = 0_u64;
            loop {
                tokio::select! {
                    order = orders.recv() => {
                        let Some((mut command, answer)) = order else { return };
                        id += 1;
                        command["id"] = json!(id);
                        waiting.insert(id, answer);
                        let sent = socket.send(Message::text(command.to_string())).await;
                        if sent.is_err() { return }
                    }
                    message = socket.next() => {
                        let Some(Ok(message)) = message else { return };
                        let Ok(text) = message.to_text() else { continue };
                        let Ok(said) = serde_json::from_str::<Value>(text) else { continue };
                        match said["id"].as_u64().and_then(|id| waiting.remove(&id)) {
                            Some(answer) => drop(answer.send(said)),
                            None => heard.lock().unwrap().extend(Event::worth_keeping(said)),
                        }
                    }
                }
            }
        });
        Ok(Wire { commands: Some(commands), events })
    }

    async fn ask(&self, session: Option<&str>, method: &str, params: Value) -> Result<Value> {
        let mut command = json!({ "method": method, "params": params });
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        let (answer, answered) = oneshot::channel();
        let commands = self.commands.as_ref().context("not connected")?;
        commands.send((command, answer)).map_err(|_| anyhow!("the browser is gone"))?;
        let answered = tokio::time::timeout(PATIENCE, answered).await;
        let mut answer = answered.with_context(|| format!("no answer to {method}"))??;
        ensure!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        Ok(answer["result"].take())
    }
}

fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break, // padding
        };
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

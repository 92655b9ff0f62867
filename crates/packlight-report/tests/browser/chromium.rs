//! Headless Chromium, driven over a pipe by its DevTools protocol.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A browser with one tab.
pub(crate) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: Value,
    next: u64,
    /// What pages wrote to the console, and errors that nobody caught.
    pub(crate) complaints: Vec<String>,
}

impl Chromium {
    /// Starts the first browser on the path with a new profile; `None` if there is none.
    pub(crate) fn start(profile: &Path) -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let there = |name: &&&str| std::env::split_paths(&path).any(|dir| dir.join(name).is_file());
        let name = NAMES.iter().find(there)?;
        // The browser reads from file descriptor 3 and writes to 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#, name])
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
            .args(["--remote-debugging-pipe", "--allow-file-access-from-files"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (from, session, complaints) = (BufReader::new(from), Value::Null, Vec::new());
        let mut browser = Self { child, to, from, session, next: 0, complaints };
        let tab = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Opens a page and waits until it has loaded.
    pub(crate) fn open(&mut self, page: &Path) {
        let url = format!("file://{}", page.display());
        self.call("Page.navigate", json!({ "url": url }));
        while self.read()["method"] != "Page.loadEventFired" {}
    }

    /// Shows pages as on a screen of this width, or on paper of this width.
    pub(crate) fn show(&mut self, width: u32, scheme: &str, media: &str) {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let media = json!({ "media": media, "features": features });
        self.call("Emulation.setEmulatedMedia", media);
    }

    /// The value of a JavaScript expression, or of its promise.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let script =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", script);
        assert!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// The result of a method of the protocol.
    fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        write!(self.to, "{message}\0").unwrap();
        self.to.flush().unwrap();
        loop {
            let answer = self.read();
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
        }
    }

    /// The next message; what a page complains of is noted.
    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.from.read_until(0, &mut message).unwrap();
        assert!(message.pop().is_some(), "the browser has ended");
        let message: Value = serde_json::from_slice(&message).unwrap();
        let complaint = match message["method"].as_str() {
            Some("Runtime.consoleAPICalled") => &message["params"]["args"],
            Some("Runtime.exceptionThrown") => &message["params"]["exceptionDetails"],
            Some("Log.entryAdded") => &message["params"]["entry"],
            _ => &Value::Null,
        };
        if !complaint.is_null() {
            self.complaints.push(complaint.to_string());
        }
        message
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = write!(self.to, "{}\0", json!({ "id": 0, "method": "Browser.close" }));
        let _ = self.to.flush();
        let _ = self.child.wait();
    }
}

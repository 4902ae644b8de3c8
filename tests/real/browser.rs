//! A real browser on the server's pages: headless Chromium, driven through chromedriver (W3C WebDriver).

use std::process::Command;

use reqwest::blocking::Client;
use serde_json::{Value, json};

use crate::server::{Server, Service, column, table};
use crate::support::http::{client, try_post};
use crate::support::process::{Running, free_port, wait_until};
use crate::support::scratch::Scratch;

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def price(self, rows): return {'price': [area * 1000 for area in rows['area']]}
";

fn server() -> Server {
    let area =
        column("area", "number", json!({"example": 78.5, "minimum": 5, "description": "<script>alert(1)</script>"}));
    let more =
        (1..20).map(|number| column(&format!("optional_{number}"), "string", json!({"default": "", "max_length": 99})));
    let input: Vec<Value> = std::iter::once(area).chain(more).collect();
    let price = column("price", "number", json!({}));
    Service::new(CODE).endpoint("price", &table(&input), &table(&[price])).start()
}

/// A browser with one window; it ends with the test.
struct Browser {
    client: Client,
    session: String,
    _driver: Running,
    _profile: Scratch,
}

impl Browser {
    fn start(width: u32) -> Self {
        let (port, profile, client) = (free_port(), Scratch::new(), client());
        let mut command = Command::new("chromedriver");
        let driver = Running::start(command.arg(format!("--port={port}")));
        let address = format!("http://127.0.0.1:{port}");
        wait_until("chromedriver answers", || client.get(format!("{address}/status")).send().ok());
        let mut arguments =
            vec![format!("--user-data-dir={}", profile.display()), format!("--window-size={width},900")];
        let fixed = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking \
            --disable-component-update --disable-sync --disable-dev-shm-usage";
        arguments.extend(fixed.split_whitespace().map(str::to_owned));
        let wanted = json!({"goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {
            "args": arguments, "mobileEmulation": {"deviceMetrics": {"width": width, "height": 900, "pixelRatio": 1}}}});
        let body = json!({"capabilities": {"alwaysMatch": wanted}});
        let answer = send(&client, &format!("{address}/session"), &body);
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        Self { client, session: format!("{address}/session/{id}"), _driver: driver, _profile: profile }
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        send(&self.client, &format!("{}/{path}", self.session), body)["value"].take()
    }

    fn open(&self, url: &str) {
        assert_eq!(self.command("url", &json!({ "url": url })), Value::Null);
    }

    /// Returns what a JavaScript expression gives.
    fn evaluate(&self, expression: &str) -> Value {
        self.command("execute/sync", &json!({"script": format!("return {expression}"), "args": []}))
    }

    /// Clicks on what a CSS selector finds, as soon as it is there and can be clicked.
    fn click(&self, selector: &str) {
        wait_until(&format!("`{selector}` can be clicked"), || {
            let found = self.command("element", &json!({"using": "css selector", "value": selector}));
            let element = found.as_object()?.iter().find(|(key, _)| key.starts_with("element-"))?.1.as_str()?;
            self.command(&format!("element/{element}/click"), &json!({})).is_null().then_some(())
        });
    }

    fn text(&self, selector: &str) -> String {
        wait_until(&format!("`{selector}` has a text"), || {
            let text = self.evaluate(&format!("document.querySelector({})?.textContent.trim()", json!(selector)));
            text.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        })
    }

    /// Fails where the browser has complained, as of scripts that the policy forbids, or must be scrolled sideways.
    fn expect_clean(&self, page: &str) {
        let complaints = self.command("se/log", &json!({"type": "browser"}));
        assert_eq!(complaints, json!([]), "{page}");
        let wide = self.evaluate("document.documentElement.scrollWidth - window.innerWidth");
        assert!(wide.as_i64().is_some_and(|wide| wide <= 0), "{page} is too wide by {wide}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends in any case, and the browser with it.
        let _ = self.client.delete(&self.session).send();
    }
}

fn send(client: &Client, url: &str, body: &Value) -> Value {
    try_post(client, url, body).unwrap_or_else(|| panic!("{url} does not answer")).json()
}

/// Goes from the landing page to an example, sends it, and reads the model's answer, on a phone and on a desk.
#[test]
fn a_person_reads_what_the_model_is_and_tries_it() {
    let server = server();
    for width in [390, 1280] {
        let browser = Browser::start(width);
        let address = format!("http://127.0.0.1:{}/", server.port);
        browser.open(&address);
        assert_eq!(browser.text("h1"), "test");
        let snippet = browser.text(".tabs pre");
        assert!(snippet.starts_with(&format!("curl {address}price ")), "{snippet}");
        browser.click(".tabs input[value=R] + label");
        assert_eq!(browser.evaluate("getComputedStyle(document.querySelectorAll('.tabs > div')[2]).display"), "block");
        browser.expect_clean("the landing page");

        browser.click(".try");
        browser.click("button.execute");
        let status = browser.text(".live-responses-table tbody .response-col_status");
        assert!(status.starts_with("200"), "{status}");
        let answer = browser.text(".live-responses-table .highlight-code");
        assert!(answer.contains("78500"), "{answer}");
        browser.expect_clean("the documentation");
    }
}

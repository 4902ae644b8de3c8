//! A client for what the tests start on this machine.

use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::Value;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Reads the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Returns a client that keeps its connections and uses no proxy.
pub fn client() -> Client {
    mlpack::fetch::http::client().no_proxy().timeout(Duration::from_mins(1)).build().unwrap()
}

/// Asks for a document; `None` where nobody answers.
pub fn try_get(url: &str) -> Option<Answer> {
    client().get(url).send().ok().map(read)
}

/// Asks for a document.
pub fn get(url: &str) -> Answer {
    read(client().get(url).send().unwrap())
}

/// Sends a JSON value; `None` where nobody answers.
pub fn try_post(client: &Client, url: &str, body: &Value) -> Option<Answer> {
    client.post(url).header("Content-Type", "application/json").body(body.to_string()).send().ok().map(read)
}

/// Sends a JSON value.
pub fn post(url: &str, body: &Value) -> Answer {
    try_post(&client(), url, body).unwrap_or_else(|| panic!("{url} does not answer"))
}

fn read(response: Response) -> Answer {
    Answer { status: response.status().as_u16(), body: response.text().unwrap_or_default() }
}

//! How to call an endpoint with curl, from Python and from R, ready to be pasted.

use serde_json::Value;

use super::literal::{self, JSON, PYTHON, R, quoted};
use crate::service::{Data, Endpoint, example};

/// The server's address in snippets, until the reader's browser puts the real one in its place.
pub(super) const BASE: &str = "http://localhost:8080/";

/// Where a request's body comes from.
enum Body {
    Json(Value),
    /// The content of this file, of this media type.
    File(&'static str, String),
}

/// What a snippet is made from.
struct Call {
    url: String,
    body: Body,
    /// Whether the answer is JSON, and no file.
    is_json: bool,
    /// Whether the server wants a key or a token; snippets take it from the environment.
    wants_key: bool,
}

/// Returns the languages and how each calls the endpoint `name`.
pub(super) fn snippets(name: &str, endpoint: &Endpoint, wants_key: bool) -> [(&'static str, String); 3] {
    let body = match (&endpoint.input, example::request(&endpoint.input)) {
        (_, Some(value)) => Body::Json(value),
        (Data::Binary { media_type }, None) => Body::File("input.bin", concrete(media_type)),
        // The server knows an image's type by its first bytes.
        (Data::Image { .. }, None) => Body::File("image.png", concrete("image/*")),
        (_, None) => Body::File("request.json", "application/json".to_owned()),
    };
    let is_json = !matches!(endpoint.output, Data::Binary { .. } | Data::Image { .. });
    let call = Call { url: format!("{BASE}{name}"), body, is_json, wants_key };
    [("curl", curl(&call)), ("Python", python(&call)), ("R", r(&call))]
}

/// A range of media types is no type of a body.
fn concrete(media_type: &str) -> String {
    if media_type.contains('*') { "application/octet-stream".to_owned() } else { media_type.to_owned() }
}

fn curl(call: &Call) -> String {
    let shell = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let (media_type, data) = match &call.body {
        Body::Json(value) => ("application/json", format!("-d {}", shell(&literal::write(value, &JSON, 0)))),
        Body::File(file, media_type) => (media_type.as_str(), format!("--data-binary @{file}")),
    };
    let output = if call.is_json { "" } else { " -o output.bin" };
    let key = if call.wants_key { " \\\n  -H \"Authorization: Bearer $API_KEY\"" } else { "" };
    let media_type = shell(&format!("Content-Type: {media_type}"));
    format!("curl {}{output}{key} \\\n  -H {media_type} \\\n  {data}", call.url)
}

fn python(call: &Call) -> String {
    let mut headers = Vec::new();
    if call.wants_key {
        headers.push("\"Authorization\": f\"Bearer {os.environ['API_KEY']}\"".to_owned());
    }
    let body = match &call.body {
        Body::Json(value) => format!("json={}", literal::write(value, &PYTHON, 4)),
        Body::File(file, media_type) => {
            headers.push(format!("\"Content-Type\": {}", quoted(media_type)));
            format!("data=open(\"{file}\", \"rb\")")
        }
    };
    let import = if call.wants_key { "import os\n\nimport requests" } else { "import requests" };
    let headers = if headers.is_empty() { String::new() } else { format!("\n    headers={{{}}},", headers.join(", ")) };
    let result = if call.is_json { "answer.json()" } else { "len(answer.content)" };
    format!(
        "{import}\n\nanswer = requests.post(\n    \"{}\",\n    {body},{headers}\n)\n\
         answer.raise_for_status()\nprint({result})",
        call.url
    )
}

fn r(call: &Call) -> String {
    let body = match &call.body {
        Body::Json(value) => format!("req_body_json({})", literal::write(value, &R, 2)),
        Body::File(file, media_type) => format!("req_body_file(\"{file}\", {})", quoted(media_type)),
    };
    let key = if call.wants_key { "\n  req_auth_bearer_token(Sys.getenv(\"API_KEY\")) |>" } else { "" };
    let read = if call.is_json { "resp_body_json" } else { "resp_body_raw" };
    format!("library(httr2)\n\nrequest(\"{}\") |>{key}\n  {body} |>\n  req_perform() |>\n  {read}()", call.url)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(input: Value, output: Value) -> Endpoint {
        let contract = json!({"description": "", "task": "custom", "batch": false, "input": input, "output": output});
        serde_json::from_value(contract).unwrap()
    }

    #[test]
    fn a_json_request_is_written_in_each_language() {
        let schema = json!({"example": {"it's": [true]}});
        let json = json!({"type": "json", "schema": schema});
        let [(_, curl), (_, python), (_, r)] = snippets("call", &endpoint(json.clone(), json), false);
        assert_eq!(
            curl,
            "curl http://localhost:8080/call \\\n  -H 'Content-Type: application/json' \\\n  -d '{\"it'\\''s\": [true]}'"
        );
        assert!(python.contains("\n    json={\"it's\": [True]},\n"), "{python}");
        assert!(r.contains("\n  req_body_json(list(\"it's\" = list(TRUE))) |>\n"), "{r}");
    }

    #[test]
    fn a_file_goes_as_it_is() {
        let image = json!({"type": "binary", "media_type": "image/*"});
        let [(_, curl), (_, python), (_, r)] = snippets("call", &endpoint(image, json!({"type": "text"})), true);
        assert!(curl.contains("'Content-Type: application/octet-stream' \\\n  --data-binary @input.bin"), "{curl}");
        assert!(python.contains("data=open(\"input.bin\", \"rb\"),"), "{python}");
        assert!(r.contains("req_body_file(\"input.bin\", \"application/octet-stream\")"), "{r}");
        for (snippet, key) in
            [(curl, "\"Authorization: Bearer $API_KEY\""), (python, "os.environ['API_KEY']"), (r, "\"API_KEY\"")]
        {
            assert!(snippet.contains(key), "{snippet}");
        }
    }
}

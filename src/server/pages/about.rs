//! The page at `/`: what this model is, what it takes and gives, how to call it, and what it is made of.
//!
//! It is made once, from the contract alone. Descriptions and examples are the user's own, and stand in it as text.

use super::html::Html;
use super::snippets::{BASE, snippets};
use crate::service::{Asset, Column, Data, Endpoint, Protocol, Service};

/// More columns are folded away until they are asked for.
const MANY_COLUMNS: usize = 12;

/// Returns the page; `wants_key` says that callers must send a key or a token.
pub(super) fn page(service: &Service, wants_key: bool) -> String {
    let mut html = Html::default();
    html.markup("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")
        .markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>")
        .text(&service.name)
        .markup("</title>\n<link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"docs/about.css\">\n")
        .markup("</head>\n<body>\n<main>\n");
    header(&mut html, service);
    html.markup("<h2>Endpoints</h2>\n");
    for (name, described) in &service.endpoints {
        endpoint(&mut html, name, described, wants_key);
    }
    versions(&mut html, service);
    files(&mut html, service);
    html.markup("</main>\n");
    footer(&mut html, service);
    html.markup("<script src=\"docs/about.js\"></script>\n</body>\n</html>\n");
    html.finish()
}

fn header(html: &mut Html, service: &Service) {
    html.markup("<header>\n<h1>").text(&service.name).markup("</h1>\n<div class=\"facts\"><span>Version ");
    html.text(&service.latest.version).markup("</span>");
    if let Some(license) = &service.license {
        html.markup("<span>Licence ").text(license).markup("</span>");
    }
    html.markup("<span>").text(language(&service.worker.language)).markup("</span></div>\n");
    html.paragraphs(&service.description)
        .markup("<nav class=\"links\"><a href=\"docs\">Try it out</a><a href=\"openapi.json\">OpenAPI document</a>")
        .markup("<a href=\"readyz\">Health</a><a href=\"metrics\">Metrics</a></nav>\n</header>\n");
}

fn language(name: &str) -> &str {
    match name {
        "python" => "Python",
        "r" => "R",
        other => other,
    }
}

fn endpoint(html: &mut Html, name: &str, endpoint: &Endpoint, wants_key: bool) {
    let task = serde_json::to_value(endpoint.task).expect("a task is a string");
    let task = task.as_str().unwrap_or_default();
    html.markup("<article id=\"").text(name).markup("\">\n<div class=\"head\"><h3>POST /").text(name);
    html.markup("</h3><span class=\"task\">").text(task).markup("</span><a class=\"try\" href=\"docs#/");
    html.text(task).markup("/").text(name).markup("\">Try it</a></div>\n");
    html.paragraphs(&endpoint.description);
    data(html, "Takes", &endpoint.input);
    data(html, "Gives", &endpoint.output);
    calls(html, name, &snippets(name, endpoint, wants_key));
    html.markup("</article>\n");
}

/// Describes an input or output.
fn data(html: &mut Html, title: &'static str, data: &Data) {
    html.markup("<h4>").markup(title);
    match data {
        Data::Table { columns, .. } => {
            html.markup(" a table</h4>\n");
            table(html, columns);
        }
        Data::Tensor { dtype, shape } => {
            let dtype = serde_json::to_value(dtype).expect("a type is a string");
            let lengths: Vec<_> = shape
                .iter()
                .map(|length| length.map_or_else(|| "any".to_owned(), |length| length.to_string()))
                .collect();
            html.markup(" a tensor</h4>\n<p>").text(dtype.as_str().unwrap_or_default());
            html.markup(", shape ").text(&lengths.join(" × ")).markup("</p>\n");
        }
        Data::Json { schema } => {
            html.markup(" JSON</h4>\n");
            if schema.as_object().is_some_and(|keywords| !keywords.is_empty()) {
                html.markup("<details><summary>Schema</summary>\n<pre>").text(&format!("{schema:#}"));
                html.markup("</pre></details>\n");
            }
        }
        Data::Text => {
            html.markup(" text</h4>\n");
        }
        Data::Binary { media_type } => {
            html.markup(" a file</h4>\n<p>").text(media_type).markup("</p>\n");
        }
        Data::Image { media_types } => {
            html.markup(" an image</h4>\n<p>").text(&media_types.join(", ")).markup("</p>\n");
        }
    }
}

fn table(html: &mut Html, columns: &[Column]) {
    let folded = columns.len() > MANY_COLUMNS;
    if folded {
        html.markup("<details><summary>").text(&columns.len().to_string()).markup(" columns</summary>\n");
    }
    html.markup(
        "<table class=\"stack\"><thead><tr><th>Column</th><th>Type</th><th>Meaning</th></tr></thead>\n<tbody>\n",
    );
    for column in columns {
        let kind = serde_json::to_value(column.kind).expect("a type is a string");
        html.markup("<tr><td><code>").text(&column.name).markup("</code></td><td>");
        html.text(kind.as_str().unwrap_or_default()).text(&limits(column)).markup("</td><td>");
        html.text(&column.description).markup("</td></tr>\n");
    }
    html.markup("</tbody></table>\n").markup(if folded { "</details>\n" } else { "" });
}

/// Says what is allowed in a column beyond its type.
fn limits(column: &Column) -> String {
    let mut limits = String::new();
    let mut add = |text: &str| limits.extend([", ", text]);
    if !column.choices.is_empty() {
        let choices: Vec<_> = column.choices.iter().take(10).map(plain).collect();
        let more = if column.choices.len() > choices.len() { ", …" } else { "" };
        add(&format!("one of {}{more}", choices.join(", ")));
    }
    match (column.minimum, column.maximum) {
        (Some(minimum), Some(maximum)) => add(&format!("{minimum} to {maximum}")),
        (Some(minimum), None) => add(&format!("at least {minimum}")),
        (None, Some(maximum)) => add(&format!("at most {maximum}")),
        (None, None) => {}
    }
    if let Some(longest) = column.max_length {
        add(&format!("at most {longest} characters"));
    }
    if column.nullable {
        add("or null");
    }
    if let Some(default) = &column.default {
        add(&format!("{} when left out", plain(default)));
    }
    limits
}

/// Writes a value without the quotes of a text.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The tabs with a snippet for each language. They work without scripts.
fn calls(html: &mut Html, name: &str, snippets: &[(&'static str, String)]) {
    html.markup("<div class=\"tabs\">\n");
    for (number, (language, _)) in snippets.iter().enumerate() {
        let id = format!("{name}.{language}");
        html.markup("<input type=\"radio\" name=\"").text(name).markup(".language\" value=\"").text(language);
        html.markup("\" id=\"").text(&id).markup(if number == 0 { "\" checked>" } else { "\">" });
        html.markup("<label for=\"").text(&id).markup("\">").text(language).markup("</label>\n");
    }
    for (_, snippet) in snippets {
        html.markup("<div><pre>");
        for (number, part) in snippet.split(BASE).enumerate() {
            if number > 0 {
                html.markup("<span class=\"base\">").text(BASE).markup("</span>");
            }
            html.text(part);
        }
        html.markup("</pre></div>\n");
    }
    html.markup("</div>\n");
}

/// The versions there are, where there are several, latest first.
fn versions(html: &mut Html, service: &Service) {
    if service.earlier.is_empty() {
        return;
    }
    html.markup("<h2>Versions</h2>\n<article>\n<p>The latest one answers where none is asked for. <code>POST /v/");
    html.markup("<em>version or label</em>/<em>endpoint</em></code> calls any of them.</p>\n<table class=\"stack\">");
    html.markup("<thead><tr><th>Version</th><th>Labels</th><th>Artifacts</th></tr></thead>\n<tbody>\n");
    for version in service.versions().rev() {
        html.markup("<tr><td><code>").text(&version.version).markup("</code></td><td>");
        html.text(&version.labels.join(", ")).markup("</td><td>");
        for (name, asset) in &version.artifacts {
            html.markup("<code>").text(name).markup("</code> ").text(&size(asset.size));
            html.markup("<div class=\"digest\">").text(&asset.digest.to_string()).markup("</div>");
        }
        html.markup("</td></tr>\n");
    }
    html.markup("</tbody></table>\n</article>\n");
}

/// What the latest version of the model is made of, with digests.
fn files(html: &mut Html, service: &Service) {
    for (title, assets) in [("Artifacts", &service.latest.artifacts), ("Datasets", &service.datasets)] {
        if assets.is_empty() {
            continue;
        }
        html.markup("<h2>").markup(title).markup("</h2>\n<article>\n<table class=\"stack\">");
        html.markup("<thead><tr><th>Name</th><th>Licence</th><th>Size</th><th>About</th></tr></thead>\n<tbody>\n");
        for (name, asset) in assets {
            file(html, name, asset);
        }
        html.markup("</tbody></table>\n</article>\n");
    }
}

fn file(html: &mut Html, name: &str, asset: &Asset) {
    html.markup("<tr><td><code>").text(name).markup("</code></td><td>");
    html.text(asset.license.as_deref().unwrap_or("not stated")).markup("</td><td>").text(&size(asset.size));
    html.markup("</td><td>").text(asset.description.as_deref().unwrap_or_default());
    html.markup("<div class=\"digest\">").text(&asset.digest.to_string()).markup("</div></td></tr>\n");
}

/// Writes a number of bytes with a decimal unit.
fn size(bytes: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}

fn footer(html: &mut Html, service: &Service) {
    let names: Vec<&str> = service.server.protocols.iter().map(|protocol| protocol_name(*protocol)).collect();
    html.markup("<footer>\n");
    if !names.is_empty() {
        html.markup("<p>Also speaks the protocols of ").text(&names.join(", ")).markup(".</p>\n");
    }
    html.markup("<p>Served by mlpack ").markup(env!("CARGO_PKG_VERSION")).markup("</p>\n</footer>\n");
}

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::V2 => "KServe V2, Triton and MLServer",
        Protocol::Grpc => "KServe V2 over gRPC",
        Protocol::Kserve => "KServe V1",
        Protocol::Tensorflow => "TensorFlow Serving",
        Protocol::Mlflow => "MLflow and SageMaker",
        Protocol::Vertex => "Vertex AI",
        Protocol::Seldon => "Seldon Core",
        Protocol::Vetiver => "vetiver",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn service(hostile: &str) -> Service {
        let column = |more: Value| {
            let mut column = json!({"name": hostile, "type": "string", "nullable": true, "example": hostile,
                "description": hostile, "enum": [], "minimum": null, "maximum": null, "max_length": 300});
            column.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            column
        };
        let table = json!({"type": "table", "columns": [column(json!({}))]});
        let asset = json!({"path": "/x", "size": 1500, "digest": format!("sha256:{}", "a".repeat(64)),
            "license": hostile, "description": hostile});
        serde_json::from_value(json!({
            "name": "test", "version": hostile, "description": hostile, "license": hostile,
            "worker": {"language": "python", "command": [], "environment": {}, "file": "", "entry": ""},
            "artifacts": {"model": asset}, "datasets": {},
            "earlier": [{"version": "0.9", "labels": [hostile, "old"], "artifacts": {"model": asset}}],
            "endpoints": {"call": {"description": hostile, "task": "custom", "batch": false,
                "input": table, "output": {"type": "tensor", "dtype": "float32", "shape": [null, 3]}}},
            "server": crate::service::Server::default(),
        }))
        .unwrap()
    }

    #[test]
    fn a_manifest_cannot_put_markup_or_scripts_on_the_page() {
        let page = page(&service("</pre></script><img src=x onerror=alert(1)>\" onclick=\"alert(2)"), false);
        assert!(!page.contains("<img"), "{page}");
        assert!(!page.contains("\" onclick"), "{page}");
        assert_eq!(page.matches("<script").count(), 1, "{page}");
    }

    #[test]
    fn the_page_says_what_the_model_is_made_of() {
        let page = page(&service("plain words"), false);
        for text in [
            "1.5 kB",
            "<code>0.9</code></td><td>plain words, old</td>",
            &format!("sha256:{}", "a".repeat(64)),
            "float32",
            "any × 3",
            "at most 300 characters, or null",
        ] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
    }
}

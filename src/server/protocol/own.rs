//! The server's own routes: `POST /<endpoint>`, and `POST /v/<version>/<endpoint>` for a version or label, as the OpenAPI document
//! describes them.
//!
//! | input | request | answer |
//! |---|---|---|
//! | table | `{"rows": [{column: value}]}`, `[{column: value}]`, `{"columns": {column: [value]}}`, or CSV | a table the same way round |
//! | tensor | `{"tensor": nested lists}` | `{"tensor": nested lists}` |
//! | json | any JSON value | any JSON value |
//! | text | `text/plain`, or a JSON string | the same way |
//! | binary, image | the bytes, with their media type or `application/octet-stream` | the bytes |
//!
//! A table is answered as CSV where the client accepts that. The part `file` of a form (`multipart/form-data`) that has no other stands for the body.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;

use super::{Protocol, csv, models, multipart, tensors};
use crate::server::app::{App, Callee};
use crate::server::contract::{Endpoint, Form};
use crate::server::data::Payload;
use crate::server::exchange::{Call, Exchange, Reply, Speaker};
use crate::server::failure::{Code, Failure};
use crate::server::validate::{self, Dialect, Orientation};
use crate::server::{http, render};

/// See the module.
pub(super) struct Own;

/// The records of CSV are lists of values.
const LISTS: Dialect = Dialect { lists: true, drop_unknown: false, non_finite: false };
const CSV: &str = "text/csv";
const ANY: &str = "application/octet-stream";

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Media {
    Json,
    PlainText,
    Csv,
    File,
    /// A form with a file, which has a media type of its own.
    Form,
}

/// How a request was written, and so how its answer is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Style {
    orientation: Orientation,
    media: Media,
    /// Whether tables are answered as CSV.
    csv: bool,
}

impl Protocol for Own {
    fn routes(&self, app: &Arc<App>) -> Router {
        let versions = Arc::clone(app);
        let versioned = async move |Path((version, name)): Path<(String, String)>, request: Request| {
            let callee = find(&versions, &version, &name);
            answer(&versions, &http::OWN, callee, request).await
        };
        let router = Router::new().route("/v/{version}/{endpoint}", post(versioned));
        app.endpoints.iter().enumerate().fold(router, |router, (endpoint, contract)| {
            let app = Arc::clone(app);
            let handler = async move |request: Request| {
                let callee = Callee { pool: app.choose(), endpoint };
                answer(&app, &http::OWN, Ok(callee), request).await
            };
            router.route(&format!("/{}", contract.name), post(handler))
        })
    }

    fn speaker(&self) -> &'static Speaker {
        &http::OWN
    }
}

/// Finds an endpoint of a version, which may be named by a label.
fn find(app: &App, version: &str, name: &str) -> Result<Callee, Failure> {
    let endpoint = models::endpoint(app, name);
    let endpoint = endpoint.ok_or_else(|| Failure::new(Code::NotFound, "there is nothing at this path"))?;
    Ok(Callee { pool: app.find_version(version)?, endpoint })
}

/// Answers a request for an endpoint, if it was found.
pub(super) async fn answer(
    app: &Arc<App>,
    speaker: &'static Speaker,
    callee: Result<Callee, Failure>,
    request: Request,
) -> Response {
    let mut exchange = Exchange::new(app, speaker, request);
    exchange.callee = callee.as_ref().ok().copied();
    let answer = match callee {
        Ok(callee) => call(app, &mut exchange, callee).await,
        Err(failure) => Err(failure),
    };
    exchange.finish(answer)
}

async fn call(app: &App, exchange: &mut Exchange, callee: Callee) -> Result<Response, Failure> {
    let content_type = text(exchange.headers(), &header::CONTENT_TYPE).map(str::to_owned);
    let csv = text(exchange.headers(), &header::ACCEPT).is_some_and(|accept| accept.contains(CSV));
    let media = media(&app.called(callee).1.input, content_type.as_deref())?;
    let style = Style { orientation: Orientation::Rows, media, csv };
    let read = move |app: &App, body| read(app, callee, body, content_type.as_deref(), style);
    let (results, style) = exchange.call(read).await?;
    let fallback = exchange.fallback();
    let write = move |endpoint: &Endpoint, results: Vec<Payload>| {
        tensors::check_finite(&results).map(|()| write(endpoint, results, style, fallback))
    };
    exchange.reply(results, write).await
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Makes sure that a body's media type is one that the input takes. Only JSON may come without: what is no JSON then fails by
/// itself, where no text or file at all would be an empty one.
fn media(form: &Form, content_type: Option<&str>) -> Result<Media, Failure> {
    let given = content_type.map(|given| given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if given.as_deref() == Some(multipart::MEDIA_TYPE) {
        return Ok(Media::Form);
    }
    let expected: Vec<(&str, Media)> = match form {
        Form::Table(_) => vec![("application/json", Media::Json), (CSV, Media::Csv)],
        Form::Tensor { .. } | Form::Json { .. } => vec![("application/json", Media::Json)],
        Form::Text => vec![("text/plain", Media::PlainText), ("application/json", Media::Json)],
        Form::Binary { media_types, .. } => {
            media_types.iter().map(String::as_str).chain([ANY]).map(|range| (range, Media::File)).collect()
        }
    };
    let found = match &given {
        None => expected.iter().find(|(_, media)| *media == Media::Json && !matches!(form, Form::Text)),
        Some(given) => expected.iter().find(|(range, _)| in_range(given, range)),
    };
    found.map(|(_, media)| *media).ok_or_else(|| {
        let types: Vec<&str> = expected.iter().map(|(range, _)| *range).collect();
        let message = format!("send the body with `Content-Type: {}`", types.join("` or `"));
        Failure::new(Code::UnsupportedMediaType, message)
    })
}

fn in_range(given: &str, range: &str) -> bool {
    match range.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => given.split('/').next() == Some(kind),
        None => given == range,
    }
}

fn read(
    app: &App,
    callee: Callee,
    body: Bytes,
    content_type: Option<&str>,
    mut style: Style,
) -> Result<Call<Style>, Failure> {
    let form = &app.called(callee).1.input;
    let mut body = body;
    if style.media == Media::Form {
        let part = multipart::only(content_type.unwrap_or_default(), &body)?;
        let unnamed = if matches!(form, Form::Text) { "text/plain" } else { ANY };
        let media_type = if part.media_type.is_empty() { unnamed } else { &part.media_type };
        (style.media, body) = (media(form, Some(media_type))?, part.content);
    }
    let payload = match (form, style.media) {
        (Form::Table(schema), Media::Csv) => Payload::Table(csv::read(schema, LISTS, &body)?),
        (Form::Table(schema), _) => {
            let (table, orientation) = validate::table(schema, &body)?;
            style.orientation = orientation;
            table
        }
        (Form::Tensor { dtype, shape }, _) => validate::tensor(*dtype, shape, &body)?,
        (Form::Text, Media::Json) => Payload::Bytes(validate::json_string(&body)?.into()),
        (form, _) => validate::content(form, body, "")?,
    };
    Ok(Call { callee, payloads: vec![payload], style })
}

fn write(endpoint: &Endpoint, mut results: Vec<Payload>, style: Style, fallback: Option<Code>) -> Reply {
    let result = results.pop().expect("every payload has a result");
    let plain_text = style.media == Media::PlainText;
    let content = match (&endpoint.output, result) {
        (Form::Table(schema), Payload::Table(table)) if style.csv => csv::write_table(schema, &table).into(),
        (Form::Table(schema), Payload::Table(table)) => {
            // A bare list has no place for it; there the header alone says so.
            let fallback = fallback.filter(|_| style.orientation != Orientation::List);
            marked(render::table(schema, &table, style.orientation), fallback).into()
        }
        (_, Payload::Tensor(tensor)) => marked(render::tensor(&tensor), fallback).into(),
        (Form::Text, Payload::Bytes(text)) if !plain_text => {
            let mut out = Vec::with_capacity(text.len() + 2);
            render::scalar(&mut out, std::str::from_utf8(&text).expect("results have been checked"));
            out.into()
        }
        (_, Payload::Bytes(bytes)) => bytes,
        (_, Payload::Table(_)) => unreachable!("results have been read by the output's own form"),
    };
    let media_type = match &endpoint.output {
        Form::Table(_) if style.csv => HeaderValue::from_static("text/csv; charset=utf-8"),
        Form::Text if plain_text => HeaderValue::from_static("text/plain; charset=utf-8"),
        Form::Binary { media_types, .. } => {
            let exact = media_types.first().filter(|media_type| !media_type.contains('*'));
            let exact = exact.and_then(|media_type| HeaderValue::from_str(media_type).ok());
            exact.unwrap_or(HeaderValue::from_static(ANY))
        }
        _ => http::JSON,
    };
    Reply { content, media_type, header: None }
}

/// Adds to an object what the fallback in it stands in for.
fn marked(mut object: Vec<u8>, fallback: Option<Code>) -> Vec<u8> {
    if let Some(code) = fallback {
        object.pop();
        object.extend([b",\"fallback\":\"", code.text().as_bytes(), b"\"}"].concat());
    }
    object
}

//! The server's own routes: `POST /<endpoint>`, as the OpenAPI document describes them.
//!
//! | input | request | answer |
//! |---|---|---|
//! | table | `{"rows": [{column: value}]}` or `{"columns": {column: [value]}}` | a table the same way round |
//! | tensor | `{"tensor": nested lists}` | `{"tensor": nested lists}` |
//! | json | any JSON value | any JSON value |
//! | text | `text/plain`, or a JSON string | the same way |
//! | binary | the bytes, with their media type or `application/octet-stream` | the bytes |

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;

use super::Protocol;
use crate::server::app::App;
use crate::server::contract::{Endpoint, Form};
use crate::server::data::Payload;
use crate::server::exchange::{Call, Exchange, Reply, Speaker};
use crate::server::failure::{Code, Failure};
use crate::server::validate::{self, Orientation};
use crate::server::{http, render};

/// See the module.
pub(super) struct Own;

/// How a request was written, and so how its answer is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Style {
    orientation: Orientation,
    plain_text: bool,
}

impl Protocol for Own {
    fn routes(&self, app: &Arc<App>) -> Router {
        app.endpoints.iter().enumerate().fold(Router::new(), |router, (number, endpoint)| {
            let app = Arc::clone(app);
            let handler = move |request: Request| handle(Arc::clone(&app), number, request);
            router.route(&format!("/{}", endpoint.name), post(handler))
        })
    }

    fn speaker(&self) -> &'static Speaker {
        &http::OWN
    }
}

async fn handle(app: Arc<App>, number: usize, request: Request) -> Response {
    let mut exchange = Exchange::new(&app, &http::OWN, request);
    exchange.endpoint = Some(number);
    let answer = match accepts(&app.endpoints[number].input, exchange.headers()) {
        Ok(plain_text) => answer(&mut exchange, number, plain_text).await,
        Err(failure) => Err(failure),
    };
    exchange.finish(answer)
}

async fn answer(exchange: &mut Exchange, number: usize, plain_text: bool) -> Result<Response, Failure> {
    let (results, style) = exchange.call(move |app, body| read(app, number, body, plain_text)).await?;
    let fallback = exchange.fallback();
    exchange.reply(results, move |endpoint, results| write(endpoint, results, style, fallback)).await
}

/// Makes sure that the body's media type is one that the input takes; returns whether it is plain text. Only JSON may
/// come without: what is no JSON then fails by itself, where no text or file at all would be an empty one.
fn accepts(form: &Form, headers: &HeaderMap) -> Result<bool, Failure> {
    let given = match (headers.get(header::CONTENT_TYPE), form) {
        (Some(given), _) => given,
        (None, Form::Table(_) | Form::Tensor { .. } | Form::Json) => return Ok(false),
        (None, Form::Text | Form::Binary { .. }) => &HeaderValue::from_static(""),
    };
    let given = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let expected = match form {
        Form::Table(_) | Form::Tensor { .. } | Form::Json => vec!["application/json"],
        Form::Text => vec!["text/plain", "application/json"],
        Form::Binary { media_type } => vec![media_type.as_str(), "application/octet-stream"],
    };
    if expected.iter().any(|range| in_range(&given, range)) {
        return Ok(given == "text/plain");
    }
    let message = format!("send the body with `Content-Type: {}`", expected.join("` or `"));
    Err(Failure::new(Code::UnsupportedMediaType, message))
}

fn in_range(given: &str, range: &str) -> bool {
    match range.strip_suffix("/*") {
        Some("*") => true,
        Some(kind) => given.split('/').next() == Some(kind),
        None => given == range,
    }
}

fn read(app: &App, number: usize, body: Bytes, plain_text: bool) -> Result<Call<Style>, Failure> {
    let mut style = Style { orientation: Orientation::Rows, plain_text };
    let payload = match &app.endpoints[number].input {
        Form::Table(schema) => {
            let (table, orientation) = validate::table(schema, &body)?;
            style.orientation = orientation;
            table
        }
        Form::Tensor { dtype, shape } => validate::tensor(*dtype, shape, &body)?,
        Form::Json => {
            validate::json(&body)?;
            Payload::Bytes(body)
        }
        Form::Text if plain_text => {
            let text = std::str::from_utf8(&body);
            text.map_err(|_| Failure::new(Code::MalformedBody, "the text is not UTF-8"))?;
            Payload::Bytes(body)
        }
        Form::Text => Payload::Bytes(validate::json_string(&body)?.into()),
        Form::Binary { .. } => Payload::Bytes(body),
    };
    Ok(Call { endpoint: number, payloads: vec![payload], style })
}

fn write(endpoint: &Endpoint, mut results: Vec<Payload>, style: Style, fallback: Option<Code>) -> Reply {
    let result = results.pop().expect("every payload has a result");
    let content = match (&endpoint.output, result) {
        (Form::Table(schema), Payload::Table(table)) => {
            marked(render::table(schema, &table, style.orientation), fallback).into()
        }
        (_, Payload::Tensor(tensor)) => marked(render::tensor(&tensor), fallback).into(),
        (Form::Text, Payload::Bytes(text)) if !style.plain_text => {
            let mut out = Vec::with_capacity(text.len() + 2);
            render::scalar(&mut out, std::str::from_utf8(&text).expect("results have been checked"));
            out.into()
        }
        (_, Payload::Bytes(bytes)) => bytes,
        (_, Payload::Table(_)) => unreachable!("results have been read by the output's own form"),
    };
    Reply { content, media_type: media_type(&endpoint.output, style), header: None }
}

/// Adds to an object what the fallback in it stands in for.
fn marked(mut object: Vec<u8>, fallback: Option<Code>) -> Vec<u8> {
    if let Some(code) = fallback {
        object.pop();
        object.extend([b",\"fallback\":\"", code.text().as_bytes(), b"\"}"].concat());
    }
    object
}

fn media_type(form: &Form, style: Style) -> HeaderValue {
    match form {
        Form::Text if style.plain_text => HeaderValue::from_static("text/plain; charset=utf-8"),
        Form::Binary { media_type } if !media_type.contains('*') => {
            HeaderValue::from_str(media_type).unwrap_or(HeaderValue::from_static("application/octet-stream"))
        }
        Form::Binary { .. } => HeaderValue::from_static("application/octet-stream"),
        _ => http::JSON,
    }
}

//! MLflow's scoring server, and with it SageMaker's container contract: `/invocations`, `/ping`, `/health`, `/version`.
//!
//! | body | what it is |
//! |---|---|
//! | `{"dataframe_split": {"columns", "data"}}`, `{"dataframe_records": […]}` | a table |
//! | `{"instances": […]}`, `{"inputs": …}` | as TensorFlow Serving has them |
//! | a list | the same as `instances` |
//! | CSV with a header | a table |
//! | any other JSON, for an endpoint that takes JSON | the JSON itself |
//! | any other media type, for an endpoint that takes text or bytes | the text or bytes |
//!
//! As in MLflow, columns that the model does not know are left out, and a table comes back as records. `params` are for models
//! that take some; models here take none.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::instances::{self, Asked, DIALECT, Rows, invalid};
use super::{Protocol, csv, models};
use crate::server::app::{App, Callee};
use crate::server::contract::{Endpoint, Form};
use crate::server::data::Payload;
use crate::server::exchange::{Call, Exchange, Reply, Speaker};
use crate::server::failure::{Code, Failure};
use crate::server::http;
use crate::server::validate::{self, Dialect, TableReader};
use crate::service;

/// See the module.
pub(super) struct Mlflow;

static SPEAKER: Speaker = Speaker { protocol: Some(service::Protocol::Mlflow), failure };

const LENIENT: Dialect = Dialect { drop_unknown: true, ..DIALECT };
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

impl Protocol for Mlflow {
    fn routes(&self, app: &Arc<App>) -> Router {
        let version = |_: &App, id: &HeaderValue| http::typed(StatusCode::OK, env!("CARGO_PKG_VERSION"), &PLAIN, id);
        let calls = Arc::clone(app);
        Router::new()
            .route("/version", http::page(app, version))
            .route("/invocations", post(async move |request: Request| invoke(&calls, request).await))
    }

    fn health(&self, app: &Arc<App>) -> Router {
        Router::new().route("/ping", http::page(app, health)).route("/health", http::page(app, health))
    }

    fn speaker(&self) -> &'static Speaker {
        &SPEAKER
    }
}

fn health(app: &App, id: &HeaderValue) -> Response {
    let status = if app.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    http::typed(status, "\n", &http::JSON, id)
}

/// Writes a failure with MLflow's own names for kinds of failure.
fn failure(failure: &Failure, id: &HeaderValue) -> Response {
    let code = match failure.plain_status().as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "REQUEST_LIMIT_EXCEEDED",
        503 | 504 => "TEMPORARILY_UNAVAILABLE",
        500.. => "INTERNAL_ERROR",
        _ => "BAD_REQUEST",
    };
    http::json(failure.plain_status(), &json!({"error_code": code, "message": failure.sentence()}), id)
}

/// How the body is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Media {
    Json,
    Csv,
    Other,
}

async fn invoke(app: &Arc<App>, request: Request) -> Response {
    let mut exchange = Exchange::new(app, &SPEAKER, request);
    let callee = models::default_callee(app);
    exchange.callee = Some(callee);
    let answer = match media(&app.called(callee).1.input, exchange.headers()) {
        Ok(media) => exchange.run(move |app, body| read(app, callee, media, body), write).await,
        Err(failure) => Err(failure),
    };
    exchange.finish(answer)
}

fn media(form: &Form, headers: &HeaderMap) -> Result<Media, Failure> {
    let given =
        headers.get(header::CONTENT_TYPE).map_or("application/json", |given| given.to_str().unwrap_or_default());
    let given = given.to_ascii_lowercase();
    let mut parts = given.split(';').map(str::trim);
    let media = match (parts.next().unwrap_or_default(), form) {
        ("application/json", _) => Media::Json,
        ("text/csv", Form::Table(_)) => Media::Csv,
        (_, Form::Text | Form::Binary { .. }) => Media::Other,
        _ => {
            let message = "send the body with `Content-Type: application/json` or `text/csv`";
            return Err(Failure::new(Code::UnsupportedMediaType, message));
        }
    };
    match parts.filter_map(|part| part.strip_prefix("charset=")).find(|charset| charset.trim_matches('"') != "utf-8") {
        Some(_) => Err(Failure::new(Code::UnsupportedMediaType, "send the body in UTF-8")),
        None => Ok(media),
    }
}

#[derive(Deserialize)]
struct Invocation<'a> {
    #[serde(borrow)]
    dataframe_split: Option<Split<'a>>,
    #[serde(borrow)]
    dataframe_records: Option<&'a RawValue>,
    #[serde(borrow)]
    instances: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Split<'a> {
    /// Names, or the numbers that a data frame without names has.
    #[serde(borrow)]
    columns: Option<&'a RawValue>,
    #[serde(borrow)]
    data: &'a RawValue,
}

fn read(app: &App, callee: Callee, media: Media, body: Bytes) -> Result<Call<bool>, Failure> {
    let form = &app.called(callee).1.input;
    let asked = match (media, form) {
        (Media::Json, _) => read_json(form, &validate::without_words(&body, |_| Ok(form))?)?,
        (Media::Csv, Form::Table(schema)) => Asked::whole(Payload::Table(csv::read(schema, LENIENT, &body)?)),
        (Media::Csv | Media::Other, _) => Asked::whole(validate::content(form, body, "")?),
    };
    Ok(Call { callee, payloads: asked.payloads, style: asked.each })
}

/// What a body in JSON asks about.
enum Input<'a> {
    Split(Split<'a>),
    Records(&'a RawValue),
    Instances(&'a RawValue),
    Inputs(&'a RawValue),
}

impl<'a> Invocation<'a> {
    /// Returns the one form that the body has; `None` where it has none.
    fn input(self) -> Result<Option<Input<'a>>, Failure> {
        let given = [
            self.dataframe_split.map(Input::Split),
            self.dataframe_records.map(Input::Records),
            self.instances.map(Input::Instances),
            self.inputs.map(Input::Inputs),
        ];
        let mut given = given.into_iter().flatten();
        match (given.next(), given.next()) {
            (only, None) => Ok(only),
            _ => Err(wrong_form()),
        }
    }
}

fn wrong_form() -> Failure {
    let message = "must have `dataframe_split`, `dataframe_records`, `instances` or `inputs`, one that fits the model";
    invalid("", message)
}

fn read_json(form: &Form, body: &[u8]) -> Result<Asked, Failure> {
    let whole: &RawValue = validate::envelope(body)?;
    let input = match whole.get().as_bytes()[0] {
        b'{' => validate::envelope::<Invocation<'_>>(body)?.input()?,
        b'[' if !matches!(form, Form::Json { .. }) => Some(Input::Instances(whole)),
        _ => None,
    };
    match (input, form) {
        (Some(Input::Split(split)), Form::Table(schema)) => {
            let names = split.columns.map(|columns| names(columns.get())).transpose()?.flatten();
            let reader = TableReader::new(schema, LENIENT);
            let table = reader.rows("/dataframe_split/data", split.data.get(), names.as_deref())?;
            Ok(Asked::whole(Payload::Table(table)))
        }
        (Some(Input::Records(rows)), Form::Table(_)) => {
            instances::instances(form, LENIENT, "/dataframe_records", rows.get())
        }
        (Some(Input::Instances(rows)), _) => instances::instances(form, LENIENT, "/instances", rows.get()),
        (Some(Input::Inputs(inputs)), _) => instances::inputs(form, LENIENT, "/inputs", inputs.get()),
        (None, Form::Json { .. }) => Ok(Asked::whole(validate::content(form, whole.get().to_owned().into(), "")?)),
        _ => Err(wrong_form()),
    }
}

/// Reads the names of columns; `None` where they are the numbers from 0 that a data frame without names has.
fn names(columns: &str) -> Result<Option<Vec<String>>, Failure> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Columns {
        Names(Vec<String>),
        Numbers(Vec<usize>),
    }
    match serde_json::from_str(columns) {
        Ok(Columns::Names(names)) => Ok(Some(names)),
        Ok(Columns::Numbers(numbers)) if numbers.iter().copied().eq(0..numbers.len()) => Ok(None),
        _ => Err(invalid("/dataframe_split/columns", "must be names of columns, or the numbers from 0 in order")),
    }
}

fn write(endpoint: &Endpoint, results: Vec<Payload>, each: bool) -> Reply {
    let mut out = b"{\"predictions\":".to_vec();
    instances::write_predictions(&mut out, &endpoint.output, &results, each, Rows::Objects);
    out.push(b'}');
    Reply::json(out)
}

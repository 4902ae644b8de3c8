//! Seldon Core V1: predictions, and feedback, which is counted.
//!
//! | member | for endpoints that take or give |
//! |---|---|
//! | `data.ndarray` | tables, as lists in the order of `data.names` or the contract's; tensors |
//! | `data.tensor` | the same, as a shape and flat values; answers of tables are always `ndarray` |
//! | `strData`, `jsonData`, `binData` | texts, JSON, bytes |

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::instances::{self, DIALECT, invalid};
use super::{Protocol, models, tensors};
use crate::server::app::{App, Callee};
use crate::server::contract::{Endpoint, Form, Schema};
use crate::server::data::{Payload, Table};
use crate::server::exchange::{Call, Exchange, Reply, Speaker};
use crate::server::failure::Failure;
use crate::server::validate::{self, Grid, TableReader, TensorReader};
use crate::server::{http, render};
use crate::service;

/// See the module.
pub(super) struct Seldon;

static SPEAKER: Speaker = Speaker { protocol: Some(service::Protocol::Seldon), failure };

impl Protocol for Seldon {
    fn routes(&self, app: &Arc<App>) -> Router {
        let (calls, feedback) = (Arc::clone(app), Arc::clone(app));
        Router::new()
            .route("/api/v1.0/predictions", post(async move |request: Request| predict(&calls, request).await))
            .route("/api/v1.0/feedback", post(async move |request: Request| count(&feedback, request).await))
    }

    fn health(&self, app: &Arc<App>) -> Router {
        Router::new()
            .route("/api/v1.0/health/status", http::page(app, health))
            .route("/api/v1.0/health/ping", http::page(app, health))
    }

    fn speaker(&self) -> &'static Speaker {
        &SPEAKER
    }
}

fn failure(failure: &Failure, id: &HeaderValue) -> Response {
    let status = failure.plain_status();
    let reason = failure.code.text().to_ascii_uppercase();
    let body = json!({"code": status.as_u16(), "info": failure.sentence(), "reason": reason, "status": "FAILURE"});
    http::json(status, &json!({"status": body}), id)
}

fn health(app: &App, id: &HeaderValue) -> Response {
    let status = if app.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    http::json(status, &json!({"meta": {}, "strData": if app.is_ready() { "ready" } else { "not ready" }}), id)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    #[serde(default)]
    meta: Option<Meta>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
    str_data: Option<String>,
    #[serde(borrow)]
    json_data: Option<&'a RawValue>,
    bin_data: Option<String>,
}

#[derive(Default, Deserialize)]
struct Meta {
    puid: Option<String>,
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(default)]
    names: Vec<String>,
    #[serde(borrow)]
    ndarray: Option<&'a RawValue>,
    #[serde(borrow)]
    tensor: Option<Flat<'a>>,
}

#[derive(Deserialize)]
struct Flat<'a> {
    shape: Vec<usize>,
    #[serde(borrow)]
    values: &'a RawValue,
}

/// What the answer needs to know of the request.
struct Style {
    meta: Value,
    /// Whether a tensor is written as a shape and flat values.
    flat: bool,
}

async fn predict(app: &Arc<App>, request: Request) -> Response {
    let mut exchange = Exchange::new(app, &SPEAKER, request);
    let callee = models::default_callee(app);
    exchange.callee = Some(callee);
    let id = exchange.id().to_str().unwrap_or_default().to_owned();
    let answer = exchange.run(move |app, body| read(app, callee, body, id), write).await;
    exchange.finish(answer)
}

fn read(app: &App, callee: Callee, body: Bytes, id: String) -> Result<Call<Style>, Failure> {
    let (pool, endpoint) = app.called(callee);
    let body = validate::without_words(&body, |_| Ok(&endpoint.input))?;
    let message: Message<'_> = validate::envelope(&body)?;
    let flat = message.data.as_ref().is_some_and(|data| data.tensor.is_some());
    let puid = message.meta.unwrap_or_default().puid.unwrap_or(id);
    let meta = json!({"puid": puid, "requestPath": {&app.service.name: pool.name()}});
    let payload = match (&endpoint.input, message.data) {
        (Form::Table(schema), Some(data)) => Payload::Table(table(schema, &data)?),
        (Form::Tensor { dtype, shape }, Some(data)) => {
            let tensor = |place: &str| TensorReader::new(*dtype, shape, DIALECT, place);
            Payload::Tensor(match (data.ndarray, data.tensor) {
                (Some(lists), None) => tensor("/data/ndarray").nested(lists.get())?,
                (None, Some(flat)) => {
                    let mut tensor = tensor("/data/tensor/values");
                    validate::flatten(&mut tensor, "/data/tensor/values", flat.values.get())?;
                    tensor.shaped(&flat.shape)?
                }
                _ => return Err(wrong_data()),
            })
        }
        (form @ Form::Text, None) => match message.str_data {
            Some(text) => validate::content(form, text.into(), "/strData")?,
            None => return Err(invalid("", "must have `strData`")),
        },
        (form @ Form::Json { .. }, None) => match message.json_data {
            Some(json) => validate::content(form, json.get().to_owned().into(), "/jsonData")?,
            None => return Err(invalid("", "must have `jsonData`")),
        },
        (form @ Form::Binary { .. }, None) => match message.bin_data.as_deref().map(validate::base64) {
            Some(Some(bytes)) => validate::content(form, bytes.into(), "/binData")?,
            _ => return Err(invalid("", "must have `binData` in base64")),
        },
        (Form::Table(_) | Form::Tensor { .. }, None) => return Err(wrong_data()),
        (_, Some(_)) => return Err(invalid("/data", "must be `strData`, `jsonData` or `binData` for this model")),
    };
    Ok(Call { callee, payloads: vec![payload], style: Style { meta, flat } })
}

fn wrong_data() -> Failure {
    invalid("/data", "must have `ndarray` or `tensor`, one of the two")
}

fn table(schema: &Schema, data: &Data<'_>) -> Result<Table, Failure> {
    let reader = TableReader::new(schema, DIALECT);
    let names = Some(data.names.as_slice()).filter(|names| !names.is_empty());
    match (data.ndarray, &data.tensor) {
        (Some(rows), None) => reader.rows("/data/ndarray", rows.get(), names),
        (None, Some(tensor)) => flat_table(reader, schema, tensor, names),
        _ => Err(wrong_data()),
    }
}

fn flat_table(
    mut table: TableReader<'_>,
    schema: &Schema,
    tensor: &Flat<'_>,
    names: Option<&[String]>,
) -> Result<Table, Failure> {
    const VALUES: &str = "/data/tensor/values";
    let positions: Option<Vec<usize>> = match names {
        Some(names) => names.iter().enumerate().map(|(guess, name)| schema.position(name, guess)).collect(),
        None => Some((0..schema.rules.len()).collect()),
    };
    let positions = positions.ok_or_else(|| invalid("/data/names", "must be names of the model's columns"))?;
    let rows = match *tensor.shape.as_slice() {
        [rows, columns] if columns == positions.len() && columns > 0 => rows,
        _ => return Err(invalid("/data/tensor/shape", "must be `[rows, columns]`")),
    };
    let expected = rows.saturating_mul(positions.len());
    let mut grid = Grid::new(&mut table, positions, VALUES);
    validate::flatten(&mut grid, VALUES, tensor.values.get())?;
    grid.finish(expected);
    table.finish_columns()
}

fn write(endpoint: &Endpoint, results: Vec<Payload>, style: Style) -> Result<Reply, Failure> {
    tensors::check_finite(&results)?;
    let mut out = format!("{{\"meta\":{},", style.meta).into_bytes();
    match (&endpoint.output, &results[0]) {
        (Form::Table(schema), Payload::Table(table)) => {
            let names: Vec<&str> = schema.rules.iter().map(|rule| rule.name.as_str()).collect();
            out.extend_from_slice(format!("\"data\":{{\"names\":{},\"ndarray\":", json!(names)).as_bytes());
            render::lists(&mut out, schema, table);
            out.push(b'}');
        }
        (_, Payload::Tensor(tensor)) if style.flat => {
            let shape = format!("\"data\":{{\"tensor\":{{\"shape\":{},\"values\":", json!(tensor.shape));
            out.extend_from_slice(shape.as_bytes());
            render::flat_tensor(&mut out, tensor);
            out.extend_from_slice(b"}}");
        }
        (_, Payload::Tensor(tensor)) => {
            out.extend_from_slice(b"\"data\":{\"ndarray\":");
            render::nested_tensor(&mut out, tensor);
            out.push(b'}');
        }
        (Form::Binary { .. }, Payload::Bytes(bytes)) => {
            out.extend_from_slice(b"\"binData\":");
            render::scalar(&mut out, validate::to_base64(bytes));
        }
        (form, result) => {
            out.extend_from_slice(if matches!(form, Form::Json { .. }) { b"\"jsonData\":" } else { b"\"strData\":" });
            instances::write_value(&mut out, form, result, instances::Rows::Objects);
        }
    }
    out.push(b'}');
    Ok(Reply::json(out))
}

/// Accepts feedback on an earlier answer. Models here do not learn; it is counted.
async fn count(app: &Arc<App>, request: Request) -> Response {
    let mut exchange = Exchange::new(app, &SPEAKER, request);
    let answer = match exchange.body().await {
        Ok(body) => http::work(body.len(), move || check_feedback(&body)).await.map(|()| {
            app.metrics.feedback();
            http::json(StatusCode::OK, &json!({"meta": {}}), exchange.id())
        }),
        Err(failure) => Err(failure),
    };
    exchange.finish(answer)
}

/// Makes sure that feedback is an object, of which nothing is kept.
fn check_feedback(body: &[u8]) -> Result<(), Failure> {
    let feedback: &RawValue = validate::envelope(body)?;
    if feedback.get().starts_with('{') { Ok(()) } else { Err(invalid("", "must be an object")) }
}

//! `:predict` and `:explain`: `{"instances": […]}` or `{"inputs": …}`.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::server::app::{App, Callee};
use crate::server::contract::{Endpoint, Form};
use crate::server::data::Payload;
use crate::server::exchange::{Call, Reply};
use crate::server::failure::{Code, Failure};
use crate::server::protocol::instances::{self, DIALECT, Rows};
use crate::server::protocol::{models, tensors};
use crate::server::validate;
use crate::service;

/// The signature that stands for none in particular.
const DEFAULT_SIGNATURE: &str = "serving_default";

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Style {
    member: Member,
    each: bool,
    /// Whether the answer must be JSON: TensorFlow Serving's clients alone read `NaN`.
    strict: bool,
}

/// The answer's one member.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Member {
    Predictions,
    Outputs,
    Explanations,
}

#[derive(Deserialize)]
struct Predict<'a> {
    signature_name: Option<String>,
    #[serde(borrow)]
    instances: Option<&'a RawValue>,
    #[serde(borrow)]
    inputs: Option<&'a RawValue>,
}

/// Reads a request; `by_column` says whether `inputs` is TensorFlow Serving's, which is answered by column.
pub(super) fn read(app: &App, callee: Callee, by_column: bool, body: Bytes) -> Result<Call<Style>, Failure> {
    let body = validate::without_words(&body, |body| input(app, callee, body))?;
    let request: Predict<'_> = validate::envelope(&body)?;
    let callee = signature(app, callee, request.signature_name.as_deref())?;
    let form = &app.called(callee).1.input;
    let (asked, member) = match (request.instances, request.inputs) {
        (Some(rows), None) => (instances::instances(form, DIALECT, "/instances", rows.get())?, Member::Predictions),
        (None, Some(inputs)) if by_column => {
            (instances::inputs(form, DIALECT, "/inputs", inputs.get())?, Member::Outputs)
        }
        (None, Some(rows)) => (instances::instances(form, DIALECT, "/inputs", rows.get())?, Member::Predictions),
        _ => return Err(instances::invalid("", "must have `instances` or `inputs`, one of the two")),
    };
    let strict = super::is_on(app, service::Protocol::Kserve);
    Ok(Call { callee, payloads: asked.payloads, style: Style { member, each: asked.each, strict } })
}

/// Reads a request for an explanation, which has the form of a prediction's.
pub(super) fn read_explain(app: &App, callee: Callee, body: Bytes) -> Result<Call<Style>, Failure> {
    let mut call = read(app, callee, false, body)?;
    call.style.member = Member::Explanations;
    Ok(call)
}

/// Returns what the endpoint takes that a body's signature names.
pub(super) fn input<'a>(app: &'a App, default: Callee, body: &[u8]) -> Result<&'a Form, Failure> {
    #[derive(Deserialize)]
    struct Named {
        signature_name: Option<String>,
    }
    let named: Named = validate::envelope(body)?;
    let callee = signature(app, default, named.signature_name.as_deref())?;
    Ok(&app.called(callee).1.input)
}

/// Finds the endpoint that a signature names.
pub(super) fn signature(app: &App, default: Callee, name: Option<&str>) -> Result<Callee, Failure> {
    match name {
        None | Some("" | DEFAULT_SIGNATURE) => Ok(default),
        Some(name) => {
            let unknown = || Failure::new(Code::InvalidInput, "the model has no signature of this name");
            models::endpoint(app, name).map(|endpoint| Callee { endpoint, ..default }).ok_or_else(unknown)
        }
    }
}

pub(super) fn write(endpoint: &Endpoint, results: Vec<Payload>, style: Style) -> Result<Reply, Failure> {
    if style.strict {
        tensors::check_finite(&results)?;
    }
    let mut out = match style.member {
        Member::Predictions => b"{\"predictions\":".to_vec(),
        Member::Outputs => b"{\"outputs\":".to_vec(),
        Member::Explanations => b"{\"explanations\":".to_vec(),
    };
    match style.member {
        Member::Outputs => instances::write_outputs(&mut out, endpoint, &results[0]),
        _ => instances::write_predictions(&mut out, &endpoint.output, &results, style.each, Rows::Bare),
    }
    out.push(b'}');
    Ok(Reply::json(out))
}

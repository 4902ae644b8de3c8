//! `ModelInfer`: tensors of a message to an endpoint's input, and results to tensors of a message.
//!
//! Elements stand in `contents`, or one after the other in the raw contents; the answer has them where the request had them.

use bytes::Bytes;
use prost::encoding::{self, DecodeContext, WireType, decode_key};
use prost::{DecodeError, Message};

use super::frame;
use super::message::{self, BYTES, Contents, InferRequest, InferResponse, ParameterValue, RequestedOutput, Tensor};
use crate::server::app::App;
use crate::server::contract::Endpoint;
use crate::server::data::Payload;
use crate::server::exchange::{Call, Reply};
use crate::server::failure::{Code, Failure};
use crate::server::protocol::instances::invalid;
use crate::server::protocol::models;
use crate::server::protocol::tensor_inputs::{self, ByteStrings, Data, Given, push_bytes};
use crate::server::protocol::tensor_outputs::{self, Produced, Wanted};
use crate::server::protocol::tensors::{self, Kind};
use crate::service::Dtype;

/// What the answer needs to know of the request.
pub(super) struct Style {
    model_name: String,
    id: String,
    outputs: Vec<Wanted>,
    /// Whether elements are sent as bytes.
    raw: bool,
    version: String,
}

/// How many tensors a request may name, and bytes that its wanted outputs may take. An empty tensor takes two bytes in a message, but
/// hundreds in memory.
const MAX_TENSORS: usize = 20_000;
const MAX_OUTPUTS: usize = 1 << 20;

/// Reads a request.
pub(super) fn read(app: &App, body: Bytes) -> Result<Call<Style>, Failure> {
    let message = frame::only(body)?;
    check_counts(message.clone())?;
    let request: InferRequest = frame::decode(message)?;
    let callee = models::find(app, &request.model_name, message::asked(&request.model_version))?;
    let (pool, endpoint) = app.called(callee);
    let raw = !request.raw_contents.is_empty();
    let payloads = tensor_inputs::payloads(endpoint, given(request.inputs, request.raw_contents)?)?;
    let outputs: Vec<Wanted> = request.outputs.into_iter().map(Wanted::from).collect();
    tensor_outputs::check_wanted(endpoint, &outputs)?;
    let (model_name, version) = (request.model_name, pool.name().to_owned());
    Ok(Call { callee, payloads, style: Style { model_name, id: request.id, outputs, raw, version } })
}

/// Walks the message's fields without building anything.
fn check_counts(mut message: Bytes) -> Result<(), Failure> {
    let malformed = |_| Failure::new(Code::MalformedBody, "the message is not of the type that is called for");
    let (mut tensors, mut outputs) = (0, 0);
    while let Some((tag, content)) = next_field(&mut message).map_err(malformed)? {
        match tag {
            5 | 7 => tensors += 1,
            6 => outputs += content.len() + 2,
            _ => {}
        }
        if tensors > MAX_TENSORS || outputs > MAX_OUTPUTS {
            return Err(Failure::new(Code::InvalidInput, "the request names too many tensors"));
        }
    }
    Ok(())
}

/// Takes the next field off a message: its number, and its content where that is text, bytes or a message.
fn next_field(message: &mut Bytes) -> Result<Option<(u32, Bytes)>, DecodeError> {
    if message.is_empty() {
        return Ok(None);
    }
    let (tag, wire_type) = decode_key(message)?;
    let (mut content, context) = (Bytes::new(), DecodeContext::default());
    match wire_type {
        WireType::LengthDelimited => encoding::bytes::merge(wire_type, &mut content, message, context),
        _ => encoding::skip_field(wire_type, tag, message, context),
    }?;
    Ok(Some((tag, content)))
}

impl From<RequestedOutput> for Wanted {
    fn from(output: RequestedOutput) -> Self {
        let classes = output.parameters.get("classification").and_then(|parameter| match parameter.value {
            Some(ParameterValue::Int(count)) => usize::try_from(count).ok(),
            Some(ParameterValue::Uint(count)) => usize::try_from(count).ok(),
            _ => None,
        });
        Self { name: output.name, binary: None, classes }
    }
}

/// Finds the elements of every tensor.
fn given(inputs: Vec<Tensor>, raw: Vec<Bytes>) -> Result<Vec<Given<'static>>, Failure> {
    if !raw.is_empty() && raw.len() != inputs.len() {
        return Err(invalid("/raw_input_contents", "must have one element for each of `inputs`"));
    }
    let mut raw = raw.into_iter();
    let inputs = inputs.into_iter().enumerate();
    inputs.map(|(number, input)| tensor(number, input, raw.next())).collect()
}

fn tensor(number: usize, input: Tensor, raw: Option<Bytes>) -> Result<Given<'static>, Failure> {
    let place = |member: &str| format!("/inputs/{number}/{member}");
    let kind = tensors::parse_datatype(&input.datatype)
        .ok_or_else(|| invalid(&place("datatype"), "is not a type that this model takes"))?;
    let shape: Option<Vec<usize>> = input.shape.iter().map(|&length| usize::try_from(length).ok()).collect();
    let shape = shape.ok_or_else(|| invalid(&place("shape"), "must have no negative lengths"))?;
    let data = match (raw, input.contents) {
        (Some(bytes), None) => bytes,
        (None, Some(contents)) => elements(kind, contents)
            .ok_or_else(|| invalid(&place("contents"), "must have elements that fit the type, in the field for it"))?,
        (Some(_), Some(_)) => return Err(invalid(&place("contents"), "must be empty beside raw contents")),
        (None, None) => Bytes::new(),
    };
    Ok(Given { name: input.name, shape, kind, base64: false, data: Data::Binary(data), place: place("contents") })
}

/// Returns elements as raw contents have them; `None` where they do not fit their type.
fn elements(kind: Kind, contents: Bytes) -> Option<Bytes> {
    let Kind::Element(dtype) = kind else { return byte_elements(contents) };
    let contents = Contents::decode(contents).ok()?;
    macro_rules! wide {
        ($values:expr) => {
            $values.into_iter().flat_map(|value| value.to_le_bytes()).collect()
        };
    }
    macro_rules! narrow {
        ($values:expr, $type:ty) => {
            $values.into_iter().try_fold(Vec::new(), |mut bytes, value| {
                bytes.extend_from_slice(&<$type>::try_from(value).ok()?.to_le_bytes());
                Some(bytes)
            })?
        };
    }
    let bytes: Vec<u8> = match dtype {
        Dtype::Bool => contents.bools.into_iter().map(u8::from).collect(),
        Dtype::Int8 => narrow!(contents.ints, i8),
        Dtype::Int16 => narrow!(contents.ints, i16),
        Dtype::Int32 => wide!(contents.ints),
        Dtype::Int64 => wide!(contents.longs),
        Dtype::Uint8 => narrow!(contents.uints, u8),
        Dtype::Uint16 => narrow!(contents.uints, u16),
        Dtype::Uint32 => wide!(contents.uints),
        Dtype::Uint64 => wide!(contents.ulongs),
        Dtype::Float32 => wide!(contents.floats),
        Dtype::Float64 => wide!(contents.doubles),
    };
    Some(bytes.into())
}

fn byte_elements(mut contents: Bytes) -> Option<Bytes> {
    let mut bytes = Vec::new();
    while let Some((tag, element)) = next_field(&mut contents).ok()? {
        if tag == BYTES {
            push_bytes(&mut bytes, &element);
        }
    }
    Some(bytes.into())
}

/// Writes the results of all calls that the request took.
pub(super) fn write(endpoint: &Endpoint, results: Vec<Payload>, style: Style) -> Result<Reply, Failure> {
    let mut response = InferResponse {
        model_name: style.model_name,
        model_version: style.version,
        id: style.id,
        ..InferResponse::default()
    };
    for output in tensor_outputs::produce(endpoint, &results, &style.outputs) {
        let Some(bytes) = output.bytes() else { return Err(missing(&output)) };
        let mut tensor = Tensor {
            name: output.name.to_owned(),
            datatype: tensors::datatype(output.kind).to_owned(),
            shape: output.shape.iter().map(|&length| length as i64).collect(),
            contents: None,
        };
        if style.raw {
            response.raw_contents.push(bytes.into());
        } else {
            tensor.contents = Some(contents(output.kind, bytes.into()));
        }
        response.outputs.push(tensor);
    }
    Ok(Reply { content: frame::encode(&response), media_type: frame::MEDIA_TYPE, header: None })
}

/// No element can say that it is missing, and one that looks like a value would be a lie.
fn missing(output: &Produced<'_>) -> Failure {
    let message =
        format!("the output `{}` has missing values, which gRPC has no form for: ask for other outputs", output.name);
    Failure::new(Code::InvalidOutput, message)
}

/// Puts elements into the field of their type.
fn contents(kind: Kind, bytes: Bytes) -> Bytes {
    let Kind::Element(dtype) = kind else { return byte_contents(bytes) };
    let mut contents = Contents::default();
    macro_rules! fill {
        ($field:ident, $type:ty) => {{
            let elements = bytes.chunks_exact(size_of::<$type>());
            let element = |bytes: &[u8]| <$type>::from_le_bytes(bytes.try_into().expect("chunks have the type's size"));
            contents.$field = elements.map(|bytes| element(bytes).into()).collect();
        }};
    }
    match dtype {
        Dtype::Bool => contents.bools = bytes.iter().map(|&byte| byte != 0).collect(),
        Dtype::Int8 => fill!(ints, i8),
        Dtype::Int16 => fill!(ints, i16),
        Dtype::Int32 => fill!(ints, i32),
        Dtype::Int64 => fill!(longs, i64),
        Dtype::Uint8 => fill!(uints, u8),
        Dtype::Uint16 => fill!(uints, u16),
        Dtype::Uint32 => fill!(uints, u32),
        Dtype::Uint64 => fill!(ulongs, u64),
        Dtype::Float32 => fill!(floats, f32),
        Dtype::Float64 => fill!(doubles, f64),
    }
    contents.encode_to_vec().into()
}

fn byte_contents(bytes: Bytes) -> Bytes {
    let mut contents = Vec::with_capacity(bytes.len());
    for element in ByteStrings::of(bytes) {
        encoding::bytes::encode(BYTES, &element.expect("results are written whole"), &mut contents);
    }
    contents.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_strings_are_read_as_they_are_written() {
        let raw = Bytes::from_static(b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c");
        let contents = contents(Kind::Bytes, raw.clone());
        assert_eq!(&contents[..], b"\x42\x02ab\x42\0\x42\x01c");
        assert_eq!(elements(Kind::Bytes, contents.clone()), Some(raw));
        assert_eq!(elements(Kind::Element(Dtype::Int32), contents), Some(Bytes::new()), "they are no numbers");
        assert_eq!(elements(Kind::Bytes, Bytes::from_static(b"\x42\x02a")), None);
    }
}

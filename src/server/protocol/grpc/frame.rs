//! gRPC over HTTP/2: messages in their frames, and statuses (the gRPC protocol's own specification, "gRPC over HTTP2").
//!
//! A message is a byte that says whether it is compressed, its length in 32 bits, big-endian, and its bytes. Compressed messages are not
//! taken, as the refusal of one says.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use prost::Message;

use crate::server::failure::{Code, Failure};
use crate::server::http;

/// The media type of gRPC.
pub(super) const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/grpc");
/// Bytes before each message.
pub(super) const PREFIX: usize = 5;
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
/// Where messages of failures are cut: clients take 8 KiB of trailers, and a byte may become three.
const MAX_MESSAGE: usize = 2048;

/// Takes the one message out of a body.
pub(super) fn only(mut body: Bytes) -> Result<Bytes, Failure> {
    match next(&mut body)? {
        Some(message) if body.is_empty() => Ok(message),
        _ => Err(Failure::new(Code::MalformedBody, "the body must be one message")),
    }
}

/// Takes the next message off a body; `None` where it is not there as a whole.
pub(super) fn next(body: &mut Bytes) -> Result<Option<Bytes>, Failure> {
    let Some(&[compressed, a, b, c, d]) = body.first_chunk::<PREFIX>() else { return Ok(None) };
    if compressed != 0 {
        return Err(Failure::new(Code::UnsupportedMediaType, "send messages without compression"));
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if body.len() - PREFIX < length {
        return Ok(None);
    }
    body.advance(PREFIX);
    Ok(Some(body.split_to(length)))
}

/// Reads a message.
pub(super) fn decode<M: Message + Default>(message: Bytes) -> Result<M, Failure> {
    M::decode(message)
        .map_err(|_| Failure::new(Code::MalformedBody, "the message is not of the type that is called for"))
}

/// Writes a message in its frame.
pub(super) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = Vec::with_capacity(PREFIX + length);
    frame.push(0);
    frame.extend_from_slice(&(length as u32).to_be_bytes());
    message.encode(&mut frame).expect("a vector has room for all");
    frame.into()
}

/// Puts the status of success behind an answer.
pub(super) fn succeed(response: Response) -> Response {
    response.map(|body| Body::new(body.with_trailers(std::future::ready(Some(Ok(success()))))))
}

/// Returns the trailers of success.
pub(super) fn success() -> HeaderMap {
    HeaderMap::from_iter([(STATUS, HeaderValue::from(0))])
}

/// Returns an answer that is a failure's status alone.
pub(super) fn fail(failure: &Failure, id: &HeaderValue) -> Response {
    let mut response = http::typed(StatusCode::OK, Body::empty(), &MEDIA_TYPE, id);
    response.headers_mut().extend(failed(failure));
    if failure.code == Code::UnsupportedMediaType {
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    response
}

/// Returns the trailers of a failure.
pub(super) fn failed(failure: &Failure) -> HeaderMap {
    let sentence = failure.sentence();
    let start = &sentence[..sentence.floor_char_boundary(MAX_MESSAGE)];
    let message = HeaderValue::try_from(percent_encoded(start)).expect("percent-encoded text is ASCII");
    HeaderMap::from_iter([(STATUS, HeaderValue::from(status(failure.code))), (MESSAGE, message)])
}

/// Returns the status code (the gRPC specification's "Status codes and their use") for what HTTP has a status for.
fn status(code: Code) -> u16 {
    match code.status() {
        400 | 422 => 3,  // INVALID_ARGUMENT
        408 | 504 => 4,  // DEADLINE_EXCEEDED
        404 => 5,        // NOT_FOUND
        403 => 7,        // PERMISSION_DENIED
        413 | 429 => 8,  // RESOURCE_EXHAUSTED
        405 | 415 => 12, // UNIMPLEMENTED
        502 | 503 => 14, // UNAVAILABLE
        401 => 16,       // UNAUTHENTICATED
        _ => 13,         // INTERNAL
    }
}

fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => out.push(byte.into()),
            _ => write!(out, "%{byte:02X}").expect("writing to a String cannot fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_one_by_one_and_only_whole() {
        let mut body = Bytes::from_static(b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x01");
        assert_eq!(next(&mut body).unwrap().as_deref(), Some(b"ab".as_slice()));
        assert_eq!(next(&mut body).unwrap().as_deref(), Some(b"".as_slice()));
        assert_eq!(next(&mut body).unwrap(), None);
        for wrong in [b"".as_slice(), b"\0\0\0\0", b"\0\0\0\0\x02a", b"\0\0\0\0\0\0"] {
            assert_eq!(only(Bytes::from_static(wrong)).unwrap_err().code, Code::MalformedBody, "{wrong:?}");
        }
        let compressed = only(Bytes::from_static(b"\x01\0\0\0\0")).unwrap_err();
        assert_eq!(status(compressed.code), 12);
    }

    #[test]
    fn messages_of_failures_are_ascii() {
        assert_eq!(percent_encoded("50 % of ąžuolai\n"), "50 %25 of %C4%85%C5%BEuolai%0A");
    }

    #[test]
    fn messages_of_failures_fit_the_trailers_that_clients_take() {
        let failure = Failure::new(Code::InvalidInput, format!("x{}", "ž".repeat(9000)));
        let message = failed(&failure)[MESSAGE].to_str().unwrap().to_owned();
        assert!(message.starts_with("x%C5%BE") && message.ends_with("%C5%BE") && message.len() < 7000, "{message}");
    }

    #[test]
    fn who_compresses_is_told_not_to() {
        let id = HeaderValue::from_static("1");
        let compressed = only(Bytes::from_static(b"\x01\0\0\0\0")).unwrap_err();
        assert_eq!(fail(&compressed, &id).headers()[ACCEPT_ENCODING], "identity");
        assert!(!fail(&Failure::new(Code::NotFound, ""), &id).headers().contains_key(ACCEPT_ENCODING));
    }
}

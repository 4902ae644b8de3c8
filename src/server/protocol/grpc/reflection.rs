//! Server reflection (`grpc.reflection.v1`, and `v1alpha`, which is the same): which services there are, and their messages. The
//! descriptors are made of the .proto files beside this one by `describe.sh`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use prost::Message;
use tokio::time::timeout;

use super::{HEALTH, INFERENCE, frame};
use crate::server::app::App;
use crate::server::failure::{Code, Failure};
use crate::server::http;

/// Sets of one file each (`google.protobuf.FileDescriptorSet`), with the package that it describes.
const FILES: [(&str, &[u8]); 2] =
    [("inference.", include_bytes!("inference.pb")), ("grpc.health.v1.", include_bytes!("health.pb"))];

/// The longest question.
const MAX_QUESTION: usize = 4096;
/// gRPC's NOT_FOUND, as it stands in an answer.
const NOT_FOUND: i32 = 5;

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Wanted", tags = "3, 4, 7")]
    wanted: Option<Wanted>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Wanted {
    #[prost(string, tag = "3")]
    File(String),
    #[prost(string, tag = "4")]
    Symbol(String),
    #[prost(string, tag = "7")]
    Services(String),
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(message, optional, tag = "2")]
    question: Option<Question>,
    #[prost(oneof = "Given", tags = "4, 6, 7")]
    given: Option<Given>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Given {
    #[prost(message, tag = "4")]
    Files(Files),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(Error),
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    descriptors: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<Named>,
}

#[derive(Clone, PartialEq, Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Error {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Makes the handler: questions are answered one by one, as they come.
pub(super) fn route(app: &Arc<App>) -> MethodRouter {
    let app = Arc::clone(app);
    post(async move |request: Request| {
        let (parts, body) = request.into_parts();
        let id = http::request_id(&parts.headers);
        if let Err(failure) = super::check_headers(&parts.headers) {
            return frame::fail(&failure, &id);
        }
        let (sender, answers) = Channel::<Bytes>::new(1);
        tokio::spawn(converse(Arc::clone(&app), body, sender));
        http::typed(StatusCode::OK, Body::new(answers), &frame::MEDIA_TYPE, &id)
    })
}

async fn converse(app: Arc<App>, body: Body, mut sender: Sender<Bytes>) {
    let trailers = match answer_all(&app, body, &mut sender).await {
        Ok(()) => frame::success(),
        Err(failure) => frame::failed(&failure),
    };
    // The client may have gone; then nobody needs to know.
    let _ = sender.send_trailers(trailers).await;
}

async fn answer_all(app: &App, mut body: Body, sender: &mut Sender<Bytes>) -> Result<(), Failure> {
    let late = |_| Failure::new(Code::BodyTimeout, "no question came in time");
    let mut waiting = Bytes::new();
    while let Some(Ok(part)) = timeout(app.timeout(), body.frame()).await.map_err(late)? {
        let Ok(data) = part.into_data() else { break };
        waiting = [waiting, data].concat().into();
        while let Some(question) = frame::next(&mut waiting)? {
            if sender.send_data(frame::encode(&answer(frame::decode(question)?))).await.is_err() {
                return Ok(());
            }
        }
        if waiting.len() > MAX_QUESTION {
            return Err(Failure::new(Code::BodyTooLarge, format!("a question has at most {MAX_QUESTION} bytes")));
        }
    }
    Ok(())
}

fn answer(question: Question) -> Answer {
    let unknown = |message: &str| Given::Error(Error { code: NOT_FOUND, message: message.to_owned() });
    let given = match &question.wanted {
        Some(Wanted::Services(_)) => {
            let named = |name: &str| Named { name: name.to_owned() };
            Given::Services(Services { services: [INFERENCE, HEALTH].map(named).to_vec() })
        }
        Some(Wanted::Symbol(symbol)) => {
            let found = FILES.iter().find(|(package, _)| symbol.starts_with(package));
            found.map_or_else(|| unknown("there is no such symbol"), |(_, set)| files(descriptor(set)))
        }
        Some(Wanted::File(name)) => {
            // A descriptor begins with its name, after a tag and a length of one byte each.
            let named = |file: &&[u8]| file[2..].starts_with(name.as_bytes()) && usize::from(file[1]) == name.len();
            let found = FILES.iter().map(|(_, set)| descriptor(set)).find(named);
            found.map_or_else(|| unknown("there is no such file"), files)
        }
        None => unknown("this server tells of services, symbols and files"),
    };
    Answer { host: question.host.clone(), question: Some(question), given: Some(given) }
}

/// Takes the one file out of a set, where it is the first field.
fn descriptor(set: &'static [u8]) -> &'static [u8] {
    let mut rest = set;
    let read = prost::encoding::decode_key(&mut rest).and_then(|_| prost::encoding::decode_varint(&mut rest));
    let length = read.expect("the descriptors are whole") as usize;
    &rest[..length]
}

fn files(descriptor: &'static [u8]) -> Given {
    Given::Files(Files { descriptors: vec![Bytes::from_static(descriptor)] })
}

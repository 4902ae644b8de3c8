//! The Open Inference Protocol over gRPC, and gRPC's health service.

use bytes::Bytes;
use prost::Message;
use serde_json::json;

use crate::support::{Server, Service, column, table};

const CODE: &str = "
class Model:
    def __init__(self, bundle): pass
    def predict(self, rows):
        return {'label': [f'{n}:{c}' for n, c in zip(rows['name'], rows['count'])],
            'when': [None if c == 0 else c for c in rows['count']]}
    def tensor(self, x): return x
    def reverse(self, data): return data[::-1]
";

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(string, tag = "1")]
    pub(crate) model_name: String,
    #[prost(string, tag = "2")]
    pub(crate) model_version: String,
    #[prost(string, tag = "3")]
    pub(crate) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) inputs: Vec<Tensor>,
    #[prost(message, repeated, tag = "6")]
    pub(crate) outputs: Vec<Tensor>,
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub(crate) raw: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Response {
    #[prost(string, tag = "1")]
    pub(crate) model_name: String,
    #[prost(string, tag = "2")]
    pub(crate) model_version: String,
    #[prost(string, tag = "3")]
    pub(crate) id: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) outputs: Vec<Tensor>,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) raw: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tensor {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) datatype: String,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) shape: Vec<i64>,
    #[prost(message, optional, tag = "5")]
    pub(crate) contents: Option<Contents>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Contents {
    #[prost(int32, repeated, tag = "2")]
    pub(crate) ints: Vec<i32>,
    #[prost(int64, repeated, tag = "3")]
    pub(crate) longs: Vec<i64>,
    #[prost(float, repeated, tag = "6")]
    pub(crate) floats: Vec<f32>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(crate) bytes: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Name {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Number {
    #[prost(int32, tag = "1")]
    pub(crate) value: i32,
}

fn server() -> Server {
    let input = table(&[column("name", "string", json!({})), column("count", "integer", json!({"default": 7}))]);
    let output = table(&[column("label", "string", json!({})), column("when", "integer", json!({"nullable": true}))]);
    let tensor = json!({"type": "tensor", "dtype": "float32", "shape": [null, 2]});
    let binary = json!({"type": "binary", "media_type": "image/png"});
    Service::new(CODE)
        .endpoint("predict", &input, &output)
        .endpoint("tensor", &tensor, &tensor)
        .endpoint("reverse", &binary, &binary)
        .start()
}

/// Makes a call; returns the messages of the answer, its status and the message beside that.
pub(crate) fn call(server: &Server, path: &str, body: Vec<u8>) -> (Vec<Bytes>, i32, String) {
    let port = server.port;
    let exchange = async move {
        let connection = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut client, connection) = h2::client::handshake(connection).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::post(format!("http://test{path}"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers").body(()).unwrap();
        let (answer, mut stream) = client.send_request(request, false).unwrap();
        stream.send_data(body.into(), true).unwrap();
        let (head, mut body) = answer.await.unwrap().into_parts();
        assert_eq!((head.status.as_u16(), &head.headers["content-type"]), (200, &"application/grpc".parse().unwrap()));
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            bytes.extend_from_slice(&data.unwrap());
        }
        let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
        (Bytes::from(bytes), trailers)
    };
    let (mut bytes, trailers) = tokio::runtime::Runtime::new().unwrap().block_on(exchange);
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let prefix = bytes.split_to(5);
        messages.push(bytes.split_to(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize));
    }
    let text = |name: &str| trailers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    (messages, text("grpc-status").parse().unwrap(), text("grpc-message"))
}

pub(crate) fn framed(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    [&[0], (message.len() as u32).to_be_bytes().as_slice(), &message].concat()
}

pub(crate) fn infer(server: &Server, request: &Request) -> Result<Response, (i32, String)> {
    match call(server, INFER, framed(request)) {
        (messages, 0, _) => Ok(Response::decode(messages[0].clone()).unwrap()),
        (_, status, message) => Err((status, message)),
    }
}

pub(crate) fn tensor(name: &str, datatype: &str, shape: &[i64], contents: Contents) -> Tensor {
    Tensor { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec(), contents: Some(contents) }
}

fn rows() -> Request {
    let names = Contents { bytes: vec![b"a".to_vec(), "ž".into()], ..Contents::default() };
    let counts = Contents { ints: vec![1, 5], ..Contents::default() };
    let inputs = vec![tensor("name", "BYTES", &[2], names), tensor("count", "INT32", &[2, 1], counts)];
    Request { model_name: "test".to_owned(), id: "7".to_owned(), inputs, ..Request::default() }
}

#[test]
fn tables_go_there_and_back_in_typed_fields() {
    let server = server();
    let answer = infer(&server, &rows()).unwrap();
    assert_eq!((&*answer.model_name, &*answer.model_version, &*answer.id), ("test", "1", "7"));
    let [label, when] = answer.outputs.as_slice() else { panic!("{answer:?}") };
    assert_eq!(label.contents.as_ref().unwrap().bytes, [b"a:1".to_vec(), "ž:5".into()]);
    assert_eq!((&*when.datatype, &*when.shape), ("INT64", [2].as_slice()));
    assert_eq!(when.contents.as_ref().unwrap().longs, [1, 5]);
    let log = server.stop();
    assert!(log.contains("\"protocol\":\"grpc\"") && log.contains("\"endpoint\":\"predict\""), "{log}");
}

#[test]
fn raw_tensors_are_answered_raw() {
    let server = server();
    let bytes: Vec<u8> = [1.5_f32, -2.0, f32::NAN, 0.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut input = tensor("x", "FP32", &[2, 2], Contents::default());
    input.contents = None;
    let request = |raw: Vec<Vec<u8>>| Request {
        model_name: "tensor".to_owned(),
        inputs: vec![input.clone()],
        raw,
        ..Request::default()
    };
    assert_eq!(infer(&server, &request(vec![bytes[..8].repeat(2)])).unwrap().raw, [bytes[..8].repeat(2)]);
    let (status, message) = infer(&server, &request(vec![bytes[..12].to_vec()])).unwrap_err();
    assert!(status == 3 && message.contains("/inputs/0/contents"), "{status} {message}");
    let (status, message) = infer(&server, &request(vec![Vec::new(); 2])).unwrap_err();
    assert!(status == 3 && message.contains("/raw_input_contents"), "{status} {message}");
}

#[test]
fn a_missing_value_is_never_sent_as_another_one() {
    let server = server();
    let mut request = rows();
    request.inputs[1].contents = Some(Contents { ints: vec![0, 5], ..Contents::default() });
    let (status, message) = infer(&server, &request).unwrap_err();
    assert!(status == 13 && message.contains("`when` has missing values"), "{status} {message}");
    request.outputs = vec![Tensor { name: "label".to_owned(), ..Tensor::default() }];
    assert_eq!(infer(&server, &request).unwrap().outputs.len(), 1);
}

/// Makes a request wrong.
type Change = dyn Fn(&mut Request);

#[test]
fn wrong_requests_get_statuses() {
    let server = server();
    let change = |change: &Change| {
        let mut request = rows();
        change(&mut request);
        infer(&server, &request).unwrap_err()
    };
    assert_eq!(change(&|request| request.model_name = "nobody".to_owned()).0, 5);
    assert_eq!(change(&|request| request.model_version = "9".to_owned()).0, 5);
    let wrong: [(&str, &Change); 6] = [
        ("/inputs/0/datatype", &|request| request.inputs[0].datatype = "FP16".to_owned()),
        ("/inputs/0/name", &|request| request.inputs[0].name = "nobody".to_owned()),
        ("/inputs/1/shape", &|request| request.inputs[1].shape = vec![-2]),
        ("/inputs/1/contents", &|request| request.inputs[1].datatype = "INT64".to_owned()),
        ("position 0", &|request| request.outputs = vec![Tensor::default()]),
        ("too many tensors", &|request| request.inputs = vec![Tensor::default(); 30_000]),
    ];
    for (place, wrong) in wrong {
        let (status, message) = change(wrong);
        assert!(status == 3 && message.contains(place), "{place}: {status} {message}");
    }
    for (body, expected) in [(b"\x01\0\0\0\0".as_slice(), 12), (b"", 3), (b"\0\0\0\0\x01\xff", 3)] {
        assert_eq!(call(&server, INFER, body.to_vec()).1, expected, "{body:?}");
    }
    assert_eq!(server.post(INFER, &json!({})).0, 200, "HTTP/1.1 gets a status, too");
}

#[test]
fn the_server_says_how_it_is() {
    let server = server();
    let name = |name: &str| framed(&Name { name: name.to_owned(), version: String::new() });
    let number = |answer: (Vec<Bytes>, i32, String)| Number::decode(answer.0[0].clone()).unwrap().value;
    for method in ["ServerLive", "ServerReady", "ModelReady"] {
        assert_eq!(number(call(&server, &format!("/inference.GRPCInferenceService/{method}"), name("test"))), 1);
    }
    let (metadata, status, _) = call(&server, "/inference.GRPCInferenceService/ModelMetadata", name("tensor"));
    assert_eq!(status, 0);
    assert!(metadata[0].windows(4).any(|window| window == b"FP32"), "{metadata:?}");
    for (service, serving) in [("", 1), ("test", 1), ("inference.GRPCInferenceService", 1)] {
        assert_eq!(number(call(&server, "/grpc.health.v1.Health/Check", name(service))), serving, "{service}");
    }
    assert_eq!(call(&server, "/grpc.health.v1.Health/Check", name("nobody")).1, 5);
    let watched = std::thread::scope(|scope| {
        let watching = scope.spawn(|| call(&server, "/grpc.health.v1.Health/Watch", name("")));
        std::thread::sleep(std::time::Duration::from_millis(300));
        server.terminate();
        watching.join().unwrap()
    });
    let states: Vec<i32> = watched.0.iter().map(|state| Number::decode(state.clone()).unwrap().value).collect();
    assert_eq!((states, watched.1), (vec![1, 2], 0), "it serves, and then it stops");
    assert!(server.wait().success());
}

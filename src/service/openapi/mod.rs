//! The OpenAPI 3.1 document of a service, from its contract alone. The build writes it, the server serves it.
//!
//! Its schemas (JSON Schema 2020-12) are exactly as strict as the server: what they allow is accepted, what they forbid
//! is answered with 422; the one exception is described in words, see [`BY_COLUMN`]. Members are sorted by name, so equal
//! contracts give equal bytes.

mod schema;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use self::schema::{closed, content};
use super::{Data, Endpoint, MAX_PROBLEMS, Service, Task, example};

/// The failures an endpoint may answer with, and what they mean. Each range has one form.
const FAILURES: [(&str, &str); 2] = [
    (
        "4XX",
        "The request was not taken.\n\n\
        - 400: the body is not what its media type says\n\
        - 405: the path does not take this method\n\
        - 408: the body did not arrive in time\n\
        - 413: the body is too large\n\
        - 415: the body has another media type than the endpoint takes\n\
        - 422: the body does not fit the contract; `details` says where\n\
        - 429: too many requests are waiting, or too large ones, or too many to answer in time",
    ),
    (
        "5XX",
        "The request was taken, but not answered.\n\n\
        - 500: the model failed\n\
        - 503: no worker is ready, or the server is stopping\n\
        - 504: the model did not answer in time",
    ),
];

/// The forms of a table that no schema can describe.
const BY_COLUMN: &str = "A table may also be sent by column, as `{\"columns\": {name: [value, …]}}` with as many values in each, or as a \
    bare list of rows; it is answered the same way. CSV with a header (`text/csv`) is taken as well, and given to who accepts it.";

/// How a file may be sent that is the body.
const AS_FORM: &str = "The file may also be the part `file` of a form (`multipart/form-data`) that has no other.";

/// Returns the document.
pub fn document(service: &Service) -> Value {
    let mut paths = Map::new();
    for (name, endpoint) in &service.endpoints {
        for place in places(name, service) {
            let operation = operation(&place, endpoint);
            paths.insert(place.path, json!({ "post": operation }));
        }
    }
    paths.insert("/livez".to_owned(), json!({"get": probe("livez", "Says that the server runs.", &["200"])}));
    paths.insert(
        "/readyz".to_owned(),
        json!({"get": probe("readyz", "Says whether the model can be called.", &["200", "503"])}),
    );
    let mut info =
        json!({"title": service.name, "version": service.latest.version, "description": service.description});
    if let Some(license) = &service.license {
        info["license"] = json!({"name": license, "identifier": license});
    }
    json!({
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": "."}],
        "tags": tags(service),
        "paths": paths,
        "components": {
            "schemas": {"Error": error_schema(), "Status": status_schema()},
            "responses": {"Error": {
                "description": "The request was not answered with a result.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
        },
    })
}

/// Where an endpoint is called.
struct Place {
    path: String,
    /// The path at which the endpoint's own schemas stand in the document.
    home: String,
    /// The operation's name, which no other has.
    id: String,
    /// The versions and labels that may stand in the path.
    versions: Vec<String>,
    /// Whether the answer says which version it is of.
    several: bool,
}

/// Returns where an endpoint is called: the latest version, and each that is named where there are several.
fn places(name: &str, service: &Service) -> Vec<Place> {
    let several = !service.earlier.is_empty();
    let home = format!("/{name}");
    let mut places =
        vec![Place { path: home.clone(), home: home.clone(), id: name.to_owned(), versions: Vec::new(), several }];
    if several {
        let names = service.versions().rev().flat_map(|version| [&version.version].into_iter().chain(&version.labels));
        let (path, id) = (format!("/v/{{version}}/{name}"), format!("{name}.version"));
        places.push(Place { path, home, id, versions: names.cloned().collect(), several });
    }
    places
}

fn operation(place: &Place, endpoint: &Endpoint) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), success(place, endpoint));
    for (status, description) in FAILURES {
        let schema = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}});
        responses.insert(status.to_owned(), json!({"description": description, "content": schema}));
    }
    let mut operation = json!({
        "operationId": place.id,
        "tags": [tag(endpoint.task)],
        "requestBody": body(place, &endpoint.input),
        "responses": responses,
    });
    if !endpoint.description.is_empty() {
        operation["description"] = json!(endpoint.description);
    }
    if !place.versions.is_empty() {
        operation["parameters"] = json!([{"name": "version", "in": "path", "required": true,
            "description": "A version of the model, or a label that one has.",
            "schema": {"type": "string", "enum": place.versions}}]);
    }
    operation
}

fn success(place: &Place, endpoint: &Endpoint) -> Value {
    let content = content(&place.path, &place.home, &endpoint.output, true);
    let mut response = json!({"description": "The model's answer.", "content": content});
    if place.several {
        let description = "The version of the model that answered.";
        response["headers"]["x-mlpack-version"] = json!({"description": description, "schema": {"type": "string"}});
    }
    if endpoint.cache_bytes.is_some() {
        let description = "Whether the answer was remembered (RFC 9211): `mlpack; hit`, or `mlpack; fwd=miss`.";
        response["headers"]["Cache-Status"] = json!({"description": description, "schema": {"type": "string"}});
    }
    if endpoint.fallback.is_some() {
        let about = json!({"type": "string", "description": "Set where the answer is not the model's but the declared one, for \
            want of time: the code of the failure that it stands in for."});
        response["headers"]["x-mlpack-fallback"] = json!({ "schema": about });
        if matches!(endpoint.output, Data::Table { .. } | Data::Tensor { .. }) {
            response["content"]["application/json"]["schema"]["properties"]["fallback"] = about;
        }
    }
    response
}

/// The groups of operations, the endpoints' before the server's own.
fn tags(service: &Service) -> Vec<Value> {
    let tasks: BTreeSet<String> =
        service.endpoints.values().filter_map(|endpoint| tag(endpoint.task).as_str().map(str::to_owned)).collect();
    tasks.into_iter().chain(["health".to_owned()]).map(|name| json!({ "name": name })).collect()
}

fn body(place: &Place, input: &Data) -> Value {
    let mut content = content(&place.path, &place.home, input, false);
    if let (Some(media), Some(example)) = (content.get_mut("application/json"), example::request(input)) {
        media["example"] = example;
    }
    let mut body = json!({"required": true, "content": content});
    match input {
        Data::Table { .. } => body["description"] = json!(BY_COLUMN),
        Data::Binary { .. } | Data::Image { .. } => body["description"] = json!(AS_FORM),
        _ => {}
    }
    body
}

fn tag(task: Task) -> Value {
    serde_json::to_value(task).expect("a task is a string")
}

fn probe(name: &str, description: &str, statuses: &[&str]) -> Value {
    let status = |status: &&str| {
        let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}});
        ((*status).to_owned(), json!({"description": description, "content": content}))
    };
    let responses: Map<String, Value> = statuses.iter().map(status).collect();
    json!({"operationId": name, "tags": ["health"], "description": description, "responses": responses})
}

fn error_schema() -> Value {
    let detail = closed(
        &json!({
            "pointer": {"type": "string", "description": "A JSON pointer (RFC 6901) into the request's body."},
            "message": {"type": "string"},
        }),
        &["pointer", "message"],
    );
    let error = closed(
        &json!({
            "code": {"type": "string", "description": "The kind of failure, for programs."},
            "message": {"type": "string", "description": "What happened, for people."},
            "details": {"type": "array", "items": detail, "minItems": 1, "maxItems": MAX_PROBLEMS},
            "request_id": {"type": "string", "description": "The answer's `x-request-id`."},
        }),
        &["code", "message", "request_id"],
    );
    closed(&json!({ "error": error }), &["error"])
}

fn status_schema() -> Value {
    let count = json!({"type": "integer", "minimum": 0});
    let workers = closed(&json!({"ready": count, "total": count}), &["ready", "total"]);
    closed(&json!({"status": {"type": "string"}, "workers": workers}), &["status"])
}

//! What an endpoint takes and gives, read from the service's OpenAPI document.

use reqwest::blocking::Client;
use reqwest::header::HeaderMap;
use serde_json::{Map, Value};
use url::Url;

use super::error::CallError;

/// What to call of a service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// The endpoint; the only one where it is left out.
    pub endpoint: Option<&'a str>,
    /// A version of the model, or a label that one has; whichever the service chooses where it is left out.
    pub version: Option<&'a str>,
}

/// An endpoint that can be called.
#[derive(Debug)]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// Where it is called.
    pub url: Url,
    /// What it takes.
    pub input: Form,
    /// What it gives.
    pub output: Form,
}

/// The form of an input or output.
#[derive(Debug, PartialEq)]
pub enum Form {
    /// Rows of typed columns.
    Table(Vec<Column>),
    /// An array; with `rows` it may be cut along its first dimension.
    Tensor {
        /// Whether the first dimension may have any length.
        rows: bool,
    },
    /// Any JSON value.
    Json,
    /// A text.
    Text,
    /// A file.
    Binary,
}

/// A column of a table.
#[derive(Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: Kind,
    /// Whether `null` is allowed.
    pub nullable: bool,
    /// Whether each row must have it.
    pub required: bool,
}

/// The type of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Date,
    Datetime,
}

/// Finds the endpoint: `address` is that of the service, or of the endpoint itself; `http://` may be left out.
pub fn find(client: &Client, headers: &HeaderMap, address: &str, wanted: Wanted<'_>) -> Result<Operation, CallError> {
    let wrong = || CallError::Address(address.to_owned());
    let whole = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let mut base = Url::parse(&whole).map_err(|_| wrong())?;
    if !matches!(base.scheme(), "http" | "https") {
        return Err(wrong());
    }
    let mut segments = base.path_segments_mut().map_err(|()| wrong())?;
    segments.pop_if_empty().push("");
    drop(segments);
    match document(client, headers, &base) {
        Ok(document) => choose(&base, &document, wanted),
        Err(missing @ CallError::NoService { .. }) => {
            // The address may be the endpoint's: the service is then one step up.
            let last = base.path_segments().and_then(|mut segments| segments.nth_back(1)).map(str::to_owned);
            let Some(last) = last.filter(|last| !last.is_empty() && wanted.endpoint.is_none_or(|name| name == last))
            else {
                return Err(missing);
            };
            let parent = base.join("..").map_err(|_| wrong())?;
            let wanted = Wanted { endpoint: Some(&last), ..wanted };
            document(client, headers, &parent).map_or(Err(missing), |document| choose(&parent, &document, wanted))
        }
        Err(error) => Err(error),
    }
}

fn document(client: &Client, headers: &HeaderMap, base: &Url) -> Result<Value, CallError> {
    let url = base.join("openapi.json").map_err(|_| CallError::Address(base.to_string()))?;
    let missing = |reason: String| CallError::NoService { url: url.clone(), reason };
    let answer = client
        .get(url.clone())
        .headers(headers.clone())
        .send()
        .map_err(|error| missing(super::send::reason(&error)))?;
    match answer.status().as_u16() {
        200 => {
            let text = answer.bytes().map_err(|error| missing(super::send::reason(&error)))?;
            serde_json::from_slice(&text).map_err(|_| missing("it is no JSON".to_owned()))
        }
        401 | 403 => Err(CallError::Unauthorized(url)),
        status => Err(missing(format!("the server answered {status}"))),
    }
}

fn choose(base: &Url, document: &Value, wanted: Wanted<'_>) -> Result<Operation, CallError> {
    let name = wanted.endpoint;
    let none = Map::new();
    let paths = document["paths"].as_object().unwrap_or(&none);
    let endpoints: Vec<(&str, &Value)> = paths
        .iter()
        .filter_map(|(path, item)| Some((path.strip_prefix('/')?, item.get("post")?)))
        .filter(|(path, operation)| !path.contains('/') && operation.get("requestBody").is_some())
        .collect();
    let chosen = match name {
        Some(name) => endpoints.iter().find(|(path, _)| *path == name),
        None => endpoints.first().filter(|_| endpoints.len() == 1),
    };
    let Some((path, operation)) = chosen else {
        let known = endpoints.iter().map(|(path, _)| (*path).to_owned()).collect();
        return Err(CallError::Endpoint { name: name.map(str::to_owned), known });
    };
    Ok(Operation {
        name: (*path).to_owned(),
        url: locate(base, path, wanted.version).ok_or_else(|| CallError::Address(base.to_string()))?,
        input: form(&operation["requestBody"]["content"]),
        output: form(&operation["responses"]["200"]["content"]),
    })
}

/// Returns where an endpoint is called, of a version where one is wanted.
fn locate(base: &Url, endpoint: &str, version: Option<&str>) -> Option<Url> {
    let mut url = base.join(".").ok()?;
    let versioned = version.map(|version| ["v", version]);
    url.path_segments_mut().ok()?.pop_if_empty().extend(versioned.into_iter().flatten()).push(endpoint);
    Some(url)
}

/// Reads the form from the media types of a body.
fn form(content: &Value) -> Form {
    let schema = content.get("application/json").and_then(|media| media.get("schema"));
    let Some(schema) = schema else { return Form::Binary };
    if content.get("text/plain").is_some() {
        return Form::Text;
    }
    let properties = &schema["properties"];
    if let Some(row) = properties.get("rows").and_then(|rows| rows.get("items")) {
        return Form::Table(columns(row));
    }
    match properties.get("tensor") {
        Some(tensor) => Form::Tensor { rows: tensor.get("maxItems").is_none() },
        None => Form::Json,
    }
}

/// The columns of a row's schema: those that each row must have come in the contract's order, the others after them.
fn columns(row: &Value) -> Vec<Column> {
    let required: Vec<&str> = row["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let cells: Vec<(&String, &Value)> = row["properties"].as_object().into_iter().flatten().collect();
    let position = |name: &str| required.iter().position(|known| *known == name).unwrap_or(required.len());
    let mut columns: Vec<Column> = cells.into_iter().map(|(name, cell)| column(name, cell, &required)).collect();
    columns.sort_by_key(|column| position(&column.name));
    columns
}

fn column(name: &str, cell: &Value, required: &[&str]) -> Column {
    let types: Vec<&str> = match &cell["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let kind = match (types.first(), cell["format"].as_str()) {
        (Some(&"integer"), _) => Kind::Integer,
        (Some(&"number"), _) => Kind::Number,
        (Some(&"boolean"), _) => Kind::Boolean,
        (_, Some("date")) => Kind::Date,
        (_, Some("date-time")) => Kind::Datetime,
        _ => Kind::Text,
    };
    Column { name: name.to_owned(), kind, nullable: types.contains(&"null"), required: required.contains(&name) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document() -> Value {
        let row = json!({"required": ["z", "a"], "properties": {
            "a": {"type": ["integer", "null"]}, "m": {"type": "string", "format": "date"}, "z": {"type": "number"}}});
        let table = json!({"application/json": {"schema": {"properties": {"rows": {"items": row}}}}});
        let tensor = json!({"application/json": {"schema": {"properties": {"tensor": {"maxItems": 3}}}}});
        let endpoint = |content: &Value| json!({"post": {"requestBody": {"content": content}, "responses": {"200": {"content": tensor}}}});
        json!({"paths": {"/classify": endpoint(&table), "/livez": {"get": {}},
            "/see": endpoint(&json!({"application/octet-stream": {}, "image/png": {}}))}})
    }

    fn endpoint(name: &str) -> Wanted<'_> {
        Wanted { endpoint: Some(name), version: None }
    }

    #[test]
    fn endpoints_are_told_apart_by_what_they_take() {
        let base = Url::parse("http://host/model/").unwrap();
        let classify = choose(&base, &document(), endpoint("classify")).unwrap();
        assert_eq!(classify.url.as_str(), "http://host/model/classify");
        let column = |name: &str, kind, nullable, required| Column { name: name.to_owned(), kind, nullable, required };
        let columns = vec![
            column("z", Kind::Number, false, true),
            column("a", Kind::Integer, true, true),
            column("m", Kind::Date, false, false),
        ];
        assert_eq!((classify.input, classify.output), (Form::Table(columns), Form::Tensor { rows: false }));
        let see = choose(&base, &document(), endpoint("see")).unwrap();
        assert_eq!(see.input, Form::Binary);
        let of = |version| Wanted { version: Some(version), ..endpoint("see") };
        let url = |version| choose(&base, &document(), of(version)).unwrap().url.to_string();
        assert_eq!(url("1.0"), "http://host/model/v/1.0/see");
        assert_eq!(url("a/../b?"), "http://host/model/v/a%2F..%2Fb%3F/see");
    }

    #[test]
    fn several_endpoints_need_a_choice() {
        let base = Url::parse("http://host/").unwrap();
        for name in [None, Some("livez")] {
            match choose(&base, &document(), Wanted { endpoint: name, version: None }) {
                Err(CallError::Endpoint { known, .. }) => assert_eq!(known, ["classify", "see"]),
                other => panic!("{other:?}"),
            }
        }
    }
}

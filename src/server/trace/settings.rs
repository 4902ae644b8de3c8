//! Whether and where traces are sent, from OpenTelemetry's own variables.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, Uri};

use crate::server::options::{Environment, OptionsError};

/// Where traces go.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The collector's address for traces.
    pub endpoint: Uri,
    /// Headers that it wants.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A PEM file of authorities that may have signed its certificate.
    pub authorities: Option<String>,
    /// How long it may take.
    pub timeout: Duration,
    /// The service's name, where it is not the model's.
    pub service: Option<String>,
    /// What describes this service.
    pub resource: Vec<(String, String)>,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// Spans that may wait.
    pub max_waiting: usize,
    /// How long spans wait for others.
    pub delay: Duration,
}

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether callers who trace themselves decide for their requests.
    pub by_parent: bool,
    /// The share of the others.
    pub share: f64,
}

impl Settings {
    /// Reads them; `None` where traces are not sent.
    pub fn read(environment: &Environment<'_>) -> Result<Option<Self>, OptionsError> {
        const COMMON: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        const TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let disabled = environment.text("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let none = environment.text("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let (name, endpoint) = match (environment.text(TRACES), environment.text(COMMON)) {
            (Some(endpoint), _) => (TRACES, endpoint),
            (None, Some(base)) => (COMMON, format!("{}/v1/traces", base.trim_end_matches('/'))),
            (None, None) => return Ok(None),
        };
        if disabled || none {
            return Ok(None);
        }
        either(environment, "PROTOCOL", |name, value| match value {
            "http/json" | "http/protobuf" => Ok(()),
            _ => Err(wrong(name, value)),
        })?;
        let milliseconds = |name: &str| environment.read(name).map(|time| time.map(Duration::from_millis));
        Ok(Some(Self {
            endpoint: address(name, &endpoint)?,
            headers: either(environment, "HEADERS", headers)?.unwrap_or_default(),
            authorities: either(environment, "CERTIFICATE", |_, value| Ok(value.to_owned()))?
                .or_else(|| environment.text("SSL_CERT_FILE")),
            timeout: either(environment, "TIMEOUT", |name, value| value.parse().map_err(|_| wrong(name, value)))?
                .map_or(Duration::from_secs(10), Duration::from_millis),
            service: environment.text("OTEL_SERVICE_NAME"),
            resource: pairs("OTEL_RESOURCE_ATTRIBUTES", environment)?,
            sampler: Sampler::read(environment)?,
            max_waiting: environment.read("OTEL_BSP_MAX_QUEUE_SIZE")?.unwrap_or(2048),
            delay: milliseconds("OTEL_BSP_SCHEDULE_DELAY")?.unwrap_or(Duration::from_secs(5)),
        }))
    }

    /// Returns what describes a model's service: what the environment says wins.
    pub fn describe(&self, model: &str, version: &str) -> Vec<(String, String)> {
        const NAME: &str = "service.name";
        const VERSION: &str = "service.version";
        let given = |name: &str| self.resource.iter().rfind(|(key, _)| key == name).map(|(_, value)| value.clone());
        let name = self.service.clone().or_else(|| given(NAME)).unwrap_or_else(|| model.to_owned());
        let version = given(VERSION).unwrap_or_else(|| version.to_owned());
        let others = self.resource.iter().filter(|(key, _)| key != NAME && key != VERSION).cloned();
        [(NAME.to_owned(), name), (VERSION.to_owned(), version)].into_iter().chain(others).collect()
    }
}

impl Sampler {
    fn read(environment: &Environment<'_>) -> Result<Self, OptionsError> {
        const NAME: &str = "OTEL_TRACES_SAMPLER";
        let name = environment.text(NAME).unwrap_or_else(|| "parentbased_always_on".to_owned());
        let share = environment.read("OTEL_TRACES_SAMPLER_ARG")?.unwrap_or(1.0_f64).clamp(0.0, 1.0);
        let (by_parent, kind) = name.strip_prefix("parentbased_").map_or((false, name.as_str()), |kind| (true, kind));
        let share = match kind {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => share,
            _ => return Err(wrong(NAME, &name)),
        };
        Ok(Self { by_parent, share })
    }
}

/// Reads a setting that traces may have of their own.
fn either<T>(
    environment: &Environment<'_>,
    name: &str,
    read: impl Fn(&str, &str) -> Result<T, OptionsError>,
) -> Result<Option<T>, OptionsError> {
    let names = ["TRACES_", ""].map(|kind| format!("OTEL_EXPORTER_OTLP_{kind}{name}"));
    let found = names.iter().find_map(|name| environment.text(name).map(|value| (name, value)));
    found.map(|(name, value)| read(name, &value)).transpose()
}

fn wrong(name: &str, value: &str) -> OptionsError {
    OptionsError::Value { name: name.to_owned(), value: value.to_owned() }
}

fn address(name: &str, text: &str) -> Result<Uri, OptionsError> {
    let address: Uri = text.parse().map_err(|_| wrong(name, text))?;
    let usable = matches!(address.scheme_str(), Some("http" | "https")) && address.host().is_some();
    if usable { Ok(address) } else { Err(wrong(name, text)) }
}

/// Reads `name=value,…`; values are percent-encoded (W3C Baggage).
fn pairs(name: &str, environment: &Environment<'_>) -> Result<Vec<(String, String)>, OptionsError> {
    environment.text(name).map_or(Ok(Vec::new()), |text| split_pairs(name, &text))
}

fn split_pairs(name: &str, text: &str) -> Result<Vec<(String, String)>, OptionsError> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let pair = |item: &str| {
        let (key, value) = item.split_once('=').filter(|(key, _)| !key.is_empty())?;
        Some((key.trim().to_owned(), percent_decoded(value.trim())?))
    };
    items.map(|item| pair(item).ok_or_else(|| wrong(name, item))).collect()
}

/// What a header says may be a secret: a wrong one is named, not shown.
fn headers(name: &str, text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, OptionsError> {
    let hidden = || wrong(name, "…");
    let header = |(key, value): (String, String)| {
        Ok((key.parse().map_err(|_| hidden())?, HeaderValue::try_from(value).map_err(|_| hidden())?))
    };
    split_pairs(name, text).map_err(|_| hidden())?.into_iter().map(header).collect()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, OptionsError> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Environment(&variable))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn traces_are_sent_only_where_an_endpoint_is_named() {
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]).unwrap(), None);
        assert_eq!(read(&[ENDPOINT]).unwrap().unwrap().endpoint, "http://collector:4318/v1/traces");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/x");
        assert_eq!(read(&[ENDPOINT, own]).unwrap().unwrap().endpoint, "https://other/x");
    }

    #[test]
    fn headers_and_attributes_are_lists_of_pairs() {
        let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Basic%20YTpi, x-tenant=7");
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test");
        let settings = read(&[ENDPOINT, headers, attributes]).unwrap().unwrap();
        assert_eq!(settings.headers[0].1, "Basic YTpi");
        assert_eq!(settings.headers[1].0, "x-tenant");
        assert_eq!(settings.resource, [("deployment.environment".to_owned(), "test".to_owned())]);
    }

    #[test]
    fn the_environment_names_the_service_before_the_model_does() {
        let describe = |variables: &[(&str, &str)]| {
            let described = read(&[&[ENDPOINT], variables].concat()).unwrap().unwrap().describe("iris", "1.0.0");
            described.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.version=7,region=north,service.name=shop");
        assert_eq!(describe(&[]), ["iris", "1.0.0"]);
        assert_eq!(describe(&[attributes]), ["shop", "7", "north"]);
        assert_eq!(describe(&[attributes, ("OTEL_SERVICE_NAME", "desk")]), ["desk", "7", "north"]);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_secrets_are_not_shown() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ] {
            let error = read(&[(name, value), ENDPOINT]).unwrap_err().to_string();
            assert!(error.contains(name) && !error.contains("secret"), "{error}");
        }
    }
}

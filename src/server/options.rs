//! The server's few settings, from its arguments and its environment. What the service does stands in its contract.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::auth;
use super::bodies;
use super::cors::Origins;
use super::listen::limits::Limits;
use super::listen::tls;
use super::log::Level;
use super::trace;
use crate::service::{ROOT, SERVICE_FILE};

/// What `--help` says.
pub const HELP: &str = "\
Usage: mlpack-server [serve | healthcheck] [OPTIONS]

  serve               serves the model; this is the default
  healthcheck         exits with 0 if the server on the port is ready

  --host ADDRESS      the address to listen on [0.0.0.0]
  --port PORT         the port [MLPACK_PORT, SAGEMAKER_BIND_TO_PORT, AIP_HTTP_PORT, PORT, 8080: the first that is set]
  --service FILE      the contract [/opt/mlpack/service.json]
  --version, --help

Environment:
  MLPACK_PORT, MLPACK_WORKERS (a number, for each version), MLPACK_LOG (error, warn, info, debug)
  AIP_PREDICT_ROUTE, AIP_HEALTH_ROUTE    paths for Vertex AI
  MLPACK_API_KEYS_FILE, MLPACK_API_KEYS  who may call: `name:key` or `name:sha256:digest`, one a line, or with commas
  MLPACK_JWT_KEYS_FILE                   a JSON Web Key Set: who may sign tokens of those who call
  MLPACK_JWT_ISSUER, _AUDIENCE, _SCOPE   what such tokens must say
  MLPACK_PUBLIC                          what needs no key: metrics, docs; health never does
  MLPACK_TLS_CERT, MLPACK_TLS_KEY        PEM files; these and those above are read again when they change
  MLPACK_CORS_ORIGINS                    web pages that may call from browsers: origins with commas, or *
  OTEL_EXPORTER_OTLP_ENDPOINT, …          OpenTelemetry's own variables: traces go there in OTLP over HTTP
  MLPACK_MAX_CONNECTIONS [16384]         beyond it, the connection that was silent the longest is closed
  MLPACK_MAX_HEAD_BYTES [65536]          the size of a request's head
  MLPACK_MAX_PENDING_BYTES [268435456]   the size of all bodies that are being answered; beyond it, 429
  MLPACK_HEAD_TIMEOUT [10]               seconds for a request's head
  MLPACK_IDLE_TIMEOUT [75]               seconds without a request
  MLPACK_STALL_TIMEOUT [30]              seconds in which a client takes nothing of its answer
";

/// The variables that may name the port, first the one that wins.
const PORTS: [&str; 4] = ["MLPACK_PORT", "SAGEMAKER_BIND_TO_PORT", "AIP_HTTP_PORT", "PORT"];

/// What the program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Serve.
    Serve,
    /// Ask a running server whether it is ready.
    Healthcheck,
    /// Print the version.
    Version,
    /// Print the help text.
    Help,
}

/// The settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What to do.
    pub action: Action,
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// The contract's file.
    pub service: PathBuf,
    /// How many workers run, where the environment says so.
    pub workers: Option<usize>,
    /// Which lines are logged.
    pub level: Level,
    /// The paths that Vertex AI calls.
    pub vertex: VertexRoutes,
    /// What one client may take.
    pub limits: Limits,
    /// How many bytes all bodies may have together that are being answered.
    pub pending_bytes: usize,
    /// Who may call.
    pub auth: auth::Settings,
    /// Certificate and key, where TLS is spoken.
    pub tls: Option<tls::Files>,
    /// Which web pages may call from a browser.
    pub origins: Option<Origins>,
    /// Where traces are sent, or why none are: nobody's model stops for that.
    pub traces: Result<Option<trace::settings::Settings>, OptionsError>,
}

/// The paths that Vertex AI's environment names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VertexRoutes {
    /// Where it sends instances.
    pub predict: Option<String>,
    /// Where it asks for readiness.
    pub health: Option<String>,
}

/// Settings in the environment; an empty one counts as none.
pub struct Environment<'a>(pub &'a dyn Fn(&str) -> Option<String>);

/// The program was called wrongly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// An argument that is not known.
    #[error("`{0}` is not an argument of mlpack-server; see `--help`")]
    Unknown(String),
    /// A setting without its value.
    #[error("`{0}` needs a value")]
    Missing(String),
    /// A value that cannot be read.
    #[error("`{value}` is not a value for `{name}`")]
    Value {
        /// The argument or variable.
        name: String,
        /// What was given.
        value: String,
    },
}

impl Environment<'_> {
    /// Returns a setting as it is written.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// Reads a setting.
    pub fn read<T: FromStr>(&self, name: &str) -> Result<Option<T>, OptionsError> {
        self.named(name).map(read).transpose()
    }

    /// Reads a time in seconds, above zero.
    pub fn seconds(&self, name: &str) -> Result<Option<Duration>, OptionsError> {
        let seconds = |(name, value): (String, String)| {
            let time = value.parse().ok().filter(|&seconds: &f64| seconds > 0.0).map(Duration::try_from_secs_f64);
            time.and_then(Result::ok).ok_or(OptionsError::Value { name, value })
        };
        self.named(name).map(seconds).transpose()
    }

    /// Returns the items of a list with commas.
    pub fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    }

    fn named(&self, name: &str) -> Option<(String, String)> {
        self.text(name).map(|value| (name.to_owned(), value))
    }
}

/// Whether the value is the address of a service, in the form of Docker's links.
fn is_service(value: &str) -> bool {
    value.starts_with("tcp://") || value.starts_with("udp://")
}

impl Options {
    /// Reads the arguments after the program's name; `variable` looks into the environment. Arguments win.
    pub fn parse(
        arguments: impl IntoIterator<Item = String>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, OptionsError> {
        let environment = Environment(&variable);
        let from = |name: &str| environment.named(name);
        let mut options = Self {
            action: Action::Serve,
            host: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            // Kubernetes gives every container such a variable for each service, by the service's name.
            port: PORTS.into_iter().filter_map(from).find(|(_, value)| !is_service(value)).map_or(Ok(8080), read)?,
            service: PathBuf::from(format!("/{ROOT}/{SERVICE_FILE}")),
            workers: environment.read("MLPACK_WORKERS")?,
            level: from("MLPACK_LOG").map_or(Ok(Level::Info), |(name, value)| {
                Level::parse(&value).ok_or(OptionsError::Value { name, value })
            })?,
            vertex: VertexRoutes {
                predict: from("AIP_PREDICT_ROUTE").map(route).transpose()?,
                health: from("AIP_HEALTH_ROUTE").map(route).transpose()?,
            },
            limits: Limits::read(&environment)?,
            pending_bytes: environment.read("MLPACK_MAX_PENDING_BYTES")?.unwrap_or(bodies::USUAL),
            auth: auth::Settings::read(&environment)?,
            tls: tls::Files::from_environment(&environment)?,
            origins: Origins::read(&environment)?,
            traces: trace::settings::Settings::read(&environment),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            options.take(argument, &mut arguments)?;
        }
        Ok(options)
    }

    fn take(&mut self, argument: String, rest: &mut impl Iterator<Item = String>) -> Result<(), OptionsError> {
        let (name, joined) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (argument.clone(), None),
        };
        let mut value = || match joined.clone().or_else(|| rest.next()) {
            Some(value) => Ok((name.clone(), value)),
            None => Err(OptionsError::Missing(name.clone())),
        };
        match name.as_str() {
            "serve" => {}
            "healthcheck" => self.action = Action::Healthcheck,
            "--version" => self.action = Action::Version,
            "--help" => self.action = Action::Help,
            "--host" => self.host = read(value()?)?,
            "--port" => self.port = read(value()?)?,
            "--service" => self.service = value()?.1.into(),
            _ => return Err(OptionsError::Unknown(argument)),
        }
        Ok(())
    }
}

/// Reads a path. What the router takes for a pattern is refused.
fn route((name, path): (String, String)) -> Result<String, OptionsError> {
    let plain = |segment: &str| !segment.starts_with([':', '*']) && !segment.contains(['{', '}']);
    let valid = path.strip_prefix('/').is_some_and(|segments| segments.split('/').all(plain));
    if valid { Ok(path) } else { Err(OptionsError::Value { name, value: path }) }
}

fn read<T: FromStr>((name, value): (String, String)) -> Result<T, OptionsError> {
    value.parse().map_err(|_| OptionsError::Value { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Options, OptionsError> {
        let variable =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Options::parse(arguments.iter().map(|&argument| argument.to_owned()), variable)
    }

    #[test]
    fn arguments_win_over_the_environment() {
        let variables = [("PORT", "1"), ("MLPACK_PORT", "2"), ("MLPACK_WORKERS", "3")];
        assert_eq!(parse(&["serve", "--port=4"], &variables).unwrap().port, 4);
        assert_eq!(parse(&["--port", "4"], &variables).unwrap().port, 4);
        assert_eq!(parse(&[], &variables).unwrap().port, 2);
        assert_eq!(parse(&[], &variables[..1]).unwrap().port, 1);
        assert_eq!(parse(&[], &variables).unwrap().workers, Some(3));
        assert_eq!(parse(&[], &[("PORT", "")]).unwrap().port, 8080);
        assert_eq!(parse(&[], &[("MLPACK_PORT", "tcp://10.0.0.1:80"), ("PORT", "1")]).unwrap().port, 1);
    }

    #[test]
    fn platforms_name_the_port_in_their_own_variables() {
        assert_eq!(parse(&[], &[("AIP_HTTP_PORT", "1"), ("SAGEMAKER_BIND_TO_PORT", "2")]).unwrap().port, 2);
        assert_eq!(parse(&[], &[("AIP_HTTP_PORT", "1"), ("PORT", "2")]).unwrap().port, 1);
    }

    #[test]
    fn routes_must_be_plain_paths() {
        let predict = |path: &str| parse(&[], &[("AIP_PREDICT_ROUTE", path)]).map(|options| options.vertex.predict);
        let path = "/v1/endpoints/1/deployedModels/2:predict";
        assert_eq!(predict(path).unwrap().as_deref(), Some(path));
        for path in ["predict", "/{x}", "/a/:b", "/*"] {
            assert!(matches!(predict(path), Err(OptionsError::Value { .. })), "{path}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        assert_eq!(parse(&["--port", "x"], &[]).unwrap_err().to_string(), "`x` is not a value for `--port`");
        assert_eq!(parse(&["--port"], &[]).unwrap_err().to_string(), "`--port` needs a value");
        assert!(matches!(parse(&["--prot=1"], &[]), Err(OptionsError::Unknown(argument)) if argument == "--prot=1"));
        assert!(parse(&[], &[("MLPACK_LOG", "loud")]).is_err());
    }
}

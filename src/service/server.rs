//! How the server behaves, as its contract says: workers, limits, and the protocols that it speaks.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// How the server behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// How many workers run for each version; `None` is one for each processor that the container may use.
    pub workers: Option<u32>,
    /// Milliseconds that one call of the model may take, before its worker is killed.
    pub timeout_ms: u64,
    /// How many rows one call of the model may have at the most when requests are merged.
    pub max_batch_rows: u32,
    /// How many bytes of input one call of the model may have at the most when requests are merged.
    #[serde(default = "max_batch_bytes")]
    pub max_batch_bytes: u64,
    /// Bytes that a request's body may have.
    pub max_body_bytes: u64,
    /// Requests that may wait for a worker of each version; more are refused with 429.
    pub max_queue: u32,
    /// Milliseconds that requests may go on after SIGTERM.
    pub grace_ms: u64,
    /// Milliseconds that a worker may take to load the model.
    pub startup_timeout_ms: u64,
    /// Whether the model is loaded once and workers are forked from it; `None` where there are several and it can be.
    #[serde(default)]
    pub preload: Option<bool>,
    /// The protocols spoken besides the server's own; a contract that does not say takes all.
    #[serde(default = "Protocol::all")]
    pub protocols: BTreeSet<Protocol>,
}

/// A wire protocol of another model server, spoken on the same port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The Open Inference Protocol over REST: KServe V2, Triton, MLServer.
    V2,
    /// The Open Inference Protocol over gRPC, and gRPC's health service.
    Grpc,
    /// KServe V1.
    Kserve,
    /// TensorFlow Serving's REST interface.
    Tensorflow,
    /// MLflow's scoring server, which SageMaker calls as well.
    Mlflow,
    /// Vertex AI's custom containers, on the routes that their environment names.
    Vertex,
    /// Seldon Core V1.
    Seldon,
    /// vetiver's model APIs.
    Vetiver,
}

impl Protocol {
    /// Returns every protocol.
    pub fn all() -> BTreeSet<Self> {
        [Self::V2, Self::Grpc, Self::Kserve, Self::Tensorflow, Self::Mlflow, Self::Vertex, Self::Seldon, Self::Vetiver]
            .into()
    }
}

fn max_batch_bytes() -> u64 {
    64 << 20
}

impl Default for Server {
    fn default() -> Self {
        Self {
            workers: None,
            timeout_ms: 30_000,
            max_batch_rows: 256,
            max_batch_bytes: max_batch_bytes(),
            max_body_bytes: 16 << 20,
            max_queue: 1024,
            grace_ms: 25_000,
            startup_timeout_ms: 300_000,
            preload: None,
            protocols: Protocol::all(),
        }
    }
}

//! OCI images: what layers become, the local store of images, and the forms they leave it in.
//!
//! [`assemble()`] ties layers together, [`store`] keeps the result, [`sink`] writes it for other programs, and
//! [`validate`] recomputes everything. Registries are `registry`'s.

mod artifact;
mod assemble;
mod document;
mod error;
mod garbage;
pub(crate) mod name;
mod run;
pub mod sink;
pub mod store;
pub mod validate;

pub use artifact::{ArtifactFile, artifact};
pub use assemble::{Settings, assemble, index, rfc3339};
pub use document::{Image, LayerDescription, digest_of, to_json};
pub use error::ImageError;
pub use garbage::{Freed, Scope};
pub use name::normalize;
pub use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
pub use run::Run;
pub use store::{ImageStore, Protection, Stored, is_layout};

/// The label that holds the OpenAPI document of the service.
pub const OPENAPI_LABEL: &str = "mlpack.openapi";
/// The label that holds the model manifest, as written.
pub const MANIFEST_LABEL: &str = "mlpack.manifest";
/// The annotation of a layer's descriptor with what the layer holds, such as `base` or `numpy`.
pub const LAYER_NAME: &str = "mlpack.layer";
/// The annotation of a layer's descriptor with the archive's size before it was packed, in bytes.
pub const LAYER_SIZE: &str = "mlpack.size";
/// The annotation with a descriptor's name in the index of a layout, as the OCI specification has it.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

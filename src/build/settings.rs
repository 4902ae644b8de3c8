//! What the image's configuration says: user, environment, entry point, labels.

use std::collections::BTreeMap;

use super::Inputs;
use crate::image::{self, Settings};
use crate::lock::PlatformLock;
use crate::project::Project;
use crate::service::{self, ROOT, SERVER_PROGRAM};

/// The port that the server listens on.
const PORT: u16 = 8080;

/// Returns the image's configuration, from the manifest and the lock alone.
pub(super) fn settings(inputs: &Inputs<'_>, lock: &PlatformLock, project: &Project) -> Settings {
    let manifest = inputs.manifest;
    let mut env = BTreeMap::from(
        [
            ("HOME", "/tmp"),
            ("LANG", "C.UTF-8"),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    env.extend(manifest.image.env.clone());
    Settings {
        platform: inputs.worlds.platform(),
        user: manifest.image.user.to_string(),
        entrypoint: vec![format!("/{SERVER_PROGRAM}")],
        cmd: Vec::new(),
        env,
        labels: labels(inputs, project),
        annotations: BTreeMap::new(),
        working_dir: format!("/{ROOT}"),
        exposed_ports: vec![PORT],
        stop_signal: Some("SIGTERM".to_owned()),
        // The newest input that has a date of its own. The project's files have none: their times differ by checkout.
        created: inputs.epoch.unwrap_or(lock.date),
    }
}

fn labels(inputs: &Inputs<'_>, project: &Project) -> BTreeMap<String, String> {
    let manifest = inputs.manifest;
    let contract = super::service(manifest, inputs.runtime, project);
    let mut labels = BTreeMap::from([
        ("org.opencontainers.image.title".to_owned(), manifest.name.clone()),
        ("org.opencontainers.image.version".to_owned(), manifest.version.clone()),
        (image::MANIFEST_LABEL.to_owned(), manifest.text.clone()),
        (image::OPENAPI_LABEL.to_owned(), service::openapi::document(&contract).to_string()),
    ]);
    if !manifest.description.is_empty() {
        labels.insert("org.opencontainers.image.description".to_owned(), manifest.description.clone());
    }
    if let Some(license) = &manifest.license {
        labels.insert("org.opencontainers.image.licenses".to_owned(), license.clone());
    }
    labels.extend(manifest.image.labels.clone());
    labels
}

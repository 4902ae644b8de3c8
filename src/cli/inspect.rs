//! `mlpack inspect`: looks into an image of the local store.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::Terminal;
use super::layers::{Layer, layers_table};
use super::text::table;
use crate::error::{Diagnose, Exit, Result};
use crate::image::{Image, ImageStore, OPENAPI_LABEL, digest_of};
use crate::inventory;

/// Show what an image of the local store is and holds
#[derive(Debug, Args)]
pub(super) struct Inspect {
    /// Name, digest, or the beginning of a digest
    image: String,
    /// Show what each layer holds: its packages by size, and what needs them
    #[arg(long, conflicts_with = "openapi")]
    layers: bool,
    /// Print the OpenAPI document of the service
    #[arg(long)]
    openapi: bool,
}

/// The image was not built by mlpack, or by one that wrote no document.
#[derive(Debug, thiserror::Error)]
#[error("`{image}` has no OpenAPI document")]
struct NoDocument {
    image: String,
}

impl Diagnose for NoDocument {
    fn exit(&self) -> Exit {
        Exit::Failure
    }

    fn hints(&self) -> Vec<String> {
        vec![format!("the document is in the label `{OPENAPI_LABEL}`, which `mlpack build` writes")]
    }
}

#[derive(Serialize)]
struct Description {
    reference: Option<String>,
    digest: String,
    images: Vec<ImageDescription>,
}

#[derive(Serialize)]
struct ImageDescription {
    digest: String,
    platform: String,
    created: Option<String>,
    user: Option<String>,
    entrypoint: Vec<String>,
    cmd: Vec<String>,
    env: Vec<String>,
    ports: Vec<String>,
    labels: BTreeMap<String, String>,
    layers: Vec<Layer>,
}

impl Inspect {
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        let found = store.find(&self.image)?;
        let images = store.images(&found.descriptor)?;
        if self.openapi {
            return self.print_openapi(terminal, &images);
        }
        let description = Description {
            reference: found.reference,
            digest: digest_of(&found.descriptor)?.to_string(),
            images: images.iter().map(|image| self.describe(terminal, &store, image)).collect::<Result<_>>()?,
        };
        terminal.result(&self.text(&description), &description)
    }

    fn print_openapi(&self, terminal: &Terminal, images: &[Image]) -> Result<()> {
        let document = images.iter().find_map(|image| image.label(OPENAPI_LABEL));
        let document = document.ok_or_else(|| NoDocument { image: self.image.clone() })?;
        // A label of another program's making may hold anything: as JSON it is then a text.
        let value = serde_json::from_str(document).unwrap_or_else(|_| serde_json::Value::from(document));
        terminal.result(document, &value)
    }

    fn describe(&self, terminal: &Terminal, store: &ImageStore, image: &Image) -> Result<ImageDescription> {
        let config = image.config.config().clone().unwrap_or_default();
        let mut ports = config.exposed_ports().clone().unwrap_or_default();
        ports.sort();
        let mut labels: BTreeMap<_, _> = config.labels().clone().unwrap_or_default().into_iter().collect();
        labels.remove(OPENAPI_LABEL);
        Ok(ImageDescription {
            digest: image.digest().to_string(),
            platform: image.platform(),
            created: image.config.created().clone(),
            user: config.user().clone(),
            entrypoint: config.entrypoint().clone().unwrap_or_default(),
            cmd: config.cmd().clone().unwrap_or_default(),
            env: config.env().clone().unwrap_or_default(),
            ports,
            labels,
            layers: self.layers(terminal, store, image)?,
        })
    }

    /// The layers; what they hold only where it is asked for, because all of the image is read for it.
    fn layers(&self, terminal: &Terminal, store: &ImageStore, image: &Image) -> Result<Vec<Layer>> {
        let descriptions = image.layers();
        let inventories = if self.layers {
            inventory::take(store, &terminal.home().derived(), image)?.into_iter().map(Some).collect()
        } else {
            vec![None; descriptions.len()]
        };
        let layer = |(description, inventory)| Layer { description, inventory };
        Ok(descriptions.into_iter().zip(inventories).map(layer).collect())
    }

    fn text(&self, description: &Description) -> String {
        let mut parts = Vec::new();
        if !self.layers {
            parts.push(table([
                pair("name", description.reference.as_deref().unwrap_or("-")),
                pair("digest", &description.digest),
            ]));
        }
        for image in &description.images {
            if !self.layers {
                parts.push(settings(image));
            }
            parts.push(layers_table(&image.layers));
        }
        parts.join("\n\n")
    }
}

fn pair(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

fn settings(image: &ImageDescription) -> String {
    let mut rows = vec![
        pair("platform", &image.platform),
        pair("manifest", &image.digest),
        pair("created", image.created.as_deref().unwrap_or("-")),
        pair("user", image.user.as_deref().unwrap_or("root")),
        pair("entrypoint", &image.entrypoint.join(" ")),
    ];
    let lists = [("command", vec![image.cmd.join(" ")]), ("port", image.ports.clone()), ("env", image.env.clone())];
    for (name, values) in lists {
        rows.extend(values.iter().filter(|value| !value.is_empty()).map(|value| pair(name, value)));
    }
    rows.extend(image.labels.iter().map(|(key, value)| pair("label", &format!("{key}={value}"))));
    table(rows)
}

//! `mlpack images`: lists the local store.

use clap::Args;
use serde::Serialize;

use super::Terminal;
use super::text::{bytes, short_digest, table};
use crate::error::Result;
use crate::image::{Image, ImageStore, Stored, digest_of};

/// List the images in the local store
#[derive(Debug, Args)]
pub(super) struct Images {}

#[derive(Serialize)]
struct Row {
    reference: Option<String>,
    digest: String,
    platforms: Vec<String>,
    created: Option<String>,
    /// Bytes of the packed layers.
    size: u64,
}

impl Images {
    #[expect(clippy::unused_self, reason = "every subcommand is run the same way")]
    pub(super) fn run(&self, terminal: &Terminal) -> Result<()> {
        let store = ImageStore::open(terminal.home())?;
        let mut rows = Vec::new();
        for stored in store.list()? {
            match row(&store, &stored) {
                Ok(row) => rows.push(row),
                Err(error) => terminal.report().warn(
                    format!("{} cannot be read: {error}", stored.reference.as_deref().unwrap_or("an image")),
                    error.diagnosis().hints().into_iter().next(),
                ),
            }
        }
        terminal.result(&text(&rows), &rows)
    }
}

fn row(store: &ImageStore, stored: &Stored) -> Result<Row> {
    let images = store.images(&stored.descriptor)?;
    Ok(Row {
        reference: stored.reference.clone(),
        digest: digest_of(&stored.descriptor)?.to_string(),
        platforms: images.iter().map(Image::platform).collect(),
        created: images.first().and_then(|image| image.config.created().clone()),
        size: images.iter().flat_map(Image::layers).map(|layer| layer.size).sum(),
    })
}

fn text(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = ["NAME", "DIGEST", "PLATFORM", "CREATED", "SIZE"].map(str::to_owned).to_vec();
    let cells = rows.iter().map(|row| {
        vec![
            row.reference.clone().unwrap_or_else(|| "-".to_owned()),
            short_digest(&row.digest),
            row.platforms.join(","),
            row.created.clone().unwrap_or_else(|| "-".to_owned()),
            bytes(row.size),
        ]
    });
    table(std::iter::once(head).chain(cells))
}

//! Ties layers together into an image: configuration, manifest, and an index for several platforms.
//!
//! The documents depend on the layers and settings alone; the time in them is a setting.

use std::collections::BTreeMap;

use oci_spec::image::{
    Arch, Config, ConfigBuilder, Descriptor, History, HistoryBuilder, ImageConfiguration, ImageConfigurationBuilder,
    ImageIndexBuilder, ImageManifestBuilder, MediaType, Os, PlatformBuilder, RootFsBuilder, SCHEMA_VERSION,
};

use super::document::{self, Image};
use super::{ImageError, LAYER_NAME, LAYER_SIZE};
use crate::fetch::BlobStore;
use crate::layer::Layer;
use crate::platform::{Architecture, Platform};

/// Everything of an image that is not in its layers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it runs on.
    pub platform: Platform,
    /// Who the program runs as: `10001`, or `10001:10001`.
    pub user: String,
    /// The program and the arguments that always come first.
    pub entrypoint: Vec<String>,
    /// The arguments that the user may replace.
    pub cmd: Vec<String>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Labels of the configuration, which engines show and filter by.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest, which registries show.
    pub annotations: BTreeMap<String, String>,
    /// The folder that the program starts in.
    pub working_dir: String,
    /// TCP ports that the program listens on.
    pub exposed_ports: Vec<u16>,
    /// The signal that asks the program to end; the engine's default where empty.
    pub stop_signal: Option<String>,
    /// When the image was made, in seconds since 1970; never taken from the clock.
    pub created: i64,
}

/// Makes an image of layers, lowest first, each with the name of what it holds. Their blobs must be in `blobs`.
pub fn assemble(blobs: &BlobStore, layers: &[(String, Layer)], settings: &Settings) -> Result<Image, ImageError> {
    check(settings)?;
    let config = configuration(layers, settings);
    let config_descriptor = document::put(blobs, MediaType::ImageConfig, &config)?;
    let mut manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config_descriptor)
        .layers(layers.iter().map(layer_descriptor).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    if !settings.annotations.is_empty() {
        manifest.set_annotations(Some(settings.annotations.clone().into_iter().collect()));
    }
    let mut descriptor = document::put(blobs, MediaType::ImageManifest, &manifest)?;
    let platform = PlatformBuilder::default()
        .architecture(architecture(settings.platform))
        .os(Os::Linux)
        .build()
        .expect("every required field is set");
    descriptor.set_platform(Some(platform));
    Ok(Image { descriptor, manifest, config })
}

/// Makes an index of images for different platforms, in the platforms' order, and returns its descriptor.
pub fn index(blobs: &BlobStore, images: &[Image]) -> Result<Descriptor, ImageError> {
    let mut images: Vec<_> = images.iter().collect();
    images.sort_by_key(|image| image.platform());
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(images.into_iter().map(|image| image.descriptor.clone()).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    document::put(blobs, MediaType::ImageIndex, &index)
}

/// Refuses what would mean something else to the program that reads it.
fn check(settings: &Settings) -> Result<(), ImageError> {
    for (name, value) in &settings.env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(ImageError::Setting { what: "the environment variable", value: name.clone() });
        }
    }
    let arguments = settings.entrypoint.iter().chain(&settings.cmd);
    match arguments.chain([&settings.user, &settings.working_dir]).find(|text| text.contains('\0')) {
        Some(text) => Err(ImageError::Setting { what: "the text", value: text.clone() }),
        None => Ok(()),
    }
}

fn configuration(layers: &[(String, Layer)], settings: &Settings) -> ImageConfiguration {
    let root = RootFsBuilder::default()
        .typ("layers".to_owned())
        .diff_ids(layers.iter().map(|(_, layer)| layer.diff_id.to_string()).collect::<Vec<_>>())
        .build()
        .expect("every required field is set");
    ImageConfigurationBuilder::default()
        .created(rfc3339(settings.created))
        .architecture(architecture(settings.platform))
        .os(Os::Linux)
        .config(run_config(settings))
        .rootfs(root)
        .history(layers.iter().map(|(name, _)| history(name, settings.created)).collect::<Vec<_>>())
        .build()
        .expect("every required field is set")
}

fn run_config(settings: &Settings) -> Config {
    let mut config = ConfigBuilder::default()
        .user(settings.user.clone())
        .env(settings.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
        .entrypoint(settings.entrypoint.clone())
        .working_dir(settings.working_dir.clone())
        .labels(settings.labels.clone().into_iter().collect::<std::collections::HashMap<_, _>>())
        .exposed_ports(settings.exposed_ports.iter().map(|port| format!("{port}/tcp")).collect::<Vec<_>>())
        .build()
        .expect("every field has a default");
    if !settings.cmd.is_empty() {
        config.set_cmd(Some(settings.cmd.clone()));
    }
    config.set_stop_signal(settings.stop_signal.clone());
    config
}

fn history(name: &str, created: i64) -> History {
    HistoryBuilder::default()
        .created(rfc3339(created))
        .created_by(format!("mlpack {name}"))
        .build()
        .expect("every field has a default")
}

fn layer_descriptor((name, layer): &(String, Layer)) -> Descriptor {
    let mut descriptor = document::descriptor(layer.compression.media_type(), layer.digest, layer.size);
    let annotations = [(LAYER_NAME, name.clone()), (LAYER_SIZE, layer.uncompressed.to_string())];
    descriptor.set_annotations(Some(annotations.map(|(key, value)| (key.to_owned(), value)).into()));
    descriptor
}

fn architecture(platform: Platform) -> Arch {
    match platform.architecture {
        Architecture::Amd64 => Arch::Amd64,
        Architecture::Arm64 => Arch::ARM64,
    }
}

/// Returns seconds since 1970 as RFC 3339 in UTC: `2026-11-23T16:09:31Z`.
pub fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Returns the year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar.
///
/// Years are counted from March on, so that the leap day is the last one; an era is 400 years of 146,097 days.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::to_json;
    use crate::image::validate::tests::{example, settings};

    #[test]
    fn times_are_written_as_utc() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_450_171, "2026-11-23T16:09:31Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn the_documents_are_what_they_always_were() {
        let (_folder, _store, image) = example();
        insta::assert_snapshot!("config", String::from_utf8(to_json(&image.config)).unwrap());
        insta::assert_snapshot!("manifest", String::from_utf8(to_json(&image.manifest)).unwrap());
    }

    #[test]
    fn an_index_is_sorted_by_platform() {
        let (_folder, store, image) = example();
        let mut arm = settings();
        arm.platform = "linux/arm64".parse().unwrap();
        let arm = assemble(store.blobs(), &[], &arm).unwrap();
        let one = index(store.blobs(), &[arm.clone(), image.clone()]).unwrap();
        let other = index(store.blobs(), &[image, arm]).unwrap();
        assert_eq!(one, other);
        let platforms: Vec<_> = store.images(&one).unwrap().iter().map(Image::platform).collect();
        assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
    }

    #[test]
    fn a_variable_name_cannot_smuggle_a_value() {
        let (_folder, store, _) = example();
        for name in ["", "A=B", "A\0"] {
            let mut settings = settings();
            settings.env.insert(name.to_owned(), "x".to_owned());
            assert!(matches!(assemble(store.blobs(), &[], &settings), Err(ImageError::Setting { .. })), "{name:?}");
        }
    }
}

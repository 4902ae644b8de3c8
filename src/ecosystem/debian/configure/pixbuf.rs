//! The loaders of gdk-pixbuf: the list of them in `loaders.cache`, as `gdk-pixbuf-query-loaders` writes it.
//!
//! Without it gdk-pixbuf reads only the formats that are built in, and no SVG. Debian's program loads each module and asks
//! it; here a table has their answers, and a loader that is not in the table is told of.

use std::sync::LazyLock;

use serde::Deserialize;

use super::installed::Installed;
use super::{ConfigureError, Configured, Warning, place};
use crate::layer::tree::{Content, Node};
use crate::platform::Platform;

const PACKAGE: &str = "libgdk-pixbuf-2.0-0";

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(include_str!("pixbuf-loaders.toml")).expect("the table is checked by a test"));

#[derive(Deserialize)]
struct Table {
    loader: Vec<Loader>,
}

/// What a loader says of itself.
#[derive(Deserialize)]
struct Loader {
    file: String,
    lines: String,
}

/// Writes the list of the loaders that the packages have, in order of path.
pub(super) fn apply(
    installed: &Installed<'_>,
    platform: Platform,
    configured: &mut Configured,
) -> Result<(), ConfigureError> {
    let Some((_, library)) = installed.packages().find(|(name, _)| *name == PACKAGE) else { return Ok(()) };
    let folder = format!("usr/lib/{}/gdk-pixbuf-2.0/2.10.0", platform.triplet());
    let loaders = format!("{folder}/loaders");
    let mut paths: Vec<_> = installed.files_below(&loaders).filter(|path| path.strip_suffix(".so").is_some()).collect();
    paths.sort_unstable();
    let version = library.control.field("Version").unwrap_or_default();
    let upstream = version.split(['+', '-']).next().unwrap_or_default();
    let mut list = format!(
        "# GdkPixbuf Image Loader Modules file\n# Automatically generated file, do not edit\n\
         # Created by gdk-pixbuf-query-loaders from gdk-pixbuf-{upstream}\n#\n"
    );
    for path in paths {
        let file = path.rsplit('/').next().unwrap_or(path);
        match TABLE.loader.iter().find(|loader| loader.file == file) {
            Some(loader) => list.extend(["\"/", path, "\"\n", &loader.lines, "\n"]),
            None => configured.warnings.push(unknown(library.scripts.get("postinst"), path)),
        }
    }
    // The program ends what it prints with one line more.
    list.push('\n');
    let cache = place(PACKAGE, &format!("{folder}/loaders.cache"))?;
    configured.done(PACKAGE, format!("list of loaders {cache}"));
    configured.add(installed, cache, Node::file(Content::inline(list), 0o644));
    Ok(())
}

/// Says which line of the script would have asked a loader that the table lacks.
fn unknown(script: Option<&String>, path: &str) -> Warning {
    let mut lines = script.into_iter().flat_map(|script| script.lines()).zip(1..);
    let number = lines.find(|(line, _)| line.contains("gdk-pixbuf-query-loaders")).map_or(1, |(_, number)| number);
    let lines = vec![(number, format!("gdk-pixbuf-query-loaders /{path}"))];
    Warning { package: PACKAGE.to_owned(), script: "postinst".to_owned(), lines }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loader_of_the_table_says_its_name_types_and_endings() {
        for loader in &TABLE.loader {
            let lines: Vec<_> = loader.lines.lines().collect();
            assert!(loader.file.ends_with(".so") && lines.len() >= 4, "{}", loader.file);
            assert!(lines[1..3].iter().all(|line| line.ends_with(" \"\"")), "{}", loader.file);
        }
    }
}

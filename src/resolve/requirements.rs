//! A requirements file as the lines of a request: with the files that it includes, and without what says where packages come
//! from, which is a matter of the machine and may hold credentials.
//!
//! Only uv understands the file; this tells two of them apart.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::fs;

/// Options that name indexes (pip's "Requirements File Format").
const INDEXES: [&str; 7] =
    ["--index-url", "--extra-index-url", "--find-links", "--trusted-host", "--no-index", "-i", "-f"];
/// Options that name a file of requirements.
const INCLUDES: [&str; 2] = ["--requirement", "-r"];
/// Options that name a file of constraints.
const CONSTRAINTS: [&str; 2] = ["--constraint", "-c"];

/// Returns the lines of the file at `path`, such as `requirement numpy==2.4.6`. Included files are found from the file that
/// names them; fails where one cannot be read.
pub(super) fn lines(path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    read("requirement", path, &mut found, &mut HashSet::new())?;
    Ok(found)
}

fn read(
    kind: &'static str,
    path: &Path,
    found: &mut Vec<String>,
    seen: &mut HashSet<(&'static str, PathBuf)>,
) -> Result<()> {
    if !seen.insert((kind, path.to_owned())) {
        return Ok(());
    }
    let text = fs::read(path)?;
    let text = String::from_utf8_lossy(&text);
    let bare = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    for line in bare.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if value(line, &INDEXES).is_some() {
            continue;
        }
        let included = value(line, &INCLUDES).map(|file| (kind, file));
        let included = included.or_else(|| value(line, &CONSTRAINTS).map(|file| ("constraint", file)));
        match included {
            // What stands at an address is uv's to fetch.
            Some((kind, file)) if !file.contains("://") => read(kind, &path.with_file_name(file), found, seen)?,
            _ => found.push(format!("{kind} {}", without_credentials(line))),
        }
    }
    Ok(())
}

/// Returns what follows one of the options, as pip writes them: `-r FILE`, `-rFILE`, `--requirement FILE`, `--requirement=FILE`.
fn value<'a>(line: &'a str, options: &[&str]) -> Option<&'a str> {
    let rest = options.iter().find_map(|option| {
        let rest = line.strip_prefix(option)?;
        let ends = !option.starts_with("--") || rest.is_empty() || rest.starts_with(['=', ' ', '\t']);
        ends.then_some(rest)
    })?;
    Some(rest.trim_start_matches('=').trim().trim_matches(['"', '\'']))
}

/// Returns a line without the credentials of addresses in it.
fn without_credentials(line: &str) -> String {
    let Some((before, address)) = line.split_once("://") else { return line.to_owned() };
    let (authority, rest) = address.split_at(address.find(['/', ' ', '\t']).unwrap_or(address.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{before}://{host}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(files: &[(&str, &str)]) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        lines(&folder.path().join("requirements.txt"))
    }

    #[test]
    fn comments_and_blank_lines_do_not_count() {
        let found = written(&[("requirements.txt", "# all\n\nnumpy==2.4.6  # arrays\n  six\n")]).unwrap();
        assert_eq!(found, ["requirement numpy==2.4.6", "requirement six"]);
    }

    #[test]
    fn included_files_count_as_if_they_stood_there() {
        let files = [
            ("requirements.txt", "-r sub/base.txt\n--requirement=sub/base.txt\n-csub/limits.txt\nsix\n"),
            ("sub/base.txt", "-r more.txt\nnumpy\n"),
            ("sub/more.txt", "-r base.txt\npandas\n"),
            ("sub/limits.txt", "numpy<2\n"),
        ];
        let expected = ["requirement pandas", "requirement numpy", "constraint numpy<2", "requirement six"];
        assert_eq!(written(&files).unwrap(), expected);
        assert!(written(&[("requirements.txt", "-r gone.txt\n")]).unwrap_err().to_string().contains("gone.txt"));
    }

    #[test]
    fn indexes_and_credentials_reach_no_lock() {
        let text = "--extra-index-url https://ci:secret@index.example.org/simple\n-i https://a:b@c\n--no-binary numpy\n\
                    a @ https://me:secret@example.org/a-1-py3-none-any.whl\n-r https://me:secret@example.org/r.txt\n";
        let expected = [
            "requirement --no-binary numpy",
            "requirement a @ https://example.org/a-1-py3-none-any.whl",
            "requirement -r https://example.org/r.txt",
        ];
        assert_eq!(written(&[("requirements.txt", text)]).unwrap(), expected);
    }
}

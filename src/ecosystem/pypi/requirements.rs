//! A requirements file with the files that it includes, line by line. Only uv understands what the lines ask for; here it is known
//! which of them name other files and indexes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Options that say where packages come from (pip's "Requirements File Format").
const INDEXES: [&str; 7] =
    ["--index-url", "--extra-index-url", "--find-links", "--trusted-host", "--no-index", "-i", "-f"];
/// Options that name a file of requirements.
const INCLUDES: [&str; 2] = ["--requirement", "-r"];
/// Options that name a file of constraints.
const CONSTRAINTS: [&str; 2] = ["--constraint", "-c"];

/// A line, without blanks around it and a comment behind it.
#[derive(Debug)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// The file that it stands in.
    pub file: PathBuf,
    /// Whether that is a file of constraints, from which no index is taken.
    pub is_constraint: bool,
}

impl Line {
    /// Whether it says where packages come from: a matter of the machine, which may hold credentials.
    pub fn is_of_index(&self) -> bool {
        value(&self.text, &INDEXES).is_some()
    }

    /// Returns what it asks for as a lock may say it, such as `requirement numpy==2.4.6`: without credentials.
    pub fn request(&self) -> String {
        let kind = if self.is_constraint { "constraint" } else { "requirement" };
        format!("{kind} {}", without_credentials(&self.text))
    }
}

/// Gives a file's text; `None` passes the file over.
type TextOf<'a, E> = &'a dyn Fn(&Path) -> Result<Option<String>, E>;

/// Returns the lines of the file at `path`, those of included files as if they stood there. They are found from the file that names
/// them, and each counts once; `text_of` decides what becomes of one that is not there.
pub fn read<E>(path: &Path, text_of: TextOf<'_, E>) -> Result<Vec<Line>, E> {
    let mut lines = Vec::new();
    read_into(&mut lines, path, false, &mut HashSet::new(), text_of)?;
    Ok(lines)
}

fn read_into<E>(
    lines: &mut Vec<Line>,
    path: &Path,
    is_constraint: bool,
    seen: &mut HashSet<(bool, PathBuf)>,
    text_of: TextOf<'_, E>,
) -> Result<(), E> {
    let Some(text) = text_of(path)? else { return Ok(()) };
    // One file may be named in many ways.
    if !seen.insert((is_constraint, std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()))) {
        return Ok(());
    }
    let bare = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    for line in bare.filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let included = value(line, &INCLUDES).map(|file| (is_constraint, file));
        let included = included.or_else(|| value(line, &CONSTRAINTS).map(|file| (true, file)));
        match included {
            // What stands at an address is uv's to fetch.
            Some((is_constraint, file)) if !file.contains("://") => {
                read_into(lines, &path.with_file_name(file), is_constraint, seen, text_of)?;
            }
            _ => lines.push(Line { text: line.to_owned(), file: path.to_owned(), is_constraint }),
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
    use crate::fs;

    fn written(files: &[(&str, &str)]) -> fs::Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let lines = read(&folder.path().join("requirements.txt"), &|path| fs::read_to_string(path).map(Some))?;
        Ok(lines.iter().filter(|line| !line.is_of_index()).map(Line::request).collect())
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
            ("sub/more.txt", "-r ../sub/base.txt\npandas\n"),
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

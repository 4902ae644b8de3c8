//! ODBC drivers: the list of them in `/etc/odbcinst.ini`, as `odbcinst -i -d -f TEMPLATE` adds to it.
//!
//! Without it unixODBC finds no driver by its name.

use super::installed::Installed;
use super::{ConfigureError, Configured, place};
use crate::ecosystem::debian::shell::{self, Line};
use crate::layer::tree::{Content, Node};

const LIST: &str = "etc/odbcinst.ini";
const PACKAGE: &str = "unixodbc-common";

/// Writes the list of the drivers that the packages register, sorted by name.
pub(super) fn apply(installed: &Installed<'_>, configured: &mut Configured) -> Result<(), ConfigureError> {
    let mut drivers = Vec::new();
    for (package, unpacked) in installed.packages() {
        let Some(script) = unpacked.scripts.get("postinst") else { continue };
        for template in shell::lines(script).iter().filter_map(template) {
            let text = installed.read(place(package, &template)?.as_str())?.unwrap_or_default();
            drivers.extend(sections(&String::from_utf8_lossy(&text)));
            configured.done(package, format!("ODBC drivers of {template}"));
        }
    }
    if drivers.is_empty() {
        return Ok(());
    }
    drivers.sort();
    configured.add(installed, place(PACKAGE, LIST)?, Node::file(Content::inline(drivers.concat()), 0o644));
    Ok(())
}

/// Whether the line registers drivers, for the report of lines that nothing stands for.
pub(super) fn is_understood(line: &Line) -> bool {
    template(line).is_some()
}

/// Returns the file whose drivers a line registers.
fn template(line: &Line) -> Option<String> {
    shell::commands(&line.text).iter().find_map(
        |words| match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["odbcinst", "-i", "-d", "-f", path, ..] if path.starts_with('/') && !path.contains('$') => {
                Some(path.to_owned())
            }
            _ => None,
        },
    )
}

/// Returns the sections of a template as odbcinst writes them: no space around `=`, and a count of users at the end.
fn sections(template: &str) -> Vec<String> {
    let mut sections: Vec<String> = Vec::new();
    for line in template.lines().map(str::trim) {
        match line.split_once('=') {
            _ if line.starts_with('[') => sections.push(format!("{line}\n")),
            Some((key, value)) => {
                let entry = format!("{}={}\n", key.trim(), value.trim());
                sections.last_mut().into_iter().for_each(|section| section.push_str(&entry));
            }
            None => {}
        }
    }
    sections.into_iter().map(|section| section + "UsageCount=1\n\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_found_in_commands() {
        let found = |text: &str| shell::lines(text).iter().find_map(template);
        assert_eq!(found("if ! odbcinst -i -d -f /usr/x.ini 1>&2; then").as_deref(), Some("/usr/x.ini"));
        assert_eq!(found("odbcinst -i -d -f $FILE"), None);
        assert_eq!(found("odbcinst -u -d -n 'X'"), None);
    }

    #[test]
    fn sections_are_written_as_odbcinst_does() {
        let template = "; a comment\n[B C]\nDriver\t\t= libb.so\nTimeout =\n\n[A]\nDriver=a=b\n";
        let expected = ["[B C]\nDriver=libb.so\nTimeout=\nUsageCount=1\n\n", "[A]\nDriver=a=b\nUsageCount=1\n\n"];
        assert_eq!(sections(template), expected);
    }
}

//! Alternatives: one of several packages gives a generic name, such as `libblas.so.3`, as update-alternatives(1) does.
//!
//! The highest priority wins, and the first package by name among equals. Only what is in the image takes part, so links
//! to manual pages that were left out are not made.

use std::collections::BTreeMap;

use super::installed::Installed;
use super::table::{Offer, TABLE};
use super::{ConfigureError, Configured, place};
use crate::ecosystem::debian::shell::{self, Line, Variables};
use crate::layer::tree::{Kind, Node};
use crate::platform::Platform;

const FOLDER: &str = "etc/alternatives";

/// A generic name, where it is wanted, and a path that can stand for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Link {
    public: String,
    name: String,
    target: String,
}

/// An offer to stand for a generic name, with the links that go along.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternative {
    master: Link,
    priority: i64,
    slaves: Vec<Link>,
}

/// Adds the links of the alternatives that win.
pub(super) fn apply(
    installed: &Installed<'_>,
    platform: Platform,
    configured: &mut Configured,
) -> Result<(), ConfigureError> {
    let mut best: BTreeMap<String, (&str, Alternative)> = BTreeMap::new();
    for (package, unpacked) in installed.packages() {
        let Some(script) = unpacked.scripts.get("postinst") else { continue };
        let lines = shell::lines(script);
        let variables = Variables::of(&lines, platform);
        let read = lines.iter().filter_map(|line| parse(line, &variables));
        for alternative in read.chain(listed(package, platform)) {
            let beaten = |(_, present): &(&str, Alternative)| present.priority >= alternative.priority;
            let name = alternative.master.name.clone();
            if exists(installed, package, &alternative.master)? && !best.get(&name).is_some_and(beaten) {
                best.insert(name, (package, alternative));
            }
        }
    }
    for (package, alternative) in best.into_values() {
        add(installed, configured, package, &alternative.master)?;
        for slave in &alternative.slaves {
            if exists(installed, package, slave)? {
                add(installed, configured, package, slave)?;
            }
        }
    }
    Ok(())
}

/// Returns the alternatives that the table lists for a package.
fn listed(package: &str, platform: Platform) -> Vec<Alternative> {
    let Some((script, matched)) = TABLE.script(package) else { return Vec::new() };
    let fill = |text: &str| text.replace("{}", matched).replace("{arch}", platform.debian());
    let alternative = |offer: &Offer| {
        let name = offer.public.rsplit('/').next().unwrap_or_default().to_owned();
        let master = Link { public: offer.public.clone(), name, target: fill(&offer.target) };
        Some(Alternative { master, priority: fill(&offer.priority).parse().ok()?, slaves: Vec::new() })
    };
    script.alternatives.iter().filter_map(alternative).collect()
}

fn exists(installed: &Installed<'_>, package: &str, link: &Link) -> Result<bool, ConfigureError> {
    Ok(installed.get(place(package, &link.target)?.as_str()).is_some())
}

fn add(
    installed: &Installed<'_>,
    configured: &mut Configured,
    package: &str,
    link: &Link,
) -> Result<(), ConfigureError> {
    let choice = place(package, &format!("{FOLDER}/{}", link.name))?;
    let public = place(package, &link.public)?;
    // As update-alternatives does: a file that a package ships at the public path is not replaced.
    if installed.get(public.as_str()).is_some_and(|node| !matches!(node.kind, Kind::Symlink(_))) {
        return Ok(());
    }
    configured.add(installed, public, Node::symlink(format!("/{choice}")));
    configured.add(installed, choice, Node::symlink(&link.target));
    configured.done(package, format!("alternative {}: {}", link.name, link.target));
    Ok(())
}

/// Whether the line offers an alternative that is understood, for the report of lines that are not.
pub(super) fn is_understood(line: &Line, variables: &Variables) -> bool {
    parse(line, variables).is_some()
}

/// Reads `update-alternatives --install LINK NAME PATH PRIORITY [--slave LINK NAME PATH]…`.
fn parse(line: &Line, variables: &Variables) -> Option<Alternative> {
    let commands = shell::commands(&line.text);
    let command =
        commands.iter().find(|words| words.first().is_some_and(|word| word.ends_with("update-alternatives")))?;
    let mut words = command.iter().skip(1).map(|word| variables.expand(word)).take_while(|word| !word.starts_with('>'));
    if words.any(|word| word == "--install") {
        let master = link(&mut words)?;
        let priority = words.next()?.parse().ok()?;
        let mut slaves = Vec::new();
        while let Some(word) = words.next() {
            match &*word {
                "--slave" | "--follower" => slaves.push(link(&mut words)?),
                _ => return None,
            }
        }
        return Some(Alternative { master, priority, slaves });
    }
    None
}

fn link(words: &mut impl Iterator<Item = String>) -> Option<Link> {
    let mut next = || words.next().filter(|word| !word.contains(['$', '*', '?', '\\']));
    let link = Link { public: next()?, name: next()?, target: next()? };
    let sound = link.public.starts_with('/') && link.target.starts_with('/') && !link.name.contains('/');
    sound.then_some(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_script(script: &str) -> Vec<Alternative> {
        let lines = shell::lines(script);
        let variables = Variables::of(&lines, "linux/amd64".parse().unwrap());
        lines.iter().filter_map(|line| parse(line, &variables)).collect()
    }

    #[test]
    fn offers_with_slaves_continuations_and_variables_are_read() {
        let script = "M=x86_64-linux-gnu\nif true; then\n update-alternatives --quiet --install /usr/lib/$M/libx.so.3 \\\n   libx.so.3-${M} /usr/lib/$M/x/libx.so.3 100 \\\n  --slave /usr/bin/y y /usr/bin/y.x || true\nfi\n";
        let link = |public: &str, name: &str, target: &str| Link {
            public: public.into(),
            name: name.into(),
            target: target.into(),
        };
        let expected = Alternative {
            master: link(
                "/usr/lib/x86_64-linux-gnu/libx.so.3",
                "libx.so.3-x86_64-linux-gnu",
                "/usr/lib/x86_64-linux-gnu/x/libx.so.3",
            ),
            priority: 100,
            slaves: vec![link("/usr/bin/y", "y", "/usr/bin/y.x")],
        };
        assert_eq!(parse_script(script), [expected]);
    }

    #[test]
    fn what_is_not_understood_is_no_offer() {
        for script in [
            "update-alternatives --install $LINK x /usr/bin/x 1",
            "update-alternatives --install /usr/bin/x x /usr/bin/y high",
            "update-alternatives --install /usr/bin/x ../x /usr/bin/y 1",
            "update-alternatives --install /usr/bin/x x /usr/bin/y 1 --other",
            "update-alternatives --remove x /usr/bin/y",
            "echo update-alternatives --install /usr/bin/x x /usr/bin/y 1",
        ] {
            assert!(parse_script(script).is_empty(), "{script}");
        }
    }
}

//! What building Debian's own source packages needs, from the archive's `Sources` index.
//!
//! Restrictions to architectures are obeyed; those to build profiles count as met where they say what a profile leaves out, as in
//! a build without any profile (policy section 7.1).

use std::collections::{BTreeMap, BTreeSet};

use super::control;
use super::relation;

/// The fields that say it.
const FIELDS: [&str; 3] = ["Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep"];

/// Returns, by the name of each binary package in `wanted`, the packages that its source needs to be built: of alternatives
/// the first. What cannot be read is passed over.
pub(super) fn scan(sources: &str, wanted: &BTreeSet<String>, architecture: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for stanza in control::stanzas(sources) {
        let binaries = stanza.field("Binary").unwrap_or_default().split(',').map(str::trim);
        let binaries: Vec<_> = binaries.filter(|name| wanted.contains(*name)).collect();
        if binaries.is_empty() {
            continue;
        }
        let groups = FIELDS.iter().filter_map(|field| stanza.field(field)).flat_map(|field| field.split(','));
        let needed: BTreeSet<String> = groups.filter_map(|group| first(group, architecture)).collect();
        for name in binaries {
            found.insert(name.to_owned(), needed.iter().cloned().collect());
        }
    }
    found
}

/// Returns the name of a group's first alternative that is for this architecture and for a build without profiles.
fn first(group: &str, architecture: &str) -> Option<String> {
    let mut alternatives = group.split('|').filter_map(|text| {
        let (text, profiles) =
            text.trim().split_once('<').map_or((text.trim(), ""), |(text, rest)| (text.trim(), rest));
        // `<!nocheck>` holds in a plain build, `<cross>` does not.
        if !profiles.split('<').all(|list| list.is_empty() || list.trim_start().starts_with('!')) {
            return None;
        }
        relation::Relation::parse(relation::unrestricted(text, architecture)?).ok()
    });
    alternatives.next().map(|relation| relation.name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plain_build_needs_is_found_by_the_name_of_the_binary() {
        let sources = "Package: rx\nBinary: r-cran-x,\n rx-doc\n\
            Build-Depends: debhelper-compat (= 13), libxml2-dev (>= 2) | other, arm [arm64], p <cross>,\n q <!nocheck>\n\n\
            Package: other\nBinary: other\nBuild-Depends: libother-dev\n";
        let wanted = ["r-cran-x".to_owned(), "r-cran-y".to_owned()].into();
        let found = scan(sources, &wanted, "amd64");
        assert_eq!(found.len(), 1);
        assert_eq!(found["r-cran-x"], ["debhelper-compat", "libxml2-dev", "q"]);
    }
}

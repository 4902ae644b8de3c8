//! What packages open or run without a word in their ELF files, from a table of those that are known.
//!
//! The table's libraries become needs of the package, like any other.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::elf::Object;
use crate::elf::object::{DlopenNote, Kind, Priority};
use crate::layer::tree::TreePath;
use crate::platform::Platform;

/// What is known of packages, see there.
const TABLE: &str = include_str!("dlopen.toml");

/// What one package opens or runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    /// The package, such as `wheel:pyzbar`.
    pub(super) owner: String,
    /// What it does.
    pub(super) reason: String,
    /// The sonames that it opens; alternatives are separated by a bar.
    #[serde(default)]
    pub(super) libraries: Vec<String>,
    /// Debian packages that it needs whole.
    #[serde(default)]
    pub(super) packages: Vec<String>,
    /// Debian packages that some uses need.
    #[serde(default)]
    pub(super) maybe: Vec<String>,
    /// Objects of the package that are opened only where something else asks for them: what they need does not count. Paths
    /// within the package; a `*` at the end stands for any ending.
    #[serde(default)]
    optional: Vec<String>,
    /// With one of these packages the rule is void.
    #[serde(default)]
    unless: Vec<String>,
}

/// Returns the rules for the packages `owners`.
pub(super) fn rules(owners: &BTreeSet<String>) -> Vec<Rule> {
    #[derive(Deserialize)]
    struct Table {
        rule: Vec<Rule>,
    }
    let table: Table = toml::from_str(TABLE).expect("the table is a constant that a test reads");
    let applies = |rule: &Rule| owners.contains(&rule.owner) && !rule.unless.iter().any(|other| owners.contains(other));
    table.rule.into_iter().filter(applies).collect()
}

impl Rule {
    /// Whether the object at `path` is one of the package's optional ones.
    pub(super) fn is_optional(&self, owner: &str, path: &TreePath) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => path.as_str().contains(&format!("/{start}")),
            None => path.as_str().ends_with(&format!("/{pattern}")),
        };
        self.owner == owner && self.optional.iter().any(fits)
    }
}

/// Returns an object that needs `sonames` as a note of its own would say it.
pub(super) fn needs(sonames: impl Iterator<Item = String>, platform: Platform) -> Object {
    let note = |soname| DlopenNote { soname: vec![soname], feature: None, priority: Priority::Required };
    Object { platform: Some(platform), kind: Kind::Shared, dlopen: sonames.map(note).collect(), ..Object::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_package_once_and_gives_each_a_use() {
        let all = |rules: &[Rule]| rules.iter().map(|rule| rule.owner.clone()).collect::<BTreeSet<_>>();
        let names = TABLE.lines().filter_map(|line| line.strip_prefix("owner = \"")?.strip_suffix('"'));
        let owners: Vec<String> = names.map(str::to_owned).collect();
        let rules = rules(&owners.iter().cloned().collect());
        assert_eq!(rules.len(), owners.len());
        assert_eq!(all(&rules).len(), owners.len());
        for rule in &rules {
            assert!(
                rule.libraries.len() + rule.packages.len() + rule.maybe.len() + rule.optional.len() > 0,
                "{}",
                rule.owner
            );
        }
    }

    #[test]
    fn optional_objects_are_told_by_package_and_path() {
        let owner = "wheel:nvidia-nvshmem-cu13";
        let rules = rules(&[owner.to_owned()].into());
        let path = |name: &str| TreePath::new(&format!("usr/lib/python3/{name}")).unwrap();
        let plugin = path("nvidia/nvshmem/lib/nvshmem_transport_ucx.so.6");
        assert!(rules[0].is_optional(owner, &plugin));
        assert!(!rules[0].is_optional("wheel:other", &plugin));
        assert!(!rules[0].is_optional(owner, &path("nvidia/nvshmem/lib/libnvshmem_host.so.3")));
    }

    #[test]
    fn a_rule_is_void_with_a_package_that_brings_its_own() {
        let owners = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(rules(&owners(&["wheel:psycopg", "wheel:numpy"])).len(), 1);
        assert!(rules(&owners(&["wheel:psycopg", "wheel:psycopg-binary"])).is_empty());
    }
}

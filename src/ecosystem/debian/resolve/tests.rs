//! The resolver against indexes written out in the tests.

use super::super::index::Index;
use super::*;
use crate::error::{Diagnose as _, Exit};

/// Returns a catalog of stanzas: each line is a name, maybe `=version`, and fields separated by `;`.
fn catalog(lines: &str) -> Catalog {
    let stanza = |line: &str| {
        let (name, fields) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        let (name, version) = name.split_once('=').unwrap_or((name, "1"));
        let fields: Vec<_> = fields.split(';').map(str::trim).collect();
        format!("Package: {name}\nVersion: {version}\n{}\n", fields.join("\n"))
    };
    let text: Vec<_> = lines.lines().filter(|line| !line.trim().is_empty()).map(stanza).collect();
    Catalog::new(vec![Index::parse("demo", text.join("\n").into_bytes()).unwrap()])
}

fn root(relation: &str) -> Root {
    Root { relation: relation.to_owned(), reason: "manifest".to_owned() }
}

/// Resolves and shows each package with its version and reasons.
fn chosen(lines: &str, roots: &[&str]) -> Result<Vec<String>, ResolveError> {
    let catalog = catalog(lines);
    let roots: Vec<_> = roots.iter().map(|relation| root(relation)).collect();
    let choices = resolve(&catalog, "amd64", &roots)?;
    Ok(choices.iter().map(|choice| format!("{}={}", choice.record.name, choice.record.version)).collect())
}

#[track_caller]
fn chooses(lines: &str, roots: &[&str], expected: &[&str]) {
    assert_eq!(chosen(lines, roots).unwrap(), expected);
}

#[test]
fn an_older_version_of_the_release_itself_comes_before_backports() {
    let index = |release: &str, text: &str| Index::parse(release, text.as_bytes().to_vec()).unwrap();
    // The newest tool goes with the library of backports alone, an older one with that of the release.
    let catalog = Catalog::new(vec![
        index(
            "demo",
            "Package: app\nVersion: 1\nDepends: tool, lib\n\nPackage: lib\nVersion: 1\n\nPackage: tool\nVersion: 1\n",
        ),
        index("demo-updates", "Package: tool\nVersion: 2\nBreaks: lib (<< 2)\n"),
        index("demo-backports", "Package: lib\nVersion: 2\n").with_priority(100),
    ]);
    let choices = resolve(&catalog, "amd64", &[root("app")]).unwrap();
    let chosen: Vec<_> = choices.iter().map(|choice| (choice.record.name, choice.record.version)).collect();
    assert_eq!(chosen, [("app", "1"), ("lib", "1"), ("tool", "1")]);
}

#[test]
fn the_first_alternative_is_chosen_unless_another_is_there() {
    let lines = "a Pre-Depends: p; Depends: b | c, d\np\nb\nc\nd";
    chooses(lines, &["a"], &["a=1", "b=1", "d=1", "p=1"]);
    chooses(lines, &["a", "c"], &["a=1", "c=1", "d=1", "p=1"]);
    chooses("a Depends: x, c | b\nx Depends: b\nb\nc", &["a"], &["a=1", "b=1", "x=1"]);
    chooses("a Depends: gone | b\nb", &["a"], &["a=1", "b=1"]);
}

#[test]
fn real_packages_come_before_virtual_ones() {
    let lines = "a Depends: v\nv\nb Provides: v";
    chooses(lines, &["a"], &["a=1", "v=1"]);
    chooses(lines, &["a", "b"], &["a=1", "b=1"]);
    chooses(
        "a Depends: v\nb Provides: v; Priority: optional\nc Provides: v; Priority: standard",
        &["a"],
        &["a=1", "c=1"],
    );
}

#[test]
fn versions_constrain_real_packages_and_versioned_provisions() {
    chooses("a Depends: b (>= 2) | c\nb\nc", &["a"], &["a=1", "c=1"]);
    chooses("a Depends: v (>= 2)\nb Provides: v\nc Provides: v (= 2)", &["a"], &["a=1", "c=1"]);
    assert!(chosen("a Depends: v (>= 2)\nb Provides: v", &["a"]).is_err());
}

#[test]
fn any_asks_for_a_package_that_allows_it() {
    chooses("a Depends: python:any\npython Multi-Arch: allowed", &["a"], &["a=1", "python=1"]);
    assert!(chosen("a Depends: python:any\npython Multi-Arch: foreign", &["a"]).is_err());
    chooses("a Depends: b:amd64\nb", &["a"], &["a=1", "b=1"]);
    assert!(chosen("a Depends: b:arm64\nb", &["a"]).is_err());
}

#[test]
fn conflicts_steer_to_another_alternative() {
    chooses("a Conflicts: b; Depends: b | c\nb\nc", &["a"], &["a=1", "c=1"]);
    chooses("a Depends: b | c\nb Breaks: a (<< 2)\nc", &["a"], &["a=1", "c=1"]);
    chooses("a Depends: b | c\nb Breaks: a (<< 1)\nc", &["a"], &["a=1", "b=1"]);
    chooses("a Conflicts: v; Depends: b | c\nb Provides: v\nc", &["a"], &["a=1", "c=1"]);
}

#[test]
fn what_is_needed_anyway_steers_to_another_alternative() {
    chooses(
        "a Depends: b, core\nb Depends: nogui | core\ncore\nnogui Conflicts: core",
        &["a"],
        &["a=1", "b=1", "core=1"],
    );
    let error = chosen("a Depends: b, core\nb Depends: nogui\ncore\nnogui Conflicts: core", &["a"]).unwrap_err();
    assert!(matches!(error, ResolveError::Conflict { .. }));
}

#[test]
fn no_package_conflicts_with_itself_or_another_architecture() {
    chooses("a Provides: v; Conflicts: v, a (<< 9); Breaks: v", &["a"], &["a=1"]);
    chooses("a Conflicts: b:i386\nb", &["a", "b"], &["a=1", "b=1"]);
    assert!(chosen("a Conflicts: b:amd64\nb", &["a", "b"]).is_err());
}

#[test]
fn packages_that_exclude_each_other_are_an_error_that_proves_it() {
    let lines = "a Depends: b\nb Depends: c | e\nc=3 Conflicts: v\nd Provides: v\ne Breaks: d (<< 2)\nf";
    let error = chosen(lines, &["f", "d", "a"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`d` and `a` cannot be installed together: `a 1` depends on `b`, `b 1` depends on `c | e`, `c 3` conflicts with \
         `v`, which `d 1` provides, and `e 1` breaks `d (<< 2)`, which `d 1` is"
    );
    let hint = "leave out one of `d` (for manifest) and `a` (for manifest), or ask for another package in its place";
    assert_eq!(error.hints(), [hint]);
    assert_eq!(error.exit(), Exit::Resolution);
}

#[test]
fn a_conflict_is_searched_for_another_solution() {
    // Marking takes `c` for `b`, which `d` then excludes.
    chooses("a Depends: b, d\nb Depends: c | e\nc\nd Conflicts: c\ne", &["a"], &["a=1", "b=1", "d=1", "e=1"]);
    // Both alternatives of `a` must be the second ones.
    let lines = "a Depends: b | c, d | e\nb Conflicts: e\nc\nd Depends: x\ne Conflicts: d\nx Conflicts: a, b";
    chooses(lines, &["a"], &["a=1", "c=1", "e=1"]);
    // What was tried on the way is not kept.
    chooses("a Depends: b | c\nb Depends: x, y\nx\ny Conflicts: a\nc", &["a"], &["a=1", "c=1"]);
}

#[test]
fn another_version_is_taken_only_where_the_candidate_does_not_fit() {
    let lines = "a Depends: b (= 1) | c\nb=2\nb=1\nc";
    chooses(lines, &["a"], &["a=1", "c=1"]);
    chooses("a Depends: b (= 1)\nb=2\nb=1", &["a"], &["a=1", "b=1"]);
    chooses("a=1 Depends: b (= 1)\na=2 Depends: b (= 2)\nb=2\nb=1", &["a=1"], &["a=1", "b=1"]);
    let error = chosen("a Depends: b (= 1)\nb=2\nb=1", &["a", "b=2"]).unwrap_err().to_string();
    let expected = "`a` and `b (= 2)` cannot be installed together: `a 1` depends on `b (= 1)`, and only one of `b 2` and \
                    `b 1` can be there";
    assert_eq!(error, expected);
}

#[test]
fn equals_are_taken_in_the_order_in_which_apt_knows_them() {
    // Of two that provide the same, apt prefers what it met last; `b` is met in the dependencies of `a`.
    let lines = "a Depends: v | b\nc Provides: v\nb Provides: v";
    chooses(lines, &["a"], &["a=1", "c=1"]);
    // The order in which they are asked for does not matter.
    let lines = "x Suggests: q\np Depends: c | d\nq Depends: d\nc\nd";
    for roots in [["p", "q"], ["q", "p"]] {
        chooses(lines, &roots, &["d=1", "p=1", "q=1"]);
    }
}

#[test]
fn packages_of_other_architectures_do_not_exist() {
    chooses("a Depends: b | c\nb Architecture: arm64\nc Architecture: all", &["a"], &["a=1", "c=1"]);
    chooses("a\nb", &["a", "b [arm64]"], &["a=1"]);
    chooses("a Depends: v:any\nb Provides: v; Multi-Arch: allowed", &["a"], &["a=1", "b=1"]);
}

#[test]
fn what_is_named_alone_must_fit_too() {
    let catalog = catalog("a Conflicts: b; Depends: gone\nb\nc");
    let only = |names: &[&str]| {
        let roots: Vec<_> = names.iter().map(|name| root(name)).collect();
        resolve_only(&catalog, "amd64", &roots).map(|choices| choices.len())
    };
    assert_eq!(only(&["a", "c"]).unwrap(), 2);
    let error = only(&["a", "b", "c"]).unwrap_err().to_string();
    assert_eq!(error, "`a` and `b` cannot be installed together: `a 1` conflicts with `b 1`");
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let catalog = catalog("a Depends: b (>= 2)\nb\nc Conflicts: v\nd Provides: v; Architecture: arm64");
    let records = ["a", "b", "c", "d"].map(|name| catalog.candidate(name).unwrap());
    let problems = Selection::new("amd64", records).unwrap().check().unwrap();
    let expected = [
        "`a` depends on `b (>= 2)`, which is not there",
        "`c` has `Conflicts: v`, and `d` is there",
        "`d` is for arm64",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn cycles_end_and_depth_is_no_limit() {
    chooses("a Depends: b\nb Depends: a", &["a"], &["a=1", "b=1"]);
    let chain: Vec<_> = (0..10_000).map(|number| format!("p{number} Depends: p{}", number + 1)).collect();
    assert_eq!(chosen(&format!("{}\np10000", chain.join("\n")), &["p0"]).unwrap().len(), 10_001);
}

#[test]
fn a_root_may_ask_for_a_version_or_for_alternatives() {
    let lines = "a=1\na=2\nb Depends: a (<< 2)";
    chooses(lines, &["a"], &["a=2"]);
    chooses(lines, &["b", "a=1"], &["a=1", "b=1"]);
    chooses(lines, &["a (= 1)"], &["a=1"]);
    chooses(lines, &["gone | b", "a (<< 2)"], &["a=1", "b=1"]);
    let error = chosen(lines, &["a=3"]).unwrap_err().to_string();
    assert_eq!(error, "there is no package `a (= 3)`, which manifest asks for: the archive has 2 (demo), 1 (demo)");
    let error = chosen(lines, &["a=1", "a=2"]).unwrap_err().to_string();
    let expected = "`a (= 1)` and `a (= 2)` cannot be installed together: only one of `a 2` and `a 1` can be there";
    assert_eq!(error, expected);
    assert!(matches!(chosen(lines, &["a, b"]), Err(ResolveError::Requirement { .. })));
}

#[test]
fn a_virtual_root_needs_one_provider() {
    chooses("b Provides: v", &["v"], &["b=1"]);
    let error = chosen("b Provides: v\nc Provides: v", &["v"]).unwrap_err().to_string();
    assert_eq!(error, "`v`, which manifest asks for, is a virtual package that several provide: b, c");
}

#[test]
fn what_is_missing_is_named_with_who_needs_it() {
    let error = chosen("libgomp1\nlibgomp2\nother", &["libgompp1"]).unwrap_err();
    assert_eq!(error.to_string(), "there is no package `libgompp1`, which manifest asks for");
    assert_eq!(error.hints(), ["did you mean libgomp1, libgomp2?"]);
    let error = chosen("a Depends: b\nb Depends: c (>= 2) | d\nc", &["a"]).unwrap_err();
    let expected = "`a` cannot be installed: `a 1` depends on `b`, and `b 1` depends on `c (>= 2) | d`, which nothing can \
                    satisfy";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hints(), ["leave out `a` (for manifest), or ask for another package in its place"]);
}

#[test]
fn reasons_are_roots_and_the_packages_that_depend() {
    let catalog = catalog("a Depends: c\nb Depends: c\nc");
    let roots = [root("a"), root("b"), Root { relation: "c".to_owned(), reason: "libc.so.1".to_owned() }];
    let reasons = |choices: Vec<Choice<'_>>| -> Vec<_> {
        choices.into_iter().map(|choice| choice.reasons.into_iter().collect::<Vec<_>>().join(" ")).collect()
    };
    assert_eq!(reasons(resolve(&catalog, "amd64", &roots).unwrap()), ["manifest", "manifest", "a b libc.so.1"]);
    assert_eq!(reasons(resolve_only(&catalog, "amd64", &roots[..1]).unwrap()), ["manifest"]);
}

/// Names that fields of a random archive name: six packages, two virtual ones, and one that is nowhere.
const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "v", "w", "gone"];

/// The numbers of the names that a random package depends on (in groups of alternatives), excludes and provides.
type Random = (Vec<Vec<usize>>, Vec<usize>, Vec<usize>);

fn random() -> impl proptest::strategy::Strategy<Value = Vec<Random>> {
    use proptest::collection::vec;
    let package = (vec(vec(0..9_usize, 1..4), 0..4), vec(0..8_usize, 0..2), vec(6..8_usize, 0..2));
    vec(package, 6)
}

/// Returns the lines of a random archive.
fn lines(packages: &[Random]) -> String {
    let names =
        |numbers: &[usize], mark: &str| numbers.iter().map(|number| NAMES[*number]).collect::<Vec<_>>().join(mark);
    let line = |(name, (depends, conflicts, provides)): (&&str, &Random)| {
        let groups: Vec<_> = depends.iter().map(|group| names(group, " | ")).collect();
        let (conflicts, provides) = (names(conflicts, ", "), names(provides, ", "));
        format!("{name} Depends: {}; Conflicts: {conflicts}; Provides: {provides}\n", groups.join(", "))
    };
    NAMES.iter().zip(packages).map(line).collect()
}

proptest::proptest! {
    #[test]
    fn a_set_is_found_wherever_there_is_one(packages in random()) {
        let catalog = catalog(&lines(&packages));
        let candidate = |name: &str| catalog.candidate(name).unwrap();
        let fits = |bits: u32| {
            let records = (0..6).filter(|bit| bits >> bit & 1 == 1).map(|bit| candidate(NAMES[bit]));
            Selection::new("amd64", records).unwrap().check().unwrap().is_empty()
        };
        // Every set that has the first two packages.
        let possible = (0..64).filter(|bits| bits & 3 == 3).any(fits);
        match resolve(&catalog, "amd64", &[root("a"), root("b")]) {
            Ok(_) => assert!(possible),
            Err(ResolveError::Conflict { .. }) => assert!(!possible),
            Err(error) => panic!("{error}"),
        }
    }
}

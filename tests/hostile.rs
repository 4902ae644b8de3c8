//! Where each known attack on archives, packages and their indexes is tried.
//!
//! An attack is named by what it does and, where there is one, by a case that is known of it. The test here only sees to
//! it that this table stays true: each test that it names is there.

use std::path::Path;

/// The attacks, and the tests whose inputs try them.
const ATTACKS: &[(&str, &[&str])] = &[
    // Archives: the tar files in Debian packages, and layers of images from elsewhere.
    (
        "names that lead out of the tree: `..`, absolute, empty, NUL, control characters (CVE-2007-4559)",
        &[
            "unsafe_names_are_refused",
            "long_names_are_read_and_malformed_ones_refused",
            "unsafe_names_in_a_layer_are_refused",
        ],
    ),
    (
        "a link, then a file or folder below it, or a folder in its place (CVE-2026-42574, CVE-2026-33056)",
        &["nothing_is_written_through_a_link"],
    ),
    (
        "hard links outside, to links, to later files, to themselves; writing through one",
        &["hard_links_lead_to_an_earlier_file_only", "what_cannot_be_laid_out_is_refused"],
    ),
    (
        "a pax size that is not the header's (CVE-2025-62518)",
        &["what_packages_never_hold_is_refused", "a_size_in_a_pax_header_counts_for_header_and_content_alike"],
    ),
    (
        "malformed or doubled pax headers and long names (GHSA-3cv2-h65g-fgmm)",
        &["long_names_are_read_and_malformed_ones_refused", "what_packages_never_hold_is_refused"],
    ),
    (
        "the root as a link (CVE-2021-29136); whiteouts",
        &["unsafe_names_are_refused", "what_cannot_be_laid_out_is_refused", "names_that_are_not_plain_are_refused"],
    ),
    (
        "one path twice, as another kind, or by an alias of merged /usr",
        &[
            "a_path_twice_is_refused_unless_it_is_the_same_folder_or_link",
            "the_links_of_merged_usr_are_known_and_nothing_else_takes_their_place",
            "merging_refuses_a_file_where_a_folder_is",
        ],
    ),
    (
        "devices, pipes, sparse files, extended attributes; numbers of owners, times and sizes out of range",
        &["what_packages_never_hold_is_refused", "modes_and_owners_stay_and_numbers_out_of_range_are_refused"],
    ),
    (
        "bombs, endless frames, windows of gigabytes; bytes that are kept before they are checked (CVE-2026-39396)",
        &[
            "a_bomb_is_stopped",
            "a_bomb_in_an_r_package_is_stopped",
            "a_stream_that_wants_gigabytes_of_memory_is_refused",
            "a_stream_without_its_end_or_with_something_behind_it_is_refused",
            "no_more_than_the_signed_size_is_decompressed",
            "wrong_bytes_leave_nothing_behind",
        ],
    ),
    (
        "a cut archive, and data behind its end",
        &["a_cut_archive_and_data_behind_its_end_are_refused", "a_cut_layer_is_damaged"],
    ),
    // Debian's packages and indexes.
    (
        "ar: sizes that overflow or are negative, padding, order and number of members (CVE-2020-27350, CVE-2015-0860)",
        &["lies_about_sizes_and_trailing_bytes_are_refused", "another_order_number_or_format_of_members_is_refused"],
    ),
    (
        "a control file of another package, with lines smuggled in, or in a hostile control archive",
        &[
            "a_package_that_is_not_the_locked_one_is_refused",
            "a_second_paragraph_a_repeated_field_and_nonsense_are_refused",
            "a_control_archive_with_links_or_doubles_is_refused",
        ],
    ),
    (
        "a path in an index that leads elsewhere",
        &["a_package_must_be_what_the_index_says", "paths_stay_below_the_mirror"],
    ),
    (
        "InRelease: text outside of the signed part, two parts, dash escapes (CVE-2016-1252)",
        &["a_release_file_counts_only_as_it_was_signed", "framing_is_strict"],
    ),
    (
        "InRelease: keys that expired, were revoked or are unknown; SHA-1; another file's signature; several signatures",
        &[
            "only_valid_trusted_keys_and_strong_hashes_count",
            "the_signature_of_another_release_file_does_not_count",
            "one_good_signature_is_enough_and_bad_ones_are_not",
        ],
    ),
    (
        "InRelease: of another suite, from the future, expired, older than before; a missing security suite",
        &[
            "a_release_file_must_be_the_one_that_was_asked_for_and_current",
            "an_archive_older_than_the_lock_is_refused",
            "an_older_archive_is_refused_even_after_the_manifest_changed",
            "a_mirror_cannot_leave_out_the_security_updates",
        ],
    ),
    (
        "a signed index whose packages are not checked, or only when they are fetched (CVE-2026-42575)",
        &[
            "an_index_must_be_what_the_release_file_says",
            "a_package_must_be_what_the_index_says",
            "a_damaged_package_in_the_store_is_fetched_again",
            "a_corrupted_blob_counts_as_absent",
            "contents_come_back_and_damage_is_seen",
            "a_vendored_file_with_other_bytes_is_refused",
        ],
    ),
    // Wheels.
    (
        "zip: headers that disagree, entries that overlap, two archives in one file (CVE-2025-54368)",
        &[
            "headers_that_disagree_are_refused",
            "only_one_archive_can_be_read_out_of_a_file",
            "names_that_are_not_plain_are_refused",
        ],
    ),
    (
        "a wheel's data folder, scripts and entry points that lead elsewhere (GHSA-4gg8-gxpx-9rph)",
        &["relocation_and_programs_stay_in_their_place"],
    ),
    ("RECORD that lies (GHSA-pjjw-68hj-v9mw)", &["a_record_that_lies_is_refused"]),
    (
        "a wheel that is another package; two wheels with one file; files that run at start",
        &["a_wheel_that_is_another_package_is_refused", "files_that_run_at_start_and_files_of_two_packages_are_told"],
    ),
    (
        "a result kept under the name of another package (GHSA-h672-p7h7-97v9)",
        &["the_result_of_one_package_is_not_taken_for_another"],
    ),
    // JSON Schema.
    (
        "schemas that refer to themselves, double their work with each level or nest without end",
        &["schemas_that_never_end_are_refused", "hostile_schemas_and_values_cost_a_bounded_amount"],
    ),
    ("references to other documents, and to files", &["wrong_schemas_are_refused_with_their_place"]),
    (
        "patterns that backtrack, repeat too much or nest too deep",
        &["what_has_no_linear_match_is_a_pattern_that_cannot_be_used"],
    ),
];

#[test]
fn every_attack_is_tried_by_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = ["src", "tests"].map(|folder| walkdir::WalkDir::new(root.join(folder)));
    let sources =
        files.into_iter().flatten().map(Result::unwrap).filter(|file| file.path().extension() == Some("rs".as_ref()));
    let text: String = sources.map(|file| std::fs::read_to_string(file.path()).unwrap()).collect();
    for (attack, tests) in ATTACKS {
        for test in *tests {
            assert!(
                text.contains(&format!("    fn {test}()")) || text.contains(&format!("\nfn {test}()")),
                "{attack}: {test}"
            );
        }
    }
}

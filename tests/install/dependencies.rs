//! Cargo.toml and CONTRIBUTING.md name the same dependencies: each has its reason, and no reason is left over.

use std::collections::BTreeSet;

use super::of_the_repository;

/// The dependencies in a section of Cargo.toml that are optional, or that are not.
fn in_manifest(manifest: &str, section: &str, optional: bool) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|line| *line != section).skip(1).take_while(|line| !line.starts_with('['));
    let entries = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    entries
        .filter(|(_, value)| value.contains("optional = true") == optional)
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The first column of a table whose head is `head`, each row of which has a reason.
fn in_table(page: &str, head: &str) -> BTreeSet<String> {
    let rows = page.lines().skip_while(|line| *line != head).skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 2 && !cells[1].is_empty(), "no reason: {row}");
        cells[0].to_owned()
    })
    .collect()
}

#[test]
fn each_dependency_has_its_reason_and_each_reason_its_dependency() {
    let read = |path| std::fs::read_to_string(of_the_repository(path)).unwrap();
    let (manifest, page) = (read("Cargo.toml"), read("CONTRIBUTING.md"));
    for (section, optional, head) in [
        ("[dependencies]", false, "| crate | why |"),
        ("[dependencies]", true, "| crate, feature `cli` | why |"),
        ("[dev-dependencies]", false, "| crate, for tests | why |"),
    ] {
        let (there, told) = (in_manifest(&manifest, section, optional), in_table(&page, head));
        assert!(!there.is_empty(), "{section}");
        assert_eq!(there, told, "{head}");
    }
    assert!(!manifest.contains("[build-dependencies]") && !manifest.contains("[target."), "they have no table yet");
}

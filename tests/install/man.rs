//! man/: what the definition of the command line generates, and nothing that the formatters complain of.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::{Scratch, of_the_repository};
use crate::common::{self, stdout_of};
use crate::need;

/// Returns the files of a directory with their texts.
fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    let file = |entry: std::fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

#[test]
fn the_pages_are_what_the_definition_generates() {
    let scratch = Scratch::new("man");
    stdout_of(common::run(&["man", scratch.0.to_str().unwrap()]));
    let (generated, kept) = (files(&scratch.0), of_the_repository("man"));
    if std::env::var_os("NSTOOL_BLESS").is_some_and(|value| value == "1") {
        files(&kept).keys().for_each(|name| std::fs::remove_file(kept.join(name)).unwrap());
        generated.iter().for_each(|(name, text)| std::fs::write(kept.join(name), text).unwrap());
    }
    let kept = files(&kept);
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&kept), names(&generated), "run the tests with NSTOOL_BLESS=1");
    for (name, text) in &generated {
        assert!(kept[name] == *text, "man/{name} is outdated: run the tests with NSTOOL_BLESS=1");
    }
}

#[test]
fn every_verb_has_a_page_and_every_page_stands_on_its_own() {
    let pages = files(&of_the_repository("man"));
    let help = stdout_of(common::run(&["--help"]));
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<_> =
        verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
    assert!(verbs.contains(&"ls"), "{help}");
    for (name, page) in &pages {
        for heading in
            ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES", "NOTES", "EXAMPLES", "SEE ALSO"]
        {
            let quoted = [format!("\n.SH {heading}\n"), format!("\n.SH \"{heading}\"\n")];
            assert!(quoted.iter().any(|line| page.contains(line)), "{name} has no {heading}");
        }
    }
    for verb in verbs {
        assert!(pages.contains_key(&format!("nstool-{verb}.1")), "{verb} has no page");
        assert!(pages["nstool.1"].contains(&format!("nstool\\-{verb}(1)")), "nstool.1 does not name {verb}");
    }
}

#[test]
fn the_formatters_have_no_complaint() {
    need!("man", "groff", "mandoc");
    for name in files(&of_the_repository("man")).keys() {
        let page = of_the_repository("man").join(name);
        let lint = Command::new("mandoc").args(["-T", "lint"]).arg(&page).output().unwrap();
        let said = String::from_utf8_lossy(&lint.stdout).into_owned();
        // That a page it names is not installed here is no complaint about this page.
        let complaints: Vec<_> = said.lines().filter(|line| !line.contains("referenced manual not found")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
        // By default man drops what groff's warnings are.
        let man = Command::new("man")
            .args(["--warnings", "-E", "UTF-8", "-l"])
            .arg(&page)
            .env("MANROFFSEQ", "")
            .env("MANWIDTH", "80")
            .output()
            .unwrap();
        assert_eq!((man.status.success(), String::from_utf8_lossy(&man.stderr).as_ref()), (true, ""), "{name}");
    }
}

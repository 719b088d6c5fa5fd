//! The manual pages, made of the definition of the command line and of what [`words`] adds to it.
//!
//! A verb's examples and exit status stand in its help text and are taken from there, so that they are written once.

mod words;

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use self::words::{COMMON, Section, TOP, VERBS};

/// The day of the last change of note, as in CHANGELOG.md.
const DATE: &str = "2026-11-22";

/// A page: the name of its file and its text.
pub(crate) struct Page {
    pub(crate) file: String,
    pub(crate) text: Vec<u8>,
}

/// Returns the page of a command and those of all its verbs.
pub(crate) fn pages(command: Command) -> io::Result<Vec<Page>> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages)?;
    Ok(pages)
}

fn collect(command: &Command, pages: &mut Vec<Page>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
    pages.push(Page { file: format!("{name}.1"), text: page(command, &name)? });
    command.get_subcommands().filter(|verb| !verb.is_hide_set()).try_for_each(|verb| collect(verb, pages))
}

fn page(command: &Command, name: &str) -> io::Result<Vec<u8>> {
    let help = Help::of(command);
    // What moves to sections of its own is not repeated in the description.
    let command = match &help.description[..] {
        [] => command.clone(),
        paragraphs => command.clone().long_about(paragraphs.join("\n\n")),
    };
    let man = Man::new(command.clone())
        .title(name.to_uppercase())
        .date(DATE)
        .source(concat!("nstool ", env!("CARGO_PKG_VERSION")))
        .manual("Linux namespaces");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if takes_target(&command) {
        section(&words::TARGETS, &mut text)?;
    }
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let own = VERBS.iter().find(|(verb, _)| *verb == name).map_or(TOP, |(_, sections)| sections);
    paragraphs("EXIT STATUS", &help.exit_status, &mut text)?;
    own.iter().filter(|section| section.heading == "EXIT STATUS").try_for_each(|own| section(own, &mut text))?;
    for heading in ["ENVIRONMENT", "FILES", "NOTES"] {
        let all = own.iter().chain(COMMON).filter(|section| section.heading == heading);
        let entries: Vec<_> = all.flat_map(|section| section.entries).copied().collect();
        if !entries.is_empty() {
            section(&Section { heading, entries: &entries }, &mut text)?;
        }
    }
    examples(&help.examples, own, &mut text)?;
    see_also(&command, name, own, &mut text)?;
    Ok(tidy(&String::from_utf8_lossy(&text)).into_bytes())
}

/// Breaks long lines and drops what says nothing, as mandoc's lint wants it: blanks at the end of a line, line breaks
/// beside a vertical space.
fn tidy(source: &str) -> String {
    let lines: Vec<&str> = source.lines().map(str::trim_end).collect();
    let mut out = String::with_capacity(source.len() + 64);
    for (place, line) in lines.iter().enumerate() {
        let before = place.checked_sub(1).map_or("", |place| lines[place]);
        let after = lines.get(place + 1).copied().unwrap_or_default();
        if *line == ".br" && (before.is_empty() || after.is_empty()) {
            continue;
        }
        // A request, and the term of a list, is one line however long.
        if line.is_empty() {
            out.push_str(".sp");
        } else if line.starts_with(['.', '\'']) || before == ".TP" {
            out.push_str(line);
        } else {
            fill(line, &mut out);
        }
        out.push('\n');
    }
    out
}

/// The longest line that mandoc's lint lets pass without a word.
const LINE: usize = 80;

fn fill(line: &str, out: &mut String) {
    let mut filled = 0;
    for word in line.split(' ') {
        // A word that looks like a request must not begin a line.
        if filled > 0 && filled + 1 + word.len() > LINE && !word.starts_with(['.', '\'']) {
            out.push('\n');
            filled = 0;
        } else if filled > 0 {
            out.push(' ');
            filled += 1;
        }
        out.push_str(word);
        filled += word.len();
    }
}

/// What a verb's help text says besides its options.
#[derive(Default)]
struct Help {
    description: Vec<String>,
    exit_status: Vec<String>,
    /// A command and what it does.
    examples: Vec<(String, String)>,
}

impl Help {
    fn of(command: &Command) -> Self {
        let mut help = Self::default();
        let about = command.get_long_about().or_else(|| command.get_about());
        let texts = [about, command.get_after_long_help().or_else(|| command.get_after_help())];
        for block in texts.into_iter().flatten().map(ToString::to_string).flat_map(blocks) {
            if let Some(lines) = block.strip_prefix("Examples:") {
                help.examples.extend(lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(example));
            } else if let Some(text) = block.strip_prefix("Exit status:") {
                help.exit_status.push(sentence(text.trim()));
            } else {
                help.description.push(block);
            }
        }
        help
    }
}

/// Splits a text at its empty lines.
fn blocks(text: String) -> Vec<String> {
    text.split("\n\n").map(str::trim_end).filter(|block| !block.is_empty()).map(str::to_owned).collect()
}

/// Splits `nstool ls -p 4711   the namespaces it is in` where it is aligned.
fn example(line: &str) -> (String, String) {
    let (command, meaning) = line.split_once("  ").unwrap_or((line, ""));
    (command.trim().to_owned(), sentence(meaning.trim()))
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn takes_target(command: &Command) -> bool {
    let names = |name: &clap::builder::Str| name.starts_with("TARGET");
    command.get_arguments().any(|argument| argument.get_value_names().is_some_and(|all| all.iter().any(names)))
}

fn section(section: &Section<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [section.heading]);
    for (place, (term, text)) in section.entries.iter().enumerate() {
        if !term.is_empty() {
            roff.control("TP", []);
            roff.text([bold(*term)]);
        } else if place > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(*text)]);
    }
    roff.to_writer(out)
}

fn paragraphs(heading: &str, all: &[String], out: &mut impl Write) -> io::Result<()> {
    let entries: Vec<_> = all.iter().map(|text| ("", text.as_str())).collect();
    if entries.is_empty() { Ok(()) } else { section(&Section { heading, entries: &entries }, out) }
}

fn examples(of_help: &[(String, String)], own: &[Section<'_>], out: &mut impl Write) -> io::Result<()> {
    let mut entries: Vec<_> = of_help.iter().map(|(command, meaning)| (command.as_str(), meaning.as_str())).collect();
    entries.extend(own.iter().filter(|section| section.heading == "EXAMPLES").flat_map(|section| section.entries));
    if entries.is_empty() { Ok(()) } else { section(&Section { heading: "EXAMPLES", entries: &entries }, out) }
}

/// The page above, those below and beside, and what the words name.
fn see_also(command: &Command, name: &str, own: &[Section<'_>], out: &mut impl Write) -> io::Result<()> {
    let mut pages: Vec<String> = name.rsplit_once('-').map(|(above, _)| format!("{above}(1)")).into_iter().collect();
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    pages.extend(verbs.map(|verb| format!("{name}-{}(1)", verb.get_name())));
    let named = own.iter().filter(|section| section.heading == "SEE ALSO").flat_map(|section| section.entries);
    pages.extend(named.map(|(page, _)| (*page).to_owned()));
    if !pages.iter().any(|page| page == "namespaces(7)") {
        pages.push("namespaces(7)".to_owned());
    }
    let mut line: Vec<Inline> = Vec::new();
    for (place, page) in pages.iter().enumerate() {
        let (title, number) = page.split_once('(').unwrap_or((page, "1)"));
        let end = if place + 1 < pages.len() { ", " } else { "" };
        line.extend([bold(title), roman(format!("({number}{end}"))]);
    }
    let mut roff = Roff::default();
    roff.control("SH", ["SEE ALSO"]);
    roff.text(line);
    roff.to_writer(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_and_lists_stay_whole() {
        let words = "word ".repeat(40);
        let tidied = tidy(&format!(".TP\n{words}\n{words}\n.br\n\n.br\nend"));
        let lines: Vec<_> = tidied.lines().collect();
        assert_eq!(lines[1].len(), 199);
        assert!(lines[2..].iter().all(|line| line.len() <= 80), "{tidied}");
        assert_eq!(lines[lines.len() - 2..], [".sp", "end"]);
    }

    #[test]
    fn a_help_text_is_split_into_sections() {
        let command = Command::new("verb")
            .about("Do it")
            .long_about("Do it.\n\nAt once.\n\nExit status: the command's own.")
            .after_help("Examples:\n  verb -a   all of it\n  verb\n\nExit status: 0, or\n1 in trouble.");
        let help = Help::of(&command);
        assert_eq!(help.description, ["Do it.", "At once."]);
        assert_eq!(help.exit_status, ["The command's own.", "0, or\n1 in trouble."]);
        let examples = [("verb -a".to_owned(), "All of it".to_owned()), ("verb".to_owned(), String::new())];
        assert_eq!(help.examples, examples);
    }
}

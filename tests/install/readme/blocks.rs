//! What stands in README.md: its command blocks.

/// A command block.
pub(super) struct Block {
    /// Where it begins.
    pub(super) line: usize,
    pub(super) orders: Option<Orders>,
    pub(super) commands: Vec<Command>,
}

/// How a block is run.
pub(super) enum Orders {
    /// Here, in a scene.
    In(Stage),
    /// By a script of the repository.
    By(String),
}

/// A scene as a block wants it.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) scene: String,
    pub(super) in_any_order: bool,
}

/// A command of a block.
pub(super) struct Command {
    pub(super) as_root: bool,
    pub(super) text: String,
    /// The lines that stand below it.
    pub(super) output: Vec<String>,
    /// Where they begin, counted from 0.
    pub(super) place: usize,
}

/// Finds the blocks of commands.
pub(super) fn blocks(text: &str) -> Vec<Block> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut place = 0;
    while place < lines.len() {
        if !lines[place].starts_with("```console") {
            place += 1;
            continue;
        }
        let length = lines[place + 1..].iter().position(|line| *line == "```").expect("a block ends");
        let inside = &lines[place + 1..place + 1 + length];
        let orders = place.checked_sub(1).and_then(|before| orders(lines[before]));
        found.push(Block { line: place + 1, orders, commands: commands(inside, place + 1) });
        place += length + 2;
    }
    found
}

fn orders(line: &str) -> Option<Orders> {
    let words = line.strip_prefix("<!-- run ")?.strip_suffix(" -->")?;
    if let Some(script) = words.strip_prefix("by ") {
        return Some(Orders::By(script.to_owned()));
    }
    let words = words.strip_prefix("in ")?;
    let scene = words.strip_suffix(", in any order").unwrap_or(words);
    Some(Orders::In(Stage { scene: scene.to_owned(), in_any_order: scene != words }))
}

fn commands(lines: &[&str], first: usize) -> Vec<Command> {
    let mut all: Vec<Command> = Vec::new();
    let mut goes_on = false;
    for (line, place) in lines.iter().zip(first + 1..) {
        match (line.strip_prefix("# ").or(line.strip_prefix("$ ")), all.last_mut()) {
            (_, Some(command)) if goes_on => {
                command.text.push('\n');
                command.text.push_str(line);
                command.place = place;
            }
            (Some(text), _) => {
                all.push(Command { as_root: line.starts_with('#'), text: text.to_owned(), output: Vec::new(), place });
            }
            (None, Some(command)) => command.output.push((*line).to_owned()),
            (None, None) => panic!("a block begins with a command, not with {line:?}"),
        }
        goes_on = line.ends_with('\\');
    }
    all
}

//! nstool: see, explain, compare, enter and create Linux namespaces.

mod cli;
mod commands;
mod compat;
mod completion;
mod glued;
mod manual;
mod render;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    if let Some(code) = compat::run(&words) {
        return code;
    }
    let cli = cli::parse(words);
    let terminal = render::Terminal::detect(cli.color);
    match commands::run(&cli.command, &terminal) {
        Ok(code) => code,
        Err(error) => {
            render::report::error(&error, &terminal);
            ExitCode::from(cli.command.trouble_code(&error))
        }
    }
}

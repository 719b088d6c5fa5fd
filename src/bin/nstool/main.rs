//! nstool: see, explain, compare, enter and create Linux namespaces.
#![cfg_attr(all(target_env = "gnu", not(test)), no_main)]

mod cli;
mod commands;
mod compat;
mod completion;
mod entry;
mod glued;
mod manual;
mod render;

use entry::ExitCode;

#[cfg(not(all(target_env = "gnu", not(test))))]
fn main() -> std::process::ExitCode {
    run().into()
}

/// Does what the command line says.
fn run() -> ExitCode {
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

//! The command line: the only code that prints, reads the environment, or knows clap. One subcommand a file.

mod init;
mod schema;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Exit, Result};
pub use terminal::Terminal;

/// Turns a trained model into a small, reproducible OCI image with an OpenAPI server inside.
#[derive(Debug, Parser)]
#[command(name = "mlpack", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    global: terminal::Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Schema(schema::Schema),
}

/// Runs the program with the process's arguments, and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Printing help fails only when the terminal is gone.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(Exit::Usage as u8) } else { ExitCode::SUCCESS };
        }
    };
    let terminal = Terminal::new(&arguments.global);
    match run(arguments.command, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::from(error.diagnosis().exit() as u8)
        }
    }
}

fn run(command: Command, terminal: &Terminal) -> Result<()> {
    match command {
        Command::Init(init) => init.run(terminal),
        Command::Schema(schema) => schema.run(terminal),
    }
}

//! The command line: the only code that prints, reads the environment, or knows clap. One subcommand a file.

mod build;
mod call;
mod gc;
mod images;
mod init;
mod inspect;
mod layers;
mod lock;
mod login;
mod push;
mod remove;
mod schema;
mod serve;
mod tag;
mod terminal;
mod text;
mod vendor;
mod why;
mod workspace;

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
    Lock(lock::Lock),
    Build(build::Build),
    Serve(serve::Serve),
    Vendor(vendor::Vendor),
    Call(call::Call),
    Push(push::Push),
    Pull(push::Pull),
    Login(login::Login),
    Logout(login::Logout),
    Images(images::Images),
    Inspect(inspect::Inspect),
    Why(why::Why),
    Tag(tag::Tag),
    #[command(name = "rm")]
    Remove(remove::Remove),
    #[command(name = "gc")]
    CollectGarbage(gc::CollectGarbage),
    Schema(schema::Schema),
}

/// Runs the program with the process's arguments, and returns its exit code.
pub fn main() -> ExitCode {
    // First of all: what is started for a sandbox must not have a thread.
    if let Some(code) = crate::sandbox::enter(std::env::args_os()) {
        return code;
    }
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
        Command::Lock(command) => command.run(terminal),
        Command::Build(command) => command.run(terminal),
        Command::Serve(command) => command.run(terminal),
        Command::Vendor(command) => command.run(terminal),
        Command::Call(command) => command.run(terminal),
        Command::Push(command) => command.run(terminal),
        Command::Pull(command) => command.run(terminal),
        Command::Login(command) => command.run(terminal),
        Command::Logout(command) => command.run(terminal),
        Command::Images(command) => command.run(terminal),
        Command::Inspect(command) => command.run(terminal),
        Command::Why(command) => command.run(terminal),
        Command::Tag(command) => command.run(terminal),
        Command::Remove(command) => command.run(terminal),
        Command::CollectGarbage(command) => command.run(terminal),
        Command::Init(init) => init.run(terminal),
        Command::Schema(schema) => schema.run(terminal),
    }
}

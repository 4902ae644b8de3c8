//! The `mlpack` command line program. All of it is in the library, see `mlpack::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlpack::cli::main()
}

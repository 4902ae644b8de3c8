//! The program inside the image. All of it is in the library, see `mlpack::server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlpack::server::main()
}

//! The program inside the image. All of it is in the library, see `mlpack::server`.

fn main() {}

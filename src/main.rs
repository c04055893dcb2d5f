//! The command `highwater`. Everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    highwater::cli::main()
}

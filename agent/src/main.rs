//! The one binary on every server: the executer that the OS starts, the node that it runs, and
//! the commands of the operator.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

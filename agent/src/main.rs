//! The one binary on every server: the executer that the OS starts, the node that it runs, and
//! the commands of the operator.

#![allow(
    clippy::format_collect,
    reason = "the texts are short, and it reads well"
)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}

//! The `dxt` binary: parse the arguments, run the command, print the error, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    dxt::cli::main(std::env::args_os())
}

//! The `dxt` binary: parse the arguments, run the command, print the error, exit.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dxt::cli::main(std::env::args_os())
}

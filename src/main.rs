//! The `dxt` binary: parse the arguments, run the command, print the error, exit.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's option `purge_delay`, in milliseconds; its bindings name the stable options alone.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // What is freed goes back to the system soon: batches and pages come and go by megabytes, and what is kept of them
    // was a third of the peak of a run.
    // SAFETY: the call only stores a number in mimalloc's table of options, for an index below `_mi_option_last`, and no
    // other thread runs yet.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 1);
    }
    dxt::cli::main(std::env::args_os())
}

//! The `dxt` binary: parse the arguments, run the command, print the error, exit.

use std::process::ExitCode;
use std::sync::OnceLock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's `mi_option_purge_delay`: milliseconds for which it keeps pages that hold nothing.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    dxt::cli::main(std::env::args_os(), hand_back)
}

/// Has the allocator hand memory back to the system at once, or when it likes.
fn hand_back(at_once: bool) {
    static USUAL: OnceLock<std::ffi::c_long> = OnceLock::new();
    // SAFETY: both take a number by value and touch nothing but the option of that number, which exists (the allocator reads
    // `MIMALLOC_PURGE_DELAY` into it). An option is one aligned word that other threads only read, old or new.
    #[allow(unsafe_code)]
    unsafe {
        let usual = *USUAL.get_or_init(|| libmimalloc_sys::mi_option_get(PURGE_DELAY));
        libmimalloc_sys::mi_option_set(PURGE_DELAY, if at_once { 1 } else { usual });
    }
}

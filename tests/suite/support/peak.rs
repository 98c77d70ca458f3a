//! dxt with the memory that it took at its most.

use std::process::Command;

use super::{Project, Ran, ran};

/// A run and its peak of resident memory in MB.
pub struct Measured {
    pub ran: Ran,
    pub peak_mb: u64,
}

const WATCH: &str = "import resource,subprocess,sys\nr=subprocess.run(sys.argv[1:])\n\
    print('peak_kb', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\nsys.exit(r.returncode)";

/// Runs dxt in the project's folder, and measures it.
pub fn measured(project: &Project, args: &[&str]) -> Measured {
    let output = Command::new("python3")
        .args(["-c", WATCH, env!("CARGO_BIN_EXE_dxt")])
        .args(args)
        .current_dir(project.root())
        .output()
        .expect("dxt runs");
    let ran = ran(output);
    let peak: u64 = ran.err.rsplit("peak_kb").next().expect("a peak").trim().parse().expect("a number");
    Measured { ran, peak_mb: peak / 1024 }
}

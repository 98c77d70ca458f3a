//! dxt with the memory that it took at its most.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
    let mut command = watched(project, args);
    seen(command.output().expect("dxt runs"))
}

/// The same with a file on stdin, and stdout thrown away.
pub fn measured_script(project: &Project, args: &[&str], script: &Path) -> Measured {
    let mut command = watched(project, args);
    command.stdin(File::open(script).expect("a script")).stdout(Stdio::null()).stderr(Stdio::piped());
    seen(command.spawn().expect("dxt runs").wait_with_output().expect("dxt ends"))
}

fn watched(project: &Project, args: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", WATCH, env!("CARGO_BIN_EXE_dxt")]).args(args).current_dir(project.root());
    command
}

fn seen(output: Output) -> Measured {
    let ran = ran(output);
    let peak: u64 = ran.err.rsplit("peak_kb").next().expect("a peak").trim().parse().expect("a number");
    Measured { ran, peak_mb: peak / 1024 }
}

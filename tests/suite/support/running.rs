//! dxt in the background, for signals.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Project, Ran, ran};

/// A dxt that runs.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts dxt in the project's folder.
    pub fn start(project: &Project, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
        Self::of(command.args(args).stdin(Stdio::null()), project)
    }

    /// Starts a command that becomes dxt in the project's folder.
    pub fn of(command: &mut Command, project: &Project) -> Self {
        command.current_dir(project.root());
        Self { child: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("dxt runs") }
    }

    /// Sends a signal: `INT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success(), "dxt has ended already");
    }

    /// Waits for its end, for at most so long.
    #[track_caller]
    pub fn ends_within(mut self, limit: Duration) -> Ran {
        let begun = Instant::now();
        while self.child.try_wait().expect("a child").is_none() {
            if begun.elapsed() > limit {
                self.child.kill().expect("kill");
                let output = self.child.wait_with_output().expect("its output");
                panic!("dxt still ran after {limit:?}: {}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        ran(self.child.wait_with_output().expect("its output"))
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not within 30 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

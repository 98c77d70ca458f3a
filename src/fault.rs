//! Places at which a test can kill the process: between any two steps that a crash might part.
//!
//! They are compiled in by the feature `failpoints` alone; without it [`point`] is empty. With it two variables are read:
//! `DXT_FAILPOINT="load.commit.before=kill@3"` ends the process by SIGKILL when it passes that point for the third time,
//! and `DXT_FAILPOINT_LOG=FILE` appends the name of each point that is passed, the fatal one included.

/// A place between two steps, by its name: `load.commit.before`.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub(crate) fn point(_name: &'static str) {}

#[cfg(feature = "failpoints")]
pub(crate) use armed::point;

#[cfg(feature = "failpoints")]
mod armed {
    use std::collections::HashMap;
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::process::Command;
    use std::sync::{LazyLock, Mutex, PoisonError};

    static POINTS: LazyLock<Mutex<Points>> = LazyLock::new(|| Mutex::new(Points::from_env()));

    #[derive(Default)]
    struct Points {
        fatal: Option<(String, u64)>,
        log: Option<File>,
        passed: HashMap<&'static str, u64>,
    }

    impl Points {
        fn from_env() -> Self {
            let fatal = std::env::var("DXT_FAILPOINT").ok().map(|text| {
                parse(&text).unwrap_or_else(|| panic!("DXT_FAILPOINT={text} is not of the form name=kill@1"))
            });
            let log = std::env::var_os("DXT_FAILPOINT_LOG").map(|path| {
                let opened = OpenOptions::new().create(true).append(true).open(&path);
                opened.unwrap_or_else(|e| panic!("DXT_FAILPOINT_LOG={}: {e}", path.display()))
            });
            Self { fatal, log, passed: HashMap::new() }
        }

        /// Whether this pass is the fatal one.
        fn pass(&mut self, name: &'static str) -> bool {
            let passed = self.passed.entry(name).or_default();
            *passed += 1;
            if let Some(log) = &mut self.log {
                // One write straight to the kernel: it outlives the process.
                log.write_all(format!("{name}\n").as_bytes()).expect("the log of fail points can be written");
            }
            self.fatal.as_ref().is_some_and(|(fatal, at)| fatal == name && at == passed)
        }
    }

    fn parse(text: &str) -> Option<(String, u64)> {
        let (name, at) = text.split_once("=kill@")?;
        Some((name.into(), at.parse().ok().filter(|at| *at > 0)?))
    }

    /// A place between two steps, by its name: `load.commit.before`.
    pub(crate) fn point(name: &'static str) {
        let mut points = POINTS.lock().unwrap_or_else(PoisonError::into_inner);
        if points.pass(name) {
            // The lock is kept: no other thread passes a point any more.
            let killed = Command::new("/bin/sh").args(["-c", "kill -KILL $PPID"]).status();
            panic!("outlived its own SIGKILL: {killed:?}");
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_the_asked_for_pass_of_the_asked_for_point_is_fatal() {
            let mut points = Points { fatal: parse("a.b=kill@2"), ..Points::default() };
            assert_eq!(["a.b", "x", "a.b", "a.b"].map(|name| points.pass(name)), [false, false, true, false]);
            for wrong in ["", "a.b", "a.b=kill", "a.b=kill@0", "a.b=stop@1"] {
                assert_eq!(parse(wrong), None, "{wrong}");
            }
        }
    }
}

//! dxt in a pseudo-terminal, as a person at a keyboard has it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};

use super::Project;

/// How long the terminal may keep a test waiting.
const LIMIT: Duration = Duration::from_secs(30);
const PROMPT: &str = "dxt> ";

/// A dxt at a terminal of 24 lines and 100 columns.
pub struct Typist {
    child: Child,
    keys: File,
    screen: Arc<Mutex<Vec<u8>>>,
    /// The bytes of the screen that have been looked at.
    seen: usize,
}

impl Typist {
    /// Starts dxt in the project's folder, with a home of its own in there.
    pub fn start(project: &Project, args: &[&str], vars: &[(&str, &str)]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a pseudo-terminal");
        let end = || Stdio::from(pty.slave.try_clone().expect("the terminal"));
        // In a session of its own, whose terminal this is: Ctrl-C becomes a signal there.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_dxt")).args(args).current_dir(project.root());
        command.env("HOME", project.root()).env_remove("XDG_STATE_HOME").env("TERM", "xterm").env("NO_COLOR", "1");
        command.env("DXT_PAGER", "").envs(vars.iter().copied());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid of util-linux");
        drop(pty.slave);
        let keys = File::from(pty.master);
        let mut output = keys.try_clone().expect("the terminal");
        let screen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let written = screen.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // At its end the terminal gives an error.
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                written.lock().expect("the screen").extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys, screen, seen: 0 }
    }

    /// Starts `dxt sql` and waits for its prompt.
    pub fn shell(project: &Project, args: &[&str], vars: &[(&str, &str)]) -> Self {
        let mut all = vec!["sql"];
        all.extend(args);
        let mut this = Self::start(project, &all, vars);
        this.sees(PROMPT);
        this
    }

    /// Types keys.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    /// Types a line and Enter, and gives back what the terminal shows until the next prompt.
    #[track_caller]
    pub fn line(&mut self, line: &str) -> String {
        self.prompt_after(&format!("{line}\r"))
    }

    /// Types keys that end the line, and gives back what the terminal shows until the next prompt.
    #[track_caller]
    pub fn prompt_after(&mut self, keys: &str) -> String {
        self.keys(keys);
        self.left() + &self.sees(PROMPT)
    }

    /// Waits until the editor has left the terminal to what comes.
    #[track_caller]
    pub fn left(&mut self) -> String {
        self.sees("\x1b[?2004l")
    }

    /// Waits until the terminal shows a text behind what was looked at, and gives back all up to it.
    #[track_caller]
    pub fn sees(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            {
                let screen = self.screen.lock().expect("the screen");
                let rest = &screen[self.seen..];
                if let Some(at) = rest.windows(text.len()).position(|window| window == text.as_bytes()) {
                    let found = plain(&rest[..at + text.len()]);
                    self.seen += at + text.len();
                    return found;
                }
                let rest = String::from_utf8_lossy(rest).into_owned();
                assert!(begun.elapsed() < LIMIT, "the terminal does not show {text:?}, but:\n{rest}\n{rest:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal to dxt alone: `TERM`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success(), "dxt has ended already");
    }

    /// Whether the terminal echoes keys and waits for whole lines, as a program gets it.
    pub fn is_as_it_was(&self) -> bool {
        use nix::sys::termios::{LocalFlags, tcgetattr};
        tcgetattr(&self.keys).expect("its modes").local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON)
    }

    /// Waits for the end, and gives back the exit code and what the terminal has shown since it was looked at.
    #[track_caller]
    pub fn ends(&mut self) -> (i32, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            if begun.elapsed() > LIMIT {
                self.child.kill().expect("kill");
                let screen = self.screen.lock().expect("the screen");
                panic!("dxt still runs: {}", String::from_utf8_lossy(&screen[self.seen..]));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        // What is still on its way.
        std::thread::sleep(Duration::from_millis(50));
        let screen = self.screen.lock().expect("the screen");
        (status.code().unwrap_or(-1), plain(&screen[self.seen..]))
    }
}

/// What was written, without what moves the cursor.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let command = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain += &part[command..];
    }
    // Line ends are both signs; one alone goes back to the line's beginning.
    plain.replace("\r\n", "\n").replace('\r', "")
}

//! The terminal: its size, and its modes as they were before the shell changed them.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

/// The terminal of this process, where it has one.
#[derive(Debug)]
pub struct Terminal {
    /// The modes that it had.
    modes: Option<Mutex<Termios>>,
    /// Whether a line is being typed: the modes are the editor's then.
    editing: AtomicBool,
}

impl Terminal {
    /// The terminal on both stdin and stdout; without one of them nobody types and nobody reads along.
    pub fn here() -> Self {
        let both = io::stdin().is_terminal() && io::stdout().is_terminal();
        let modes = if both { tcgetattr(io::stdin()).ok() } else { None };
        Self { modes: modes.map(Mutex::new), editing: AtomicBool::new(false) }
    }

    /// Whether somebody types and reads along.
    pub fn is_there(&self) -> bool {
        self.modes.is_some()
    }

    /// Says whether a line is being typed.
    pub fn editing(&self, editing: bool) {
        self.editing.store(editing, Ordering::SeqCst);
    }

    /// Gives the terminal back as it was, where a line is being typed. For an end that the editor does not see.
    pub fn restore(&self) {
        let Some(modes) = self.modes.as_ref().filter(|_| self.editing.swap(false, Ordering::SeqCst)) else { return };
        if let Ok(modes) = modes.lock() {
            // Nothing can be done where it fails.
            let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &modes);
        }
        // The editor had turned bracketed paste on.
        let _ = io::stdout().lock().write_all(b"\x1b[?2004l\n").and_then(|()| io::stdout().flush());
    }

    /// Its rows and columns; 24 and 80 where it does not know, as a pseudo-terminal that nobody has given a size.
    pub fn size(&self) -> (usize, usize) {
        let known = console::Term::stdout().size_checked().filter(|(rows, columns)| *rows > 0 && *columns > 0);
        known.map_or((24, 80), |(rows, columns)| (rows.into(), columns.into()))
    }
}

//! Where results go: stdout, a file, or the pager for what the terminal does not hold.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::signals::Signals;
use super::terminal::Terminal;
use crate::cli::print;
use crate::error::{Error, ErrorKind, Result};

/// A place for the text of one result.
pub struct Output {
    to: To,
    /// Cancelled when nobody reads any more.
    gone: CancellationToken,
    /// The file, for errors.
    file: Option<PathBuf>,
}

enum To {
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<File>),
    Screen(Screen),
}

impl Output {
    /// All of it to stdout.
    pub fn stdout() -> Self {
        Self { to: To::Stdout(BufWriter::new(io::stdout())), gone: CancellationToken::new(), file: None }
    }

    /// To a file that is open already, behind what is in it.
    ///
    /// # Errors
    /// Pipeline: the file cannot be used any more.
    pub fn file(file: &File, path: &std::path::Path) -> Result<Self> {
        let file = file.try_clone().map_err(|e| unwritten(path, e))?;
        Ok(Self { to: To::File(BufWriter::new(file)), gone: CancellationToken::new(), file: Some(path.into()) })
    }

    /// To the terminal: through `pager` where it is longer or wider than that.
    pub fn screen(pager: String, terminal: &Arc<Terminal>, signals: Signals) -> Self {
        let gone = CancellationToken::new();
        let screen =
            Screen { size: terminal.size(), signals, gone: gone.clone(), state: State::Held(Vec::new()), pager };
        Self { to: To::Screen(screen), gone, file: None }
    }

    /// Waits until nobody reads any more.
    pub async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Whether nobody reads any more.
    pub fn is_gone(&self) -> bool {
        self.gone.is_cancelled()
    }

    /// Writes a text; a reader that has gone is no error, and seen by [`Output::is_gone`].
    ///
    /// # Errors
    /// Pipeline: it cannot be written.
    pub fn text(&mut self, text: &[u8]) -> Result<()> {
        let written = match &mut self.to {
            To::Stdout(out) => out.write_all(text),
            To::File(file) => file.write_all(text),
            To::Screen(screen) => screen.text(text),
        };
        self.seen(written)
    }

    /// Whether it goes to a file.
    pub fn is_file(&self) -> bool {
        matches!(self.to, To::File(_))
    }

    /// Lets go of what is not written yet.
    pub fn discard(&mut self) {
        if let To::Screen(Screen { state: State::Held(held), .. }) = &mut self.to {
            held.clear();
        }
    }

    /// Writes what is held, and waits for the pager to be left.
    ///
    /// # Errors
    /// Pipeline: it cannot be written.
    pub fn end(mut self) -> Result<()> {
        let written = match &mut self.to {
            To::Stdout(out) => out.flush(),
            To::File(file) => file.flush(),
            To::Screen(screen) => screen.end(),
        };
        self.seen(written)
    }

    fn seen(&self, written: io::Result<()>) -> Result<()> {
        match (written, &self.file) {
            (Ok(()), _) => Ok(()),
            (Err(e), Some(path)) => Err(unwritten(path, e)),
            (Err(e), None) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.gone.cancel();
                Ok(())
            }
            (Err(e), None) => Err(Error::new(ErrorKind::Pipeline, format!("writing to stdout: {e}"))),
        }
    }
}

/// The error of a file that results go to.
pub fn unwritten(path: &std::path::Path, error: io::Error) -> Error {
    Error::new(ErrorKind::Pipeline, format!("{} cannot be written: {error}", path.display()))
        .with_source(error)
        .with_hint("\\o alone sends results to the terminal again")
}

/// The terminal: what fits is printed at the end, all else is for the pager.
struct Screen {
    /// Rows and columns.
    size: (usize, usize),
    pager: String,
    signals: Signals,
    gone: CancellationToken,
    state: State,
}

enum State {
    /// As far as is known it fits.
    Held(Vec<u8>),
    Paged(Pager),
    /// There is no pager after all.
    Plain,
}

impl Screen {
    fn text(&mut self, text: &[u8]) -> io::Result<()> {
        if let State::Held(held) = &mut self.state {
            held.extend_from_slice(text);
            if fits(held, self.size) {
                return Ok(());
            }
            let held = std::mem::take(held);
            self.state = match Pager::start(&self.pager, self.signals.clone(), self.gone.clone()) {
                Some(pager) => State::Paged(pager),
                None => State::Plain,
            };
            return self.write(&held);
        }
        self.write(text)
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match &mut self.state {
            State::Held(held) => held.write_all(text),
            State::Paged(pager) => pager.input.as_mut().map_or(Ok(()), |input| input.write_all(text)),
            State::Plain => io::stdout().lock().write_all(text),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match std::mem::replace(&mut self.state, State::Plain) {
            State::Held(held) => io::stdout().lock().write_all(&held),
            State::Paged(mut pager) => pager.left(),
            State::Plain => Ok(()),
        }?;
        io::stdout().lock().flush()
    }
}

/// Whether a text is neither longer nor wider than the terminal, with a line left for the prompt.
fn fits(text: &[u8], (rows, columns): (usize, usize)) -> bool {
    let text = String::from_utf8_lossy(text);
    let mut lines = 0_usize;
    text.lines().all(|line| {
        lines = lines.saturating_add(1);
        lines < rows && (line.len() <= columns || console::measure_text_width(line) <= columns)
    })
}

/// A pager that runs.
struct Pager {
    /// Its stdin; closed at the end of the text.
    input: Option<std::process::ChildStdin>,
    /// Waits for its end.
    waiter: Option<std::thread::JoinHandle<()>>,
    signals: Signals,
}

impl Pager {
    /// Starts a command with its arguments. `None`, which is said, where that cannot be.
    fn start(command: &str, signals: Signals, gone: CancellationToken) -> Option<Self> {
        let mut words = command.split_whitespace();
        let mut pager = match command.contains(|c: char| "|&;<>()$`\\\"'*?[#~=%".contains(c)) {
            false => {
                let mut pager = Command::new(words.next().unwrap_or_default());
                pager.args(words);
                pager
            }
            // Only where it is needed: a shell in between would end at Ctrl-C, and the pager go on without it.
            true => {
                let mut shell = Command::new("/bin/sh");
                shell.arg("-c").arg(command);
                shell
            }
        };
        if std::env::var_os("LESS").is_none() {
            pager.env("LESS", LESS);
        }
        let mut child = match pager.stdin(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(e) => {
                print::note(&format!("the pager `{command}` cannot be started: {e}"));
                return None;
            }
        };
        let input = child.stdin.take();
        signals.paging(true);
        let waiter = std::thread::spawn(move || {
            // It has ended either way.
            let _ = child.wait();
            gone.cancel();
        });
        Some(Self { input, waiter: Some(waiter), signals })
    }

    /// Ends its text, and waits until the reader leaves it.
    fn left(&mut self) -> io::Result<()> {
        let flushed = self.input.take().map_or(Ok(()), |mut input| input.flush());
        if let Some(waiter) = self.waiter.take() {
            // It does not panic.
            let _ = waiter.join();
        }
        self.signals.paging(false);
        flushed
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        // The reader reads on what came before an error; the prompt waits for that.
        let _ = self.left();
    }
}

/// Options of `less`: quit where it fits, keep colours and the screen, cut lines.
const LESS: &str = "SFRX";

/// The pager to use: `$DXT_PAGER`, else `$PAGER`, else `less`. One that is set to nothing, or to `cat`, is none.
pub fn pager(var: impl Fn(&str) -> Option<String>) -> Option<String> {
    let chosen = var("DXT_PAGER").or_else(|| var("PAGER"));
    let chosen = match chosen {
        Some(command) => command,
        None => {
            let folders = var("PATH").unwrap_or_default();
            let less = std::env::split_paths(&folders).any(|folder| folder.join("less").is_file());
            return less.then(|| format!("less -{LESS}"));
        }
    };
    Some(chosen.trim().to_string()).filter(|command| !command.is_empty() && command != "cat")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fits_that_leaves_a_line_for_the_prompt() {
        for (text, size, expected) in [
            ("a\nb\n", (3, 80), true),
            ("a\nb\nc\n", (3, 80), false),
            ("abcd\n", (24, 4), true),
            ("abcde\n", (24, 4), false),
            // Two columns each.
            ("日本\n", (24, 4), true),
            ("日本語\n", (24, 4), false),
            ("a\nb\nc\n", (usize::MAX, usize::MAX), true),
        ] {
            assert_eq!(fits(text.as_bytes(), size), expected, "{text:?} {size:?}");
        }
    }

    #[test]
    fn the_pager_is_the_one_that_is_asked_for() {
        let of = |vars: &'static [(&'static str, &'static str)]| {
            pager(move |name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_string()))
        };
        assert_eq!(of(&[("DXT_PAGER", "more"), ("PAGER", "less")]).as_deref(), Some("more"));
        assert_eq!(of(&[("PAGER", "less -R")]).as_deref(), Some("less -R"));
        assert_eq!(of(&[("DXT_PAGER", ""), ("PAGER", "less")]), None);
        assert_eq!(of(&[("PAGER", "cat")]), None);
        assert_eq!(of(&[("PATH", "/nowhere")]), None);
    }
}

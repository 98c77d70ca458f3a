//! The prompt: a line editor with history, completion and colours, and statements of several lines.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::mpsc;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{ColorMode, CompletionType, Config, Context, Helper};

use super::complete::complete;
use super::history::{ENTRIES, History};
use super::keywords::is_common;
use super::lexer::{Kind, tokens};
use super::names::Names;
use super::script::is_complete;
use super::terminal::Terminal;
use crate::error::{Error, ErrorKind, Result};

const PROMPT: &str = "dxt> ";

/// Longer texts have no colours: each key paints them anew.
const PAINTED: usize = 64 << 10;

/// What came of a prompt.
#[derive(Debug)]
pub enum Typed {
    /// Whole statements and commands.
    Text(String),
    /// Ctrl-C: nothing is to be done.
    Cleared,
    /// Ctrl-D, or the terminal has gone.
    End,
    Failed(Error),
}

/// The prompt, in a thread of its own, as it blocks on keys.
pub struct Prompt {
    ask: mpsc::Sender<()>,
    typed: tokio::sync::mpsc::Receiver<Typed>,
}

impl Prompt {
    /// Starts the thread; nothing is shown yet.
    ///
    /// # Errors
    /// Pipeline: there can be no thread, or the editor refuses its settings.
    pub fn start(names: Arc<Names>, history_file: Option<std::path::PathBuf>, terminal: Arc<Terminal>) -> Result<Self> {
        let failed = |e: ReadlineError| Error::new(ErrorKind::Pipeline, "the prompt cannot be made").with_source(e);
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .completion_show_all_if_ambiguous(true)
            .history_ignore_space(true)
            .history_ignore_dups(true)
            .and_then(|builder| builder.max_history_size(ENTRIES))
            .map_err(failed)?
            .color_mode(if colours { ColorMode::Enabled } else { ColorMode::Disabled })
            .build();
        let (ask, asked) = mpsc::channel();
        let (answer, typed) = tokio::sync::mpsc::channel(1);
        let helper = SqlHelper { names };
        let thread = std::thread::Builder::new().name("prompt".into()).spawn(move || {
            let mut history = History::open(&config, history_file);
            while asked.recv().is_ok() {
                if answer.blocking_send(line(&config, &helper, &mut history, &terminal)).is_err() {
                    break;
                }
            }
        });
        thread.map_err(|e| Error::new(ErrorKind::Pipeline, "the prompt cannot be made").with_source(e))?;
        Ok(Self { ask, typed })
    }

    /// Shows the prompt, and waits for what is typed.
    pub async fn line(&mut self) -> Typed {
        if self.ask.send(()).is_err() {
            return Typed::End;
        }
        self.typed.recv().await.unwrap_or(Typed::End)
    }
}

/// One prompt. The editor lives no longer than that: it takes SIGINT to itself, which is the statement's while one runs.
fn line(config: &Config, helper: &SqlHelper, history: &mut History, terminal: &Terminal) -> Typed {
    let mut editor = match rustyline::Editor::with_history(config.clone(), history.lend()) {
        Ok(editor) => editor,
        Err(e) => return Typed::Failed(Error::new(ErrorKind::Pipeline, "the prompt cannot be made").with_source(e)),
    };
    editor.set_helper(Some(helper.clone()));
    terminal.editing(true);
    let read = editor.readline(PROMPT);
    terminal.editing(false);
    history.give_back(std::mem::replace(editor.history_mut(), FileHistory::with_config(config)));
    match read {
        Ok(text) => {
            history.add(&text);
            Typed::Text(text)
        }
        Err(ReadlineError::Interrupted) => Typed::Cleared,
        Err(ReadlineError::Eof) => Typed::End,
        Err(e) => Typed::Failed(Error::new(ErrorKind::Pipeline, "the terminal cannot be read").with_source(e)),
    }
}

/// What the editor asks about the text that is typed.
#[derive(Clone)]
struct SqlHelper {
    names: Arc<Names>,
}

impl Helper for SqlHelper {}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Completer for SqlHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(complete(line, position, self.names.as_ref()))
    }
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(match is_complete(context.input()) {
            true => ValidationResult::Valid(None),
            false => ValidationResult::Incomplete,
        })
    }
}

impl Highlighter for SqlHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        painted(line)
    }

    fn highlight_char(&self, _: &str, _: usize, kind: CmdKind) -> bool {
        kind != CmdKind::MoveCursor
    }
}

/// The text with colours, and of the same width.
fn painted(text: &str) -> Cow<'_, str> {
    if text.len() > PAINTED || text.trim_start().starts_with('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 64);
    for token in tokens(text) {
        let colour = match token.kind {
            Kind::Word if is_common(token.text) => "1;34",
            Kind::Text => "32",
            Kind::Number => "36",
            Kind::Comment => "90",
            _ => {
                out += token.text;
                continue;
            }
        };
        // A line's end stands outside of the colour.
        for (index, line) in token.text.split('\n').enumerate() {
            if index > 0 {
                out.push('\n');
            }
            if !line.is_empty() {
                out += &format!("\x1b[{colour}m{line}\x1b[0m");
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keywords_texts_and_comments_have_colours() {
        assert_eq!(
            painted("select a, 'b' -- c\n"),
            "\x1b[1;34mselect\x1b[0m a, \x1b[32m'b'\x1b[0m \x1b[90m-- c\x1b[0m\n"
        );
        assert_eq!(painted("\\d select"), "\\d select");
    }

    proptest! {
        #[test]
        fn colours_change_no_text(text in "[ -~\n]{0,80}") {
            prop_assert_eq!(console::measure_text_width(&painted(&text)), console::measure_text_width(&text));
            let mut plain = painted(&text).into_owned();
            for colour in ["1;34", "32", "36", "90", "0"] {
                plain = plain.replace(&format!("\x1b[{colour}m"), "");
            }
            prop_assert_eq!(plain, text);
        }
    }
}

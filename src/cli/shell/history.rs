//! What was typed, kept between sessions: in a file that only its owner reads, without secrets.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustyline::Config;
use rustyline::error::ReadlineError;
use rustyline::history::{FileHistory, History as _};

use super::lexer::{Kind, Token, tokens};
use crate::cli::print;

/// Entries that are kept.
pub const ENTRIES: usize = 10_000;

/// The history of this session and of those before.
pub struct History {
    /// Where the editor finds it.
    entries: Option<FileHistory>,
    config: Config,
    file: Option<PathBuf>,
}

impl History {
    /// The history in a file; without one, that of this session. A file that cannot be read is said and left alone.
    pub fn open(config: &Config, file: Option<PathBuf>) -> Self {
        let mut entries = FileHistory::with_config(config);
        let mut this = Self { entries: None, config: config.clone(), file };
        let loaded = this.file.as_deref().filter(|file| file.exists()).map(|file| entries.load(file));
        if let Some(Err(error)) = loaded {
            this.gives_up("read", &error);
        }
        this.entries = Some(entries);
        this
    }

    /// Gives the entries to an editor, which gives them back by [`History::give_back`].
    pub fn lend(&mut self) -> FileHistory {
        self.entries.take().unwrap_or_else(|| FileHistory::with_config(&self.config))
    }

    /// Takes the entries back.
    pub fn give_back(&mut self, entries: FileHistory) {
        self.entries = Some(entries);
    }

    /// Keeps what was typed, at once: a session may be killed. What may hold a secret is kept nowhere.
    pub fn add(&mut self, text: &str) {
        let text = text.trim_end();
        if text.is_empty() || holds_secret(text) {
            return;
        }
        let Some(entries) = &mut self.entries else { return };
        let added = entries.add(text);
        let Some(file) = self.file.as_deref().filter(|_| matches!(added, Ok(true))) else { return };
        if let Err(error) = folder_of(file).map_err(ReadlineError::Io).and_then(|()| entries.append(file)) {
            self.gives_up("written", &error);
        }
    }

    /// Says it once: the session goes on without.
    fn gives_up(&mut self, doing: &str, error: &ReadlineError) {
        if let Some(file) = self.file.take() {
            print::note(&format!("the history {} cannot be {doing}, and is left alone: {error}", file.display()));
        }
    }
}

/// Makes the folder of a file, for its owner only.
fn folder_of(file: &Path) -> std::io::Result<()> {
    match file.parent() {
        Some(folder) => DirBuilder::new().recursive(true).mode(0o700).create(folder),
        None => Ok(()),
    }
}

/// Where the history is: `$XDG_STATE_HOME/dxt/history`, else `~/.local/state/dxt/history`. `None` where there is no home.
pub fn file(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    // A relative path is none, says the XDG base directory specification.
    let absolute = |name| var(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("dxt").join("history"))
}

/// Parts of names of a URL's parameters whose values are secrets.
const PARAMETERS: [&str; 9] = ["password", "passwd", "pwd", "secret", "token", "key", "sig", "credential", "auth"];
/// Parts of names of settings and options whose values are.
const OPTIONS: [&str; 7] = ["password", "passwd", "secret", "token", "credential", "access_key", "api_key"];

/// Whether a text may hold a secret: a URL with a password or a key in it, or an option that is called so.
fn holds_secret(text: &str) -> bool {
    let lower = text.to_lowercase();
    let ends = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`');
    let mut urls = lower.match_indices("://").filter_map(|(at, _)| lower[at + 3..].split(ends).next());
    let in_url = |url: &str| {
        // A password may hold any sign that should have been escaped: user info goes up to the last `@`.
        let user = url.rfind('@').is_some_and(|at| url[..at].contains(':'));
        let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters).split(['&', '#', ';']);
        let mut names = parameters.filter_map(|pair| pair.split_once('=')).map(|(name, _)| name);
        user || names.any(|name| PARAMETERS.iter().any(|secret| name.contains(secret)))
    };
    let option = |name: &str| OPTIONS.iter().any(|secret| name.contains(secret));
    // `password=…` in a list of settings.
    let words = lower.split(|c: char| ends(c) || matches!(c, ',' | '(' | ')'));
    let mut settings = words.filter_map(|word| word.split_once('=')).filter(|(_, value)| !value.is_empty());
    // `'aws.secret_access_key' '…'` of OPTIONS, `PASSWORD '…'`.
    let said: Vec<Token<'_>> = tokens(&lower).into_iter().filter(Token::significant).collect();
    let mut pairs = said.windows(2).filter(|pair| pair[1].kind == Kind::Text && pair[0].kind != Kind::Symbol);
    urls.any(in_url) || settings.any(|(name, _)| option(name)) || pairs.any(|pair| option(pair[0].text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn urls_and_options_with_secrets_are_seen() {
        for text in [
            "SELECT * FROM 'https://me:hush@host/x.csv'",
            "\\o postgresql://me:hu?s#h@host/db",
            "SELECT * FROM 'https://host/x.csv?sig=hush'",
            "SELECT * FROM 'https://host/x.csv?a=1&X-Amz-Signature=hush'",
            "SELECT * FROM 's3://b/x?secret_access_key=hush'",
            "COPY t TO 'x' OPTIONS ('aws.secret_access_key' 'hush')",
            "CREATE USER me PASSWORD 'hush'",
            "SELECT * FROM dblink('host=h password=hush')",
        ] {
            assert!(holds_secret(text), "{text}");
        }
        for text in [
            "SELECT token, password FROM users WHERE token = 'x'",
            "SELECT * FROM 'https://host/x.csv?page=2'",
            "SELECT * FROM 's3://bucket/design/keys.parquet'",
            "SELECT 'a@b.c', customer_key=2",
            "SELECT * FROM 'postgresql://me@host/db'",
        ] {
            assert!(!holds_secret(text), "{text}");
        }
    }

    #[test]
    fn the_file_is_where_xdg_says() {
        let vars = |state: Option<&'static str>, home: Option<&'static str>| {
            file(move |name| match name {
                "XDG_STATE_HOME" => state.map(Into::into),
                "HOME" => home.map(Into::into),
                _ => None,
            })
        };
        assert_eq!(vars(Some("/s"), Some("/h")), Some("/s/dxt/history".into()));
        assert_eq!(vars(Some("s"), Some("/h")), Some("/h/.local/state/dxt/history".into()));
        assert_eq!(vars(None, Some("/h")), Some("/h/.local/state/dxt/history".into()));
        assert_eq!(vars(None, None), None);
    }

    #[test]
    fn entries_come_back_in_order_without_repetitions_and_secrets_and_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/dxt/history");
        let config = Config::builder().max_history_size(3).unwrap().build();
        let mut first = History::open(&config, Some(path.clone()));
        for text in ["a;", "b\n  c;", "b\n  c;", " \n", "SELECT 'https://me:hush@h/'", "\\d", "d;\n"] {
            first.add(text);
        }
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let mut second = History::open(&config, Some(path.clone()));
        let entries: Vec<String> = second.lend().iter().cloned().collect();
        assert_eq!(entries, ["b\n  c;", "\\d", "d;"]);
        assert!(!std::fs::read_to_string(&path).unwrap().contains("hush"));
    }
}

//! libpq's password file: lines of `host:port:database:user:password`, each of the first four a text or `*`.

use std::path::Path;

use crate::model::Secret;

/// Whose password is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Login<'a> {
    /// A name, an address, or the folder of a socket.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The password of the first line that fits. A file that is not there has none; one that others may read is not used, and
/// a warning says so.
pub(super) fn password(file: &Path, login: Login<'_>) -> Option<Secret> {
    let metadata = std::fs::metadata(file).ok()?;
    let name = file.display();
    if !metadata.is_file() {
        tracing::warn!("the password file {name} is not a plain file, and is not used");
        return None;
    }
    if private(&metadata) {
        let text = std::fs::read(file).inspect_err(|e| tracing::warn!("the password file {name} cannot be read: {e}"));
        find(&String::from_utf8_lossy(&text.ok()?), login)
    } else {
        tracing::warn!("the password file {name} can be read by group or world, and is not used: chmod 0600 {name}");
        None
    }
}

/// Whether nobody but its owner may touch a file.
#[cfg(unix)]
pub(super) fn private(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o077 == 0
}

#[cfg(not(unix))]
pub(super) fn private(_: &std::fs::Metadata) -> bool {
    true
}

fn find(text: &str, login: Login<'_>) -> Option<Secret> {
    let port = login.port.to_string();
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let line = line.trim_end_matches('\r');
        // A socket is also known as localhost.
        let rest = field(line, login.host)
            .or_else(|| login.host.starts_with('/').then(|| field(line, "localhost")).flatten())?;
        let rest = field(field(field(rest, &port)?, login.database)?, login.user)?;
        let password = unescaped(rest);
        (!password.is_empty()).then(|| Secret::new(password))
    })
}

/// What stands behind the first field of a line, where that is `*` or `wanted`. A `\` makes the next character a plain one.
fn field<'a>(line: &'a str, wanted: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut wanted = wanted.chars();
    let mut chars = line.chars();
    loop {
        match chars.next()? {
            ':' => return wanted.next().is_none().then_some(chars.as_str()),
            '\\' => {
                if wanted.next() != Some(chars.next()?) {
                    return None;
                }
            }
            c => {
                if wanted.next() != Some(c) {
                    return None;
                }
            }
        }
    }
}

/// The last field: up to its end or a `:`, without the escapes.
fn unescaped(text: &str) -> String {
    let mut password = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => break,
            '\\' => password.push(chars.next().unwrap_or('\\')),
            c => password.push(c),
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: Login<'_> = Login { host: "db.example", port: 5432, database: "shop", user: "ada" };

    fn found(text: &str, login: Login<'_>) -> Option<String> {
        find(text, login).map(|secret| secret.reveal().to_string())
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text = "# db.example:5432:shop:ada:comment\nother:*:*:*:1\ndb.example:1:*:*:2\n*:*:shop:ada:3\n*:*:*:*:4\n";
        assert_eq!(found(text, LOGIN).as_deref(), Some("3"));
        assert_eq!(found(text, Login { database: "x", ..LOGIN }).as_deref(), Some("4"));
        assert_eq!(found("db.example:5432:shop:bob:1\n", LOGIN), None);
        assert_eq!(found("db.exampl:*:*:*:1\ndb.example2:*:*:*:2\n", LOGIN), None);
        assert_eq!(found("short:line\n\n", LOGIN), None);
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        let login = Login { host: "::1", user: r"a\b", ..LOGIN };
        assert_eq!(found(r"\:\:1:5432:shop:a\\b:p\:w\\d", login).as_deref(), Some(r"p:w\d"));
        assert_eq!(found("*:*:*:*:word:rest\r\n", LOGIN).as_deref(), Some("word"));
        // An escaped star is a star, not every name.
        assert_eq!(found(r"\*:*:*:*:word", LOGIN), None);
    }

    #[test]
    fn a_socket_is_found_by_its_folder_and_as_localhost() {
        let login = Login { host: "/run/postgresql", ..LOGIN };
        assert_eq!(found("/run/postgresql:*:*:*:1", login).as_deref(), Some("1"));
        assert_eq!(found("localhost:*:*:*:2", login).as_deref(), Some("2"));
        assert_eq!(found("localhost:*:*:*:2", LOGIN), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pgpass");
        assert!(password(&file, LOGIN).is_none());
        std::fs::write(&file, "*:*:*:*:word\n").unwrap();
        for (mode, there) in [(0o644, false), (0o640, false), (0o600, true), (0o400, true)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(password(&file, LOGIN).is_some(), there, "{mode:o}");
        }
        assert!(password(folder.path(), LOGIN).is_none());
    }
}

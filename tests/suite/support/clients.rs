//! The systems' own clients: what dxt wrote is never read by dxt alone.

use std::path::Path;
use std::process::{Command, Stdio};

use super::env;

fn text(mut command: Command, input: &str) -> String {
    use std::io::Write;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    child.stdin.take().expect("stdin").write_all(input.as_bytes()).expect("the client reads");
    let output = child.wait_with_output().expect("the client ends");
    assert!(output.status.success(), "{input}\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_string()
}

/// Runs SQL by psql; rows as lines, columns parted by `|`, NULL as `NULL`.
pub fn psql(sql: &str) -> String {
    psql_at(&env("DXT_TEST_PG_URL"), sql)
}

/// The same on another server.
pub fn psql_at(url: &str, sql: &str) -> String {
    let mut command = Command::new(env("PSQL"));
    command.args([url, "-qAtX", "-v", "ON_ERROR_STOP=1", "-P", "null=NULL"]);
    text(command, sql)
}

/// Runs SQL by the sqlite3 shell, in the same form.
pub fn sqlite3(file: &Path, sql: &str) -> String {
    let mut command = Command::new("sqlite3");
    command.args(["-batch", "-noheader", "-separator", "|", "-nullvalue", "NULL"]).arg(file);
    text(command, sql)
}

/// Runs a Python program that has pyarrow.
pub fn python(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(env("DXT_TEST_PYTHON"));
    command.arg("-").args(args);
    text(command, program)
}

/// Runs SQL by MySQL's client, in the same form; its session is in UTC, and its texts are UTF-8.
pub fn mysql(sql: &str) -> String {
    mysql_in("dxt", sql)
}

/// The same in another database.
pub fn mysql_in(database: &str, sql: &str) -> String {
    let mut command = Command::new(env("DXT_TEST_MYSQL"));
    let socket = format!("--socket={}", env("DXT_TEST_MYSQL_SOCKET"));
    let init = "--init-command=SET time_zone = '+00:00', sql_mode = 'NO_ENGINE_SUBSTITUTION'";
    command.args(["--no-defaults", &socket, "--user=dxt", init, "--default-character-set=utf8mb4"]);
    command.args(["--batch", "--skip-column-names", "--raw", database]).env("MYSQL_PWD", mysql_password());
    text(command, sql).replace('\t', "|")
}

fn mysql_password() -> String {
    let url = env("DXT_TEST_MYSQL_URL");
    let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map_or("", |(user, _)| user);
    user.split_once(':').map_or("", |(_, password)| password).to_string()
}

//! A password in each place that can hold one is nowhere in what dxt writes, whether it succeeds or fails.

use std::path::Path;

use dxt::model::ConnectionConfig;
use dxt::{Pipeline, Registry};

use crate::support::{Kind, Project, Ran, System, env, people, psql};

/// Letters and digits that stay as they are when a URL is encoded, within a password that has to be encoded.
const CORE: &str = "Pl4ntedS3cr3t7";
const SECRET: &str = "a/Pl4ntedS3cr3t7+%@";
const ENCODED: &str = "a%2FPl4ntedS3cr3t7%2B%25%40";

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        (0..=chunk.len()).for_each(|i| text.push(char::from(LETTERS[(number >> (18 - 6 * i)) as usize & 63])));
    }
    text
}

/// Every form in which the password could be written: as it is and percent-encoded (both have the core), every letter
/// encoded, in hexadecimal, and within base64 at each of its three alignments.
fn forms() -> Vec<String> {
    let mut forms = vec![CORE.to_string()];
    forms.push(CORE.bytes().map(|b| format!("%{b:02x}")).collect());
    forms.push(CORE.bytes().map(|b| format!("{b:02x}")).collect());
    for skip in 0..3 {
        // Whole groups of three letters only: what stands around them is not known.
        let core = &CORE.as_bytes()[skip..];
        forms.push(base64(&core[..core.len() / 3 * 3]));
    }
    forms
}

#[track_caller]
fn clean(what: &str, text: &[u8]) {
    let lower = String::from_utf8_lossy(text);
    for form in forms() {
        assert!(!lower.contains(&form), "{what} has the password as {form}:\n{lower}");
    }
}

/// All files below a folder but those that the test wrote.
fn search(folder: &Path, own: &[&str]) -> usize {
    let mut searched = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            searched += search(&path, own);
        } else if !own.contains(&name.as_str()) {
            clean(&path.display().to_string(), &std::fs::read(&path).expect("a file"));
            searched += 1;
        }
    }
    searched
}

const OWN: [&str; 4] = ["p.yaml", "dxt_project.yaml", ".pgpass", "in.parquet"];

/// Runs every command on `p.yaml`, and searches all that it says and writes. `vars`: of the environment.
fn every_command(project: &Project, connection: &str, vars: &[(&str, &str)]) -> Vec<Ran> {
    let query = format!("SELECT * FROM {connection}.nothing");
    let commands: [&[&str]; 16] = [
        &["validate", "p.yaml"],
        &["validate", "p.yaml", "--connect"],
        &["list", "p.yaml"],
        &["list", "p.yaml", "--format", "json"],
        &["explain", "p.yaml"],
        &["test", "p.yaml"],
        &["test", "p.yaml", "--format", "json"],
        &["discover", connection, "p.yaml"],
        &["discover", connection, "p.yaml", "--format", "yaml"],
        &["discover", connection, "p.yaml", "--format", "json"],
        &["run", "p.yaml", "--dry-run"],
        &["extract", "p.yaml", "--format", "json"],
        &["load", "p.yaml", "--format", "json"],
        &["run", "p.yaml"],
        &["run", "p.yaml", "--format", "json"],
        &["query", &query, "p.yaml"],
    ];
    let ways: [&[&str]; 2] = [&["-v", "-v"], &["-v", "-v", "--log-format", "json", "--log-file", "log.json"]];
    let mut all = Vec::new();
    for command in commands {
        for way in ways {
            let args: Vec<&str> = command.iter().chain(way).copied().collect();
            let ran = project.dxt_with(&args, vars);
            clean(&format!("stdout of {args:?}"), ran.out.as_bytes());
            clean(&format!("stderr of {args:?}"), ran.err.as_bytes());
            all.push(ran);
        }
    }
    assert!(search(project.root(), &OWN) > 0, "there is a log to search");
    all
}

/// A pipeline from the connection `secret` into a file; its name stands in the source.
fn pipeline(connections: &str, source: &str) -> String {
    format!(
        "version: 1\nname: p\nbuffer: {{persist: true}}\nconnections:\n  files: {{type: file, path: .}}\n{connections}streams:\n  - id: s\n    \
         source: {source}\n    target: {{connection: files, value: out.csv}}\n    load: {{mode: replace}}\n"
    )
}

/// A role whose password is the secret, and a table that it may read; the server's host, port and database.
struct Server {
    system: System,
    role: String,
    host: String,
    port: String,
    table: String,
}

impl Server {
    fn new() -> Self {
        let system = System::new(Kind::Postgres);
        let table = system.sql_name("src");
        let schema = table.split('.').next().unwrap();
        let role = format!("secret_{schema}");
        psql(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD '{SECRET}'; CREATE TABLE {table} AS SELECT 1 AS id; \
             GRANT ALL ON SCHEMA {schema} TO {role}; GRANT SELECT ON {table} TO {role}"
        ));
        let url = env("DXT_TEST_PG_URL");
        let place = url.rsplit_once('@').unwrap().1.split('/').next().unwrap().to_string();
        let (host, port) = place.split_once(':').unwrap();
        Self { role, table, host: host.into(), port: port.into(), system }
    }

    fn url(&self, port: &str) -> String {
        format!("postgresql://{}:{ENCODED}@{}:{port}/dxt", self.role, self.host)
    }

    fn source(&self) -> String {
        format!("{{connection: secret, value: '{}'}}", self.table)
    }

    fn project(&self) -> &Project {
        &self.system.project
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            psql(&format!("SET client_min_messages = warning; DROP OWNED BY {0} CASCADE; DROP ROLE {0}", self.role));
        }
    }
}

/// Of the commands, `run` must have ended as told: the password was really used, or really refused.
#[track_caller]
fn ends(all: &[Ran], well: bool) {
    let last_run = &all[14 * 2];
    assert_eq!(last_run.code == 0, well, "{}{}", last_run.out, last_run.err);
}

#[test]
fn the_forms_that_are_searched_for_would_be_found() {
    let caught = |text: &str| std::panic::catch_unwind(|| clean("a text", text.as_bytes())).is_err();
    assert!(caught(&format!("password={SECRET}")) && caught(ENCODED));
    for before in ["", "u", "us"] {
        assert!(caught(&base64(format!("{before}:{SECRET}").as_bytes())), "{before}");
    }
    assert_eq!(base64(b"ab:cde"), "YWI6Y2Rl");
    assert!(!caught("nothing of it"));
}

#[test]
fn postgres_urls_fields_and_variables_that_work() {
    let server = Server::new();
    let project = server.project();
    let Server { role, host, port, .. } = &server;
    let fields = format!("type: postgres, host: {host}, port: {port}, user: {role}, database: dxt");
    for (connection, vars) in [
        (format!("'{}'", server.url(port)), vec![]),
        (format!("{{url: '{}'}}", server.url(port)), vec![]),
        (format!("{{{fields}, password: '{SECRET}'}}"), vec![]),
        (format!("{{{fields}, password: '${{PLANTED}}'}}"), vec![("PLANTED", SECRET)]),
        (format!("'postgresql://{role}:${{PLANTED}}@{host}:{port}/dxt'"), vec![("PLANTED", SECRET)]),
        (format!("{{{fields}}}"), vec![("PGPASSWORD", SECRET)]),
    ] {
        project.write("p.yaml", &pipeline(&format!("  secret: {connection}\n"), &server.source()));
        ends(&every_command(project, "secret", &vars), true);
    }
}

#[test]
fn postgres_as_a_target_a_password_file_a_project_file_and_an_inline_connection() {
    let server = Server::new();
    let project = server.project();
    let Server { role, host, port, .. } = &server;
    let file = project.write(".pgpass", &format!("{host}:{port}:dxt:{role}:{}\n", SECRET.replace(':', "\\:")));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let plain = format!("postgresql://{role}@{host}:{port}/dxt");
    project.write("p.yaml", &pipeline(&format!("  secret: '{plain}?passfile=.pgpass'\n"), &server.source()));
    ends(&every_command(project, "secret", &[("PGPASSFILE", &file.to_string_lossy())]), true);

    project.write("dxt_project.yaml", &format!("connections:\n  secret: '{}'\n", server.url(port)));
    project.write("p.yaml", &pipeline("", &server.source()));
    ends(&every_command(project, "secret", &[]), true);
    std::fs::remove_file(project.path("dxt_project.yaml")).unwrap();

    let inline = format!("{{connection: '{}', value: '{}'}}", server.url(port), server.table);
    project.write("p.yaml", &pipeline("", &inline));
    ends(&every_command(project, "files", &[]), true);

    let target = server.system.sql_name("dst");
    people(&project.path("in.parquet"), &[(1, Some("a"), None)]);
    project.write(
        "p.yaml",
        &format!(
            "version: 1\nname: p\nconnections: {{files: {{type: file, path: .}}, secret: '{}'}}\nstreams:\n  - id: s\n    \
             source: {{connection: files, value: in.parquet}}\n    target: {{connection: secret, value: '{target}'}}\n    \
             load: {{mode: append, verify: checksum}}\n",
            server.url(port)
        ),
    );
    ends(&every_command(project, "secret", &[]), true);
}

#[test]
fn connections_that_fail_and_urls_that_are_none() {
    let server = Server::new();
    let project = server.project();
    let Server { role, host, port, table, .. } = &server;
    let wrong = format!("postgresql://{role}:{CORE}-wrong@{host}:{port}/dxt");
    let at = |rest: &str| format!("postgresql://{role}:{ENCODED}@{rest}");
    for url in [
        wrong,
        server.url("1"),
        at(&format!("{host}:{port}/no_such_database")),
        at(&format!("{host}:{port}/dxt?sslmode=verify-full")),
        at(&format!("{host}:notaport/dxt")),
        at(&format!("{host}:{port}/dxt?sslmod=require")),
        at("[::1/dxt"),
        format!("postgresql://{role}:{CORE}%zz@{host}/dxt"),
        format!("postgresql://{host}:{port}/dxt?user={role}&password={ENCODED}&connect_timeout=x"),
        format!("postgrs://{role}:{ENCODED}@{host}/dxt"),
        format!("mysql://{role}:{ENCODED}@{host}/dxt"),
        format!("sqlite://{role}:{ENCODED}@{host}/x.db"),
        format!("sqlite:///x.db?password={ENCODED}"),
        format!("{role}:{ENCODED}@{host}"),
        format!("host={host} password={CORE}"),
    ] {
        project.write(
            "p.yaml",
            &pipeline(&format!("  secret: '{url}'\n"), &format!("{{connection: secret, value: '{table}'}}")),
        );
        ends(&every_command(project, "secret", &[]), false);
        // The same at the command line.
        let given = format!("secret={url}");
        for args in [
            vec!["query", "SELECT * FROM secret.public.t", "--connection", &given, "-v", "-v"],
            vec!["test", "--connection", &given, "-v", "-v"],
            vec!["discover", &url, "-v", "-v"],
            vec!["discover", &url, "--format", "yaml"],
        ] {
            let ran = project.dxt(&args);
            assert_ne!(ran.code, 0, "{args:?}");
            clean(&format!("stdout of {}", args[0]), ran.out.as_bytes());
            clean(&format!("stderr of {} with {url}", args[0]), ran.err.as_bytes());
        }
    }
}

#[test]
fn keys_of_object_stores_and_passwords_of_web_servers() {
    let project = Project::new();
    let endpoint = env("DXT_TEST_S3_ENDPOINT");
    let web = endpoint.trim_start_matches("http://");
    let keys = |name: &str| {
        format!(
            "aws_endpoint: '{endpoint}', aws_access_key_id: testing, {name}: '{SECRET}', aws_region: us-east-1, aws_allow_http: 'true'"
        )
    };
    for connection in [
        format!("{{url: 's3://no-such-bucket/lake', options: {{{}}}}}", keys("aws_secret_access_key")),
        format!("{{type: s3, bucket: no-such-bucket, {}}}", keys("aws_secret_access_key")),
        format!("{{url: 's3://no-such-bucket/lake', options: {{{}}}}}", keys("aws_secret_acces_key")),
        // Any web server does, as long as it has no such file.
        format!("'http://me:{ENCODED}@{web}/no-such-bucket/'"),
        format!("'http://{web}/no-such-bucket/?sig={ENCODED}'"),
        format!("{{url: 'az://container/x', options: {{account_name: a, access_key: '{SECRET}', azure_nonsense: 1}}}}"),
        format!("{{url: 'gs://bucket/x', options: {{service_account_key: '{SECRET}'}}}}"),
        format!("{{type: file, path: ., password: '{SECRET}'}}"),
    ] {
        let source = "{connection: secret, value: 'a.parquet'}";
        project.write("p.yaml", &pipeline(&format!("  secret: {connection}\n"), source));
        ends(&every_command(&project, "secret", &[]), false);
    }
    // A signed URL in the place of a path.
    let signed = format!("http://{web}/no-such-bucket/x.csv?sig={ENCODED}");
    let ran = project.dxt(&["query", &format!("SELECT * FROM '{signed}'"), "-v", "-v"]).exits(1);
    clean("stdout of query", ran.out.as_bytes());
    clean("stderr of query", ran.err.as_bytes());
}

#[test]
fn malformed_yaml_around_a_password() {
    let project = Project::new();
    let url = format!("postgresql://u:{ENCODED}@h/db");
    for text in [
        format!("version: 1\nname: p\nconnections:\n  secret: {url}\n  - x\n"),
        format!("version: 1\nname: p\nconnections:\n  secret: '{url}\nstreams: []\n"),
        format!("version: 1\nname: p\nconnections:\n  secret: [{url}\n"),
        format!("version: 1\nname: p\nconnections:\n\tsecret: {url}\n"),
        format!("version: 1\nname: p\nconnections: {url}\nstreams: []\n"),
        format!("version: 1\nname: p\nconnections: {{secret: {{url: {{a: '{url}'}}}}}}\nstreams: []\n"),
        format!("version: 1\nname: p\nconnections: {{secret: {{type: postgres, pasword: '{SECRET}'}}}}\nstreams: []\n"),
        format!(
            "version: 1\nname: p\nconnections: {{secret: {{type: postgres, password: ['{SECRET}']}}}}\nstreams: []\n"
        ),
        format!("version: 1\nname: p\n{url}: 1\nconnections: {{}}\nstreams: []\n"),
        format!("version: 1\nname: '{url}'\nconnections: {{a: '{url}', a: '{url}'}}\nstreams: []\n"),
        format!(
            "version: '{url}'\nstreams: [{{id: '{url}', source: '{url}', target: '{url}', tags: '{url}', load: '{url}', extract: '{url}'}}]\n"
        ),
        format!("version: 1\nname: p\nconnections: {{a: &x '{url}'}}\nstreams: *x\n"),
        format!(
            "version: 1\nname: p\nbuffer: '{url}'\nconnections: {{a: '${{PLANTED', b: '${{PLANTED}}'}}\nstreams: []\n"
        ),
    ] {
        project.write("p.yaml", &text);
        ends(&every_command(&project, "secret", &[("PLANTED", SECRET)]), false);
    }
}

#[test]
fn a_pipeline_that_is_printed_by_a_program_shows_none() {
    let registry = Registry::builtin();
    let text = format!(
        "version: 1\nname: p\nconnections:\n  url: 'postgresql://u:{ENCODED}@h/db'\n  fields: {{type: postgres, host: h, user: u, password: '{SECRET}'}}\n  \
         s3: {{url: 's3://b/x', options: {{aws_access_key_id: k, aws_secret_access_key: '{SECRET}'}}}}\nstreams:\n  - id: s\n    \
         source: {{connection: 'postgresql://u:{ENCODED}@h/db', value: t}}\n    target: {{connection: s3, value: x.parquet}}\n    load: {{mode: replace}}\n"
    );
    let pipeline = Pipeline::from_yaml(&text).expect("a pipeline");
    clean("Debug", format!("{pipeline:?} {pipeline:#?}").as_bytes());
    for config in &pipeline.connections {
        clean("JSON", serde_json::to_string(config).expect("JSON").as_bytes());
        clean("redacted", config.redacted().as_bytes());
        let connector = registry.connect(config).expect("a connector");
        clean("a connector's Debug", format!("{connector:?} {connector:#?}").as_bytes());
    }
    for url in [
        format!("postgresql://u:{ENCODED}@h/db?password={ENCODED}"),
        format!("u:{SECRET}@h"),
        format!("postgresql:{SECRET}"),
        format!("https://h/x?sig={ENCODED}#{CORE}"),
    ] {
        let config = ConnectionConfig::from_url("c", &url, ".");
        clean("Debug of a URL", format!("{config:?} {}", config.redacted()).as_bytes());
    }
}

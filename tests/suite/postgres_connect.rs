//! PostgreSQL: the way to the server, right and wrong, and servers that fall silent.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::{Fault, Kind, Project, Ran, System, env, port, proxy, psql};

const PASSWORD: &str = "dxt-test-secret";

/// Asks by dxt whether the session is encrypted, what it is called and what its zone is.
fn ask(project: &Project, url: &str, vars: &[(&str, &str)]) -> Ran {
    let yaml = format!(
        "version: 1\nname: p\nretries: 0\nconnections: {{sys: '{url}', out: {{type: file, path: .}}}}\nstreams:\n  - id: s\n    source: {{connection: sys, type: sql, \
         sql: \"SELECT ssl, application_name AS app, current_setting('TimeZone') AS zone FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE pid = pg_backend_pid()\"}}\n    \
         target: {{connection: out, value: x.csv}}\n    load: {{mode: replace}}\n"
    );
    project.write("p.yaml", &yaml);
    project.dxt_with(&["run", "p.yaml", "--format", "json", "--quiet"], vars)
}

#[track_caller]
fn answers(url: &str, vars: &[(&str, &str)], ssl: bool) {
    let project = Project::new();
    ask(&project, url, vars).exits(0);
    assert_eq!(project.read("x.csv").lines().nth(1), Some(format!("{ssl},dxt,UTC").as_str()), "{url}");
}

/// Message and hint of the connection error that comes.
#[track_caller]
fn refused(url: &str, vars: &[(&str, &str)], says: &str, hint: &str) {
    let ran = ask(&Project::new(), url, vars).exits(1);
    let error = ran.stream("s")["error"].clone();
    assert!(error["message"].as_str().unwrap().contains(says), "{url}: {error}");
    assert!(error["hint"].as_str().unwrap().contains(hint), "{url}: {error}");
    assert!(!ran.out.contains(PASSWORD) && !ran.err.contains(PASSWORD), "{}{}", ran.out, ran.err);
}

#[test]
fn every_sslmode_connects_as_libpqs_does() {
    let (port, ca, socket) = (port(), env("DXT_TEST_PG_CA"), env("DXT_TEST_PG_SOCKET"));
    let url = |host: &str, rest: &str| format!("postgresql+psycopg2://dxt:{PASSWORD}@{host}:{port}/dxt?{rest}");
    for (mode, ssl) in [("disable", false), ("allow", false), ("prefer", true), ("require", true)] {
        answers(&url("127.0.0.1", &format!("sslmode={mode}")), &[], ssl);
    }
    for mode in ["require", "verify-ca", "verify-full"] {
        for host in ["localhost", "127.0.0.1"] {
            answers(&url(host, &format!("sslmode={mode}&sslrootcert={ca}&channel_binding=require")), &[], true);
        }
    }
    answers(&format!("postgres://dxt:{PASSWORD}@:{port}/dxt?host={socket}&sslmode=verify-full"), &[], false);
    // Only TLS is let in: allow goes back to it, disable cannot.
    for (mode, fine) in [("allow", true), ("prefer", true), ("require", true), ("disable", false)] {
        let url = url("127.0.0.1", &format!("sslmode={mode}")).replace("dxt:", "dxt_tls:");
        match fine {
            true => answers(&url, &[], true),
            false => refused(&url, &[], "no encryption", "sslmode=require"),
        }
    }
}

#[test]
fn a_wrong_certificate_or_none_is_an_error_of_its_own() {
    let (port, ca) = (port(), env("DXT_TEST_PG_CA"));
    let url = |rest: &str| format!("postgresql://dxt:{PASSWORD}@127.0.0.1:{port}/dxt?{rest}");
    let project = Project::new();
    let other = project.path("other.crt").to_string_lossy().into_owned();
    let key = project.path("other.key").to_string_lossy().into_owned();
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", &key, "-out", &other])
        .output()
        .unwrap();
    assert!(made.status.success());
    for mode in ["require", "verify-ca", "verify-full"] {
        refused(&url(&format!("sslmode={mode}&sslrootcert={other}")), &[], "not signed by an authority", "sslrootcert");
    }
    // The private authority is none of the system's.
    refused(&url("sslrootcert=system"), &[], "", "sslrootcert");
    refused(&url(&format!("sslmode=verify-ca&sslrootcert={key}")), &[], "holds no certificate", "CERTIFICATE");
    refused(&url("sslmode=verify-ca&sslrootcert=/nowhere.crt"), &[], "cannot be read", "path");

    let elsewhere = proxy("127.0.0.2", Fault::None);
    let by =
        |mode: &str| format!("postgresql://dxt:{PASSWORD}@127.0.0.2:{elsewhere}/dxt?sslmode={mode}&sslrootcert={ca}");
    refused(&by("verify-full"), &[], "not for 127.0.0.2", "verify-ca");
    answers(&by("verify-ca"), &[], true);

    let plain = proxy("127.0.0.1", Fault::NoTls);
    let by = |mode: &str| format!("postgresql://dxt:{PASSWORD}@127.0.0.1:{plain}/dxt?sslmode={mode}");
    refused(&by("require"), &[], "has no TLS", "ssl = on");
    answers(&by("prefer"), &[], false);
}

#[test]
fn what_the_url_leaves_out_comes_from_the_environment_and_the_password_file() {
    use std::os::unix::fs::PermissionsExt;
    let (port, ca) = (port(), env("DXT_TEST_PG_CA"));
    let common =
        [("PGHOST", "127.0.0.1"), ("PGPORT", &port), ("PGUSER", "dxt"), ("PGDATABASE", "dxt"), ("PGSERVICE", "x")];
    let with = |more: &[(&'static str, &'static str)]| [&common[..], more].concat();
    answers("postgresql://", &with(&[("PGPASSWORD", PASSWORD), ("PGSSLMODE", "disable")]), false);
    let mut vars = with(&[("PGPASSWORD", PASSWORD), ("PGSSLMODE", "verify-full"), ("PGCONNECT_TIMEOUT", "9")]);
    vars.push(("PGSSLROOTCERT", &ca));
    answers("postgresql://", &vars, true);

    let home = Project::new();
    let file = home.write(".pgpass", &format!("# ours\nother:*:*:*:wrong\n127.0.0.1:{port}:dxt:*:{PASSWORD}\n"));
    let folder = home.root().to_string_lossy().into_owned();
    let named = file.to_string_lossy().into_owned();
    let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    for place in [("HOME", folder.as_str()), ("PGPASSFILE", &named)] {
        let mut vars = common.to_vec();
        vars.push(place);
        answers("postgresql://", &vars, true);
    }
    mode(0o644);
    let mut vars = common.to_vec();
    vars.push(("HOME", &folder));
    refused("postgresql://", &vars, "password missing", "chmod 0600");
}

#[test]
fn of_several_hosts_the_first_that_will_do_is_taken() {
    let port = port();
    let url = |attrs: &str| {
        format!("postgresql://dxt:{PASSWORD}@127.0.0.1:1,127.0.0.1:{port}/dxt?target_session_attrs={attrs}")
    };
    for attrs in ["any", "read-write", "primary", "prefer-standby"] {
        answers(&url(attrs), &[], true);
    }
    for attrs in ["standby", "read-only"] {
        refused(&url(attrs), &[], &format!("where {attrs} is wanted"), "");
    }
}

/// A stream `s` of half a million rows from one connection to another; its error and how long it took.
fn copy(system: &System, from: &str, to: &str, sql: &str) -> (Ran, Duration) {
    let yaml = format!(
        "version: 1\nname: p\nretries: 0\nconnections: {{a: '{from}', b: '{to}'}}\nstreams:\n  - id: s\n    source: {{connection: a, type: sql, sql: \"{sql}\"}}\n    \
         target: {{connection: b, value: '{}'}}\n    load: {{mode: replace}}\n",
        system.sql_name("dst")
    );
    let begun = Instant::now();
    (system.project.run(&yaml), begun.elapsed())
}

const ROWS: &str = "SELECT i, repeat('x', 200) AS v FROM generate_series(1, 500000) i";

#[test]
fn a_server_that_falls_silent_or_breaks_off_is_an_error_within_the_timeout() {
    let system = System::new(Kind::Postgres);
    let direct = env("DXT_TEST_PG_URL");
    for (fault, mode, says) in [
        (Fault::StallDown(1 << 20), "disable", "does not arrive"),
        (Fault::StallDown(1 << 20), "require", "does not arrive"),
        (Fault::StallUp(1 << 20), "disable", "does not arrive"),
        (Fault::Drop(1 << 20), "disable", "broke"),
    ] {
        let through = proxy("127.0.0.1", fault);
        let through = format!("postgresql://dxt:{PASSWORD}@127.0.0.1:{through}/dxt?read_timeout=2&sslmode={mode}");
        let (from, to) = if matches!(fault, Fault::StallUp(_)) { (&direct, &through) } else { (&through, &direct) };
        let (ran, took) = copy(&system, from, to, ROWS);
        let error = ran.exits(1).stream("s")["error"].clone();
        assert_eq!(error["kind"], "connection", "{error}");
        assert!(error["message"].as_str().unwrap().contains(says) && error["hint"].is_string(), "{error}");
        assert!(took < Duration::from_secs(45), "{took:?}");
        assert_eq!(psql(&format!("SELECT to_regclass('{}')", system.sql_name("dst"))), "NULL");
    }
}

#[test]
fn a_statement_that_takes_longer_than_the_read_timeout_is_not_cut() {
    let system = System::new(Kind::Postgres);
    let url = format!("{}?read_timeout=1", env("DXT_TEST_PG_URL"));
    let (ran, took) = copy(&system, &url, &url, "SELECT 1 AS i, pg_sleep(5)::text AS v");
    assert_eq!(ran.exits(0).counts("s"), [1, 1, 0, 0]);
    assert!(took >= Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_server_that_does_not_answer_is_given_up_when_the_time_to_connect_is_over() {
    let deaf = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let deaf = deaf.local_addr().map(|at| (at.port(), deaf)).unwrap();
    // One says nothing at all; one stops once the login has begun.
    let silent = proxy("127.0.0.1", Fault::StallDown(0));
    for (port, mode) in [(deaf.0, "disable"), (deaf.0, "require"), (silent, "disable"), (silent, "require")] {
        let url = format!("postgresql://dxt:{PASSWORD}@127.0.0.1:{port}/dxt?connect_timeout=1&sslmode={mode}");
        let begun = Instant::now();
        refused(&url, &[], "within 1 s", "connect_timeout");
        assert!(begun.elapsed() < Duration::from_secs(10), "{mode}: {:?}", begun.elapsed());
    }
}

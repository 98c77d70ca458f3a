//! Buffers that survive: what is committed, what is loaded, and who may write at the same time.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::object_store::{boto, connection};
use crate::support::{Project, Ran, env, people, psql, ran, sqlite3};

/// From a file to SQLite.
fn yaml(rest: &str) -> String {
    format!(
        "version: 1\nname: p\nconnections:\n  files: {{type: file, path: .}}\n  db: sqlite:///t.db\nsource: {{connection: files}}\n\
         target: {{connection: db}}\nstreams:\n  - id: s\n    source: in.parquet\n    target: t\n{rest}"
    )
}

const REPLACE: &str = "    load: {mode: replace}\n";

/// A project with one row in `in.parquet` and an extract of it in the buffer.
fn extracted(rest: &str) -> Project {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
    project.write("p.yaml", &yaml(rest));
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    project
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The ids of the runs that have a folder, the oldest first.
fn runs(project: &Project) -> Vec<String> {
    names(&project.path(".dxt/buffer/p/s"))
}

fn folder(project: &Project) -> PathBuf {
    let runs = runs(project);
    assert_eq!(runs.len(), 1, "{runs:?}");
    project.path(".dxt/buffer/p/s").join(&runs[0])
}

fn json(ran: &Ran) -> serde_json::Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}{}", ran.out, ran.err))
}

fn listed(project: &Project, args: &[&str]) -> Vec<(String, String)> {
    let ran = project.dxt(&[&["buffer", "list", "--format", "json"], args].concat()).exits(0);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
    json(&ran).as_array().unwrap().iter().map(|one| (text(&one["run_id"]), text(&one["state"]))).collect()
}

fn load(project: &Project) -> Ran {
    project.dxt(&["load", "p.yaml", "--quiet"])
}

#[test]
fn a_manifest_says_what_the_buffer_holds() {
    let rest = "    fields: [id, name, {id: v, dtype: decimal, precision: 9, scale: 2}]\n    criteria: {where: id < 9}\n    \
                extract: {mode: incremental, watermark_field: id}\n    load: {mode: upsert, upsert_keys: [id]}\n";
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
    project.run(&yaml(rest)).exits(0);
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5)), (7, None, None), (3, Some("b"), None)]);
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let folder = folder(&project);
    assert_eq!(names(&folder), ["manifest.json", "part-00000.parquet"]);
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let part = fs::read(folder.join("part-00000.parquet")).unwrap();
    assert_eq!(manifest["format"], 2);
    assert_eq!(manifest["dxt"], env!("CARGO_PKG_VERSION"));
    assert!(manifest["created_at"].as_str().unwrap().contains('T'), "{manifest}");
    assert_eq!(manifest["source"], "files.in.parquet");
    assert_eq!((&manifest["rows"], &manifest["bytes"]), (&3.into(), &part.len().into()));
    assert_eq!((&manifest["watermark_from"], &manifest["watermark_to"]), (&"1".into(), &"7".into()));
    let expected = serde_json::json!([{
        "file": "part-00000.parquet", "rows": 3, "bytes": part.len(), "checksum": blake3::hash(&part).to_hex().as_str()
    }]);
    assert_eq!(manifest["parts"], expected);
    assert_eq!(manifest["schema"]["fields"][2]["name"], "v");
    let pieces = &manifest["fingerprint"]["pieces"];
    assert_eq!((&pieces["criteria"], &pieces["watermark field"]), (&"id < 9".into(), &"id".into()));
    assert_eq!(pieces["field v"], "column v, dtype decimal, precision 9, scale 2");
}

#[test]
fn a_damaged_part_is_an_error_that_names_the_file() {
    type Damage = fn(&Path);
    let flip: Damage = |part| {
        let mut bytes = fs::read(part).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(part, bytes).unwrap();
    };
    let cut: Damage = |part| File::options().write(true).open(part).unwrap().set_len(100).unwrap();
    let gone: Damage = |part| fs::remove_file(part).unwrap();
    let other: Damage = |part| assert!(fs::copy(part, part.with_file_name("part-00001.parquet")).unwrap() > 0);
    let link: Damage = |part| {
        let elsewhere = part.with_file_name("elsewhere");
        fs::rename(part, &elsewhere).unwrap();
        symlink(&elsewhere, part).unwrap();
    };
    for (damage, said) in [
        (flip, "part-00000.parquet is not what was written: its checksum differs"),
        (cut, "part-00000.parquet has 100 bytes, and had"),
        (gone, "part-00000.parquet is missing"),
        (other, "part-00001.parquet is in the buffer's folder"),
        (link, "part-00000.parquet has"),
    ] {
        let project = extracted(REPLACE);
        damage(&folder(&project).join("part-00000.parquet"));
        for ran in [load(&project), project.dxt(&["query", "SELECT * FROM buffer.p.s", "p.yaml"])] {
            let ran = ran.exits(1);
            assert!(ran.err.contains(said), "{}", ran.err);
            assert!(ran.err.contains("/.dxt/buffer/p/s/") || ran.err.contains(" .dxt/buffer/p/s/"), "{}", ran.err);
        }
        assert!(
            !project.path("t.db").exists()
                || sqlite3(&project.path("t.db"), "SELECT count(*) FROM sqlite_master") == "0"
        );
    }
}

#[test]
fn a_damaged_manifest_is_an_error_that_names_the_file() {
    let replaced = |text: &str, from: &str, to: &str| {
        assert!(text.contains(from), "{text}");
        text.replacen(from, to, 1)
    };
    type Damage<'a> = &'a dyn Fn(&str) -> String;
    let damages: [Damage<'_>; 6] = [
        &|text| text[..text.len() / 2].into(),
        &|_| "\u{0}\u{1}no manifest".into(),
        &|_| String::new(),
        &|text| replaced(text, "part-00000.parquet", "../x"),
        &|text| replaced(text, "\"rows\": 1", "\"rows\": 2"),
        &|text| replaced(text, "\"format\": 2", "\"format\": 1"),
    ];
    for damage in damages {
        let project = extracted(REPLACE);
        let path = folder(&project).join("manifest.json");
        fs::write(&path, damage(&fs::read_to_string(&path).unwrap())).unwrap();
        let ran = load(&project).exits(1);
        assert!(ran.err.contains("buffer error") && ran.err.contains("manifest.json"), "{}", ran.err);
        assert!(!project.path("t.db").exists(), "nothing is loaded");
        let run = runs(&project)[0].clone();
        assert_eq!(listed(&project, &["p.yaml"]), [(run.clone(), "damaged".into())]);
        // It is in nobody's way, and goes when it is asked to.
        project.dxt(&["run", "p.yaml", "--quiet"]).exits(0);
        assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t"), "1|a|5");
        project.dxt(&["buffer", "rm", "p.yaml", "--run-id", &run]).exits(0);
        assert!(runs(&project).is_empty());
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_an_error_and_no_hang() {
    for name in ["manifest.json", "part-00000.parquet"] {
        let project = extracted(REPLACE);
        let path = folder(&project).join(name);
        fs::remove_file(&path).unwrap();
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let ran = load(&project).exits(1);
        assert!(ran.err.contains(name) && ran.err.contains("buffer error"), "{}", ran.err);
    }
}

#[test]
fn a_changed_pipeline_does_not_load_an_old_buffer() {
    let before = format!("    criteria: {{where: v > 2}}\n{REPLACE}");
    for (now, said) in [
        (before.replace("v > 2", "v > 3"), "criteria was `v > 2` and is `v > 3`"),
        (REPLACE.to_string(), "criteria was `v > 2` and is gone"),
        (format!("    fields: [id]\n{before}"), "field id is new: `column id`"),
        (
            before.replace("replace", "append") + "    extract: {mode: incremental, watermark_field: id}\n",
            "extract mode was `full` and is `incremental`",
        ),
    ] {
        let project = extracted(&before);
        project.write("p.yaml", &yaml(&now));
        let ran = load(&project).exits(1);
        assert!(ran.err.contains(said) && ran.err.contains("take the change back"), "{}", ran.err);
        assert!(!project.path("t.db").exists());
        project.write("p.yaml", &yaml(&before));
        load(&project).exits(0);
        assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t"), "1|a|5");
    }
    // What the load alone looks at may change.
    let project = extracted(&before);
    project.write("p.yaml", &yaml(&before).replace("target: t\n", "target: other\n").replace("replace", "append"));
    load(&project).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM other"), "1|a|5");
}

#[test]
fn an_older_buffer_is_loaded_by_its_run_id() {
    let project = extracted(&format!("{REPLACE}buffer: {{persist: true}}\n"));
    people(&project.path("in.parquet"), &[(2, Some("new"), None)]);
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let [old, new] = <[String; 2]>::try_from(runs(&project)).unwrap();
    let state = |a: &str, b: &str| vec![(new.clone(), a.to_string()), (old.clone(), b.to_string())];
    assert_eq!(listed(&project, &["p.yaml"]), state("committed", "superseded"));
    load(&project).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT name FROM t"), "new");
    assert_eq!(listed(&project, &["p.yaml"]), state("loaded", "superseded"));
    let ran = load(&project).exits(1);
    assert!(
        ran.err.contains("the newest buffer of p.s has been loaded already") && ran.err.contains(&old),
        "{}",
        ran.err
    );
    project.dxt(&["load", "p.yaml", "--quiet", "--run-id", &old]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT name FROM t"), "a");
    assert_eq!(listed(&project, &["p.yaml"]), state("loaded", "loaded"));
    let ran = project.dxt(&["load", "p.yaml", "--run-id", "0190-none"]).exits(1);
    assert!(ran.err.contains("no committed buffer of p.s by run 0190-none"), "{}", ran.err);
    project.dxt(&["run", "p.yaml", "--run-id", &old]).exits(2);
}

#[test]
fn a_loaded_buffer_is_not_loaded_again() {
    let project = extracted("    load: {mode: append}\nbuffer: {persist: true}\n");
    let run = runs(&project)[0].clone();
    load(&project).exits(0);
    assert_eq!(names(&folder(&project)), ["loaded", "manifest.json", "part-00000.parquet"]);
    for args in [vec![], vec!["--run-id", &run]] {
        let ran = project.dxt(&[&["load", "p.yaml"], args.as_slice()].concat()).exits(1);
        assert!(ran.err.contains("has been loaded already") && ran.err.contains("dxt extract"), "{}", ran.err);
    }
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT count(*) FROM t"), "1");
}

#[test]
fn a_load_needs_no_source() {
    let table = format!("buffers_off_{}", std::process::id());
    psql(&format!("CREATE TABLE {table} AS SELECT 1 AS id, 'a' AS name"));
    // What stands between dxt and the server, and is switched off.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = env("DXT_TEST_PG_URL");
    let server = url.rsplit('@').next().unwrap().split('/').next().unwrap().to_string();
    let on = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let still = on.clone();
    let between = std::thread::spawn(move || {
        for client in listener.incoming() {
            if !still.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
            let (client, server) = (client.unwrap(), std::net::TcpStream::connect(&server).unwrap());
            let pairs = [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)];
            for (mut from, mut to) in pairs {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
        }
    });
    let project = Project::new();
    let credentials = url.trim_start_matches("postgresql://").split('@').next().unwrap();
    project.write(
        "p.yaml",
        &format!(
            "version: 1\nname: p\nconnections: {{far: 'postgresql://{credentials}@127.0.0.1:{port}/dxt?connect_timeout=2', db: 'sqlite:///t.db'}}\n\
             streams:\n  - id: s\n    source: {{connection: far, value: {table}}}\n    target: {{connection: db, value: t}}\n    load: {{mode: replace}}\n"
        ),
    );
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    on.store(false, std::sync::atomic::Ordering::SeqCst);
    drop(std::net::TcpStream::connect(("127.0.0.1", port)));
    between.join().unwrap();
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(1);
    load(&project).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t"), "1|a");
    psql(&format!("DROP TABLE {table}"));
}

#[test]
fn an_extract_that_fails_leaves_no_folder() {
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
    project.write("p.yaml", &yaml(&format!("    fields: [id, {{id: name, dtype: int64}}]\n{REPLACE}")));
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(1);
    assert_eq!(names(&project.path(".dxt/buffer/p")), [".s.lock", "s"]);
    assert!(runs(&project).is_empty());
}

#[test]
fn buffers_are_listed_shown_and_removed() {
    let project = extracted(&format!("{REPLACE}buffer: {{persist: true}}\n"));
    let made = |extra: &[&str]| {
        project.dxt(&[&["extract", "p.yaml", "--quiet"], extra].concat()).exits(0);
        runs(&project).pop().unwrap()
    };
    let first = runs(&project)[0].clone();
    load(&project).exits(0);
    let (second, third) = (made(&[]), made(&[]));
    let unfinished = project.path(".dxt/buffer/p/s/0190-unfinished");
    fs::create_dir(&unfinished).unwrap();
    fs::write(unfinished.join("part-00000.parquet"), "PAR1").unwrap();
    let all = [(&third, "committed"), (&second, "superseded"), (&first, "loaded")];
    let all: Vec<(String, String)> = all.iter().map(|(run, state)| (run.to_string(), state.to_string())).collect();
    let all = [vec![("0190-unfinished".to_string(), "uncommitted".to_string())], all].concat();
    for place in [vec!["p.yaml"], vec![], vec!["--location", ".dxt/buffer"]] {
        assert_eq!(listed(&project, &place), all, "{place:?}");
    }
    let table = project.dxt(&["buffer", "list", "p.yaml"]).exits(0).out;
    assert!(table.contains(&second) && table.contains("superseded") && table.contains("files.in.parquet"), "{table}");

    let shown = json(&project.dxt(&["buffer", "show", "p.yaml", "--run-id", &first, "--format", "json"]).exits(0));
    assert_eq!((&shown["state"], &shown["manifest"]["rows"]), (&"loaded".into(), &1.into()));
    let shown = project.dxt(&["buffer", "show", "p.yaml"]).exits(0).out;
    assert!(shown.contains(&third) && shown.contains("BLAKE3") && shown.contains("extract mode"), "{shown}");
    let ran = project.dxt(&["buffer", "show", "p.yaml", "--run-id", "none"]).exits(1);
    assert!(ran.err.contains("no such buffer"), "{}", ran.err);

    project.dxt(&["buffer", "rm", "p.yaml"]).exits(2);
    let said = project.dxt(&["buffer", "rm", "p.yaml", "--loaded"]).exits(0).out;
    assert!(said.contains(&format!("removed p.s of run {first} (loaded")), "{said}");
    let said = json(&project.dxt(&["buffer", "rm", "p.yaml", "--superseded", "--format", "json"]).exits(0));
    assert_eq!((said[0]["run_id"].as_str(), said.as_array().unwrap().len()), (Some(second.as_str()), 1));
    assert_eq!(runs(&project).len(), 2);
    project.dxt(&["buffer", "rm", "p.yaml", "--stream", "other", "--all"]).exits(0);
    assert_eq!(runs(&project).len(), 2);
    project.dxt(&["buffer", "rm", "p.yaml", "--all"]).exits(0);
    assert!(runs(&project).is_empty());
    assert_eq!(project.dxt(&["buffer", "rm", "p.yaml", "--all"]).exits(0).out, "nothing to remove\n");
}

fn aged(path: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3_600);
    File::open(path).unwrap().set_modified(then).unwrap();
}

#[test]
fn what_has_no_manifest_is_swept_after_the_grace_time() {
    let project = extracted(REPLACE);
    let committed = runs(&project)[0].clone();
    let unfinished = |name: &str, hours: u64| {
        let folder = project.path(".dxt/buffer/p/s").join(name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("part-00000.parquet"), "PAR1").unwrap();
        aged(&folder.join("part-00000.parquet"), hours);
        aged(&folder, hours);
    };
    unfinished("0190-old", 25);
    unfinished("0190-young", 23);
    // Of another stream: that one's extract sees to it.
    fs::create_dir_all(project.path(".dxt/buffer/p/other/0190-old")).unwrap();
    aged(&project.path(".dxt/buffer/p/other/0190-old"), 25);
    aged(&folder_of(&project, &committed), 1000);
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let mut left = runs(&project);
    left.pop();
    let mut expected = vec!["0190-young".to_string(), committed.clone()];
    expected.sort();
    assert_eq!(left, expected);
    assert!(project.path(".dxt/buffer/p/other/0190-old").exists());
    project.write("p.yaml", &yaml(&format!("{REPLACE}buffer: {{grace: 1h}}\n")));
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    assert!(!runs(&project).contains(&"0190-young".to_string()));
    let wrong = project.write("w.yaml", &yaml(&format!("{REPLACE}buffer: {{grace: 5, lock: never}}\n")));
    let ran = project.dxt(&["validate", wrong.to_str().unwrap()]).exits(2);
    assert!(ran.err.contains("grace must be a duration") && ran.err.contains("unknown lock"), "{}", ran.err);
}

fn folder_of(project: &Project, run: &str) -> PathBuf {
    project.path(".dxt/buffer/p/s").join(run)
}

/// A pipeline whose extract takes `$SLEEP` seconds.
fn slow() -> Project {
    let project = Project::new();
    project.write(
        "p.yaml",
        &format!(
            "version: 1\nname: p\nconnections: {{pg: '{}', db: 'sqlite:///t.db'}}\nstreams:\n  - id: s\n    \
             source: {{connection: pg, type: sql, sql: \"SELECT 1 AS id, '${{WHO}}' AS who FROM pg_sleep(${{SLEEP}})\"}}\n    \
             target: {{connection: db, value: t}}\n    load: {{mode: append}}\n",
            env("DXT_TEST_PG_URL")
        ),
    );
    project
}

fn spawn(project: &Project, args: &[&str], vars: &[(&str, &str)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dxt"));
    command.args(args).current_dir(project.root()).envs(vars.iter().copied());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a run holds the lock and has begun to write.
fn begun(project: &Project) {
    let until = Instant::now() + Duration::from_secs(30);
    while fs::metadata(project.path(".dxt/buffer/p/.s.lock")).map_or(0, |m| m.len()) == 0 || runs(project).is_empty() {
        assert!(Instant::now() < until, "the run does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_second_run_fails_at_once_where_it_is_asked_to() {
    let project = slow();
    let mut first = spawn(&project, &["run", "p.yaml", "--quiet"], &[("SLEEP", "60"), ("WHO", "first")]);
    begun(&project);
    let (pid, live) = (first.id(), runs(&project));
    let asked = Instant::now();
    let vars = [("SLEEP", "0"), ("WHO", "second")];
    for command in ["run", "extract", "load"] {
        let ran = project.dxt_with(&[command, "p.yaml", "--lock", "fail"], &vars).exits(1);
        assert!(ran.err.contains(&format!("p.s is locked by run {} (pid {pid} on ", live[0])), "{}", ran.err);
        assert!(ran.err.contains("since 2") && ran.err.contains("--lock wait"), "{}", ran.err);
    }
    project.write("f.yaml", &(project.read("p.yaml") + "buffer: {lock: fail, grace: 0s}\n"));
    project.dxt_with(&["run", "f.yaml", "--quiet"], &vars).exits(1);
    // Nothing of a live run is removed.
    let ran = project.dxt_with(&["buffer", "rm", "p.yaml", "--all"], &vars).exits(1);
    assert!(ran.err.contains("is locked by"), "{}", ran.err);
    assert_eq!(runs(&project), live);
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    assert!(!project.path("t.db").exists());
    first.kill().unwrap();
    first.wait().unwrap();
}

#[test]
fn a_killed_run_lets_go_of_its_lock() {
    let project = slow();
    let mut first = spawn(&project, &["run", "p.yaml", "--quiet"], &[("SLEEP", "60"), ("WHO", "first")]);
    begun(&project);
    first.kill().unwrap();
    first.wait().unwrap();
    let killed = runs(&project);
    project.dxt_with(&["run", "p.yaml", "--quiet", "--lock", "fail"], &[("SLEEP", "0"), ("WHO", "second")]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT who FROM t"), "second");
    // What the killed run has left is young, stays for now, and is no buffer.
    assert_eq!(runs(&project), killed);
    let vars = [("SLEEP", "0"), ("WHO", "third")];
    project.dxt_with(&["load", "p.yaml", "--quiet"], &vars).exits(1);
    project.write("p.yaml", &(project.read("p.yaml") + "buffer: {grace: 0s}\n"));
    project.dxt_with(&["run", "p.yaml", "--quiet"], &vars).exits(0);
    assert!(runs(&project).is_empty());
}

#[test]
fn a_second_run_waits_for_the_first() {
    let project = slow();
    let first = spawn(&project, &["run", "p.yaml", "--quiet"], &[("SLEEP", "3"), ("WHO", "first")]);
    begun(&project);
    let second = project.dxt_with(&["run", "p.yaml"], &[("SLEEP", "0"), ("WHO", "second")]).exits(0);
    ran(first.wait_with_output().unwrap()).exits(0);
    assert_eq!(second.err.matches("waiting").count(), 1, "{}", second.err);
    assert!(second.err.contains("p.s is locked by run "), "{}", second.err);
    assert_eq!(
        sqlite3(&project.path("t.db"), "SELECT group_concat(who) FROM (SELECT who FROM t ORDER BY rowid)"),
        "first,second"
    );
    assert!(runs(&project).is_empty());
}

#[test]
fn symbolic_links_in_buffer_folders_are_not_followed() {
    // The pipeline's folder and the stream's.
    for link in [".dxt/buffer/p", ".dxt/buffer/p/s"] {
        let project = Project::new();
        people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
        fs::create_dir_all(project.path("outside")).unwrap();
        fs::create_dir_all(project.path(link).parent().unwrap()).unwrap();
        symlink(project.path("outside"), project.path(link)).unwrap();
        let ran = project.run(&yaml(REPLACE)).exits(1);
        assert!((ran.out.clone() + &ran.err).contains("is a symbolic link"), "{}{}", ran.out, ran.err);
        assert!(names(&project.path("outside")).is_empty(), "{link}");
    }
    // A lock, the file beside a marker, a run's folder, and a link within one.
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
    project.write("precious", "as it was");
    project.write("dir/precious", "as it was");
    fs::create_dir_all(project.path(".dxt/buffer/p")).unwrap();
    symlink(project.path("precious"), project.path(".dxt/buffer/p/.s.lock")).unwrap();
    let ran = project.run(&yaml(REPLACE)).exits(1);
    assert!(ran.err.contains(".s.lock is a symbolic link"), "{}", ran.err);
    fs::remove_file(project.path(".dxt/buffer/p/.s.lock")).unwrap();
    project.write("p.yaml", &yaml(&format!("{REPLACE}buffer: {{persist: true, grace: 0s}}\n")));
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let folder = folder(&project);
    symlink(project.path("precious"), folder.join("loaded.tmp")).unwrap();
    load(&project).exits(0);
    symlink(project.path("dir"), folder.join("dir")).unwrap();
    symlink(project.path("dir"), project.path(".dxt/buffer/p/s/0190-link")).unwrap();
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    project.dxt(&["buffer", "rm", "p.yaml", "--all"]).exits(0);
    assert_eq!(runs(&project), ["0190-link"]);
    assert_eq!((project.read("precious"), project.read("dir/precious")), ("as it was".into(), "as it was".into()));
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let long = "x".repeat(201);
    for name in ["../x", "a/b", "/etc", ".hidden", "..", "a\\0b", "a..b", long.as_str()] {
        for line in ["name: p", "- id: s"] {
            let project = Project::new();
            people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
            let key = line.trim_end_matches(['p', 's']);
            let ran = project.run(&yaml(REPLACE).replacen(line, &format!("{key}\"{name}\""), 1)).exits(2);
            assert!(ran.err.contains("folder") || ran.err.contains("NUL"), "{name}: {}", ran.err);
            assert_eq!(names(project.root()), ["in.parquet", "p.yaml"]);
        }
    }
    let project = extracted(REPLACE);
    let ran = project.dxt(&["query", "SELECT * FROM buffer.\"../p\".s", "p.yaml"]).exits(1);
    assert!(ran.err.contains("cannot be the name of a buffer's folder"), "{}", ran.err);
}

#[test]
fn a_buffer_in_code_takes_no_name_that_leads_elsewhere() {
    use dxt::{Buffer, BufferId, DxtSchema, Header, ParquetBuffer};
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("victim")).unwrap();
    let buffer = ParquetBuffer::new(dir.path().join("buffer"), dxt::model::Compression::Zstd);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for id in
        [BufferId::new("..", "victim", "r"), BufferId::new("p", "..", "r"), BufferId::new("p", "s", "../../victim")]
    {
        let header = Header::new(DxtSchema::default(), "x");
        assert!(runtime.block_on(buffer.begin(&id, &header, &Default::default())).is_err(), "{id:?}");
        assert!(runtime.block_on(buffer.cleanup(&id)).is_err(), "{id:?}");
        assert!(runtime.block_on(buffer.mark_loaded(&id)).is_err(), "{id:?}");
    }
    assert_eq!(names(dir.path()), ["victim"]);
}

#[test]
fn the_buffer_that_is_committed_last_is_the_newest_whatever_its_run_is_called() {
    use dxt::{Buffer, BufferId, DxtField, DxtSchema, DxtType, Header, MemoryBuffer, ParquetBuffer};
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let parquet = ParquetBuffer::new(dir.path(), dxt::model::Compression::Zstd);
    let buffers: [&dyn Buffer; 2] = [&parquet, &MemoryBuffer::default()];
    for buffer in buffers {
        runtime.block_on(async {
            for run in ["b", "c", "a"] {
                let header = Header::new(DxtSchema::new(vec![DxtField::new("id", DxtType::Int64)]), "x");
                let id = BufferId::new("p", "s", run);
                let mut load = buffer.begin(&id, &header, &Default::default()).await.unwrap();
                load.seal().await.unwrap();
                load.commit().await.unwrap();
            }
            let committed = buffer.committed("p", "s").await.unwrap();
            let order: Vec<&str> = committed.iter().map(|c| c.id.run_id.as_str()).collect();
            assert_eq!(order, ["a", "c", "b"], "{buffer:?}");
        });
    }
}

/// The same pipeline with its buffer in a bucket of its own.
fn on_s3(bucket: &str, rest: &str) -> String {
    boto("s3.create_bucket(Bucket=b)", bucket);
    yaml(&format!("{rest}buffer: {{connection: lake, location: buffers, persist: true, grace: 0s}}\n"))
        .replace("connections:\n", &format!("connections:\n  lake: {}\n", connection(bucket)))
}

fn keys(bucket: &str) -> Vec<String> {
    let keys =
        boto("print(*sorted(o['Key'] for o in s3.list_objects_v2(Bucket=b).get('Contents', [])), sep='\\n')", bucket);
    keys.lines().map(str::to_string).collect()
}

#[test]
fn a_buffer_on_s3_goes_through_the_same_protocol() {
    let bucket = format!("dxt-buffers-{}", std::process::id());
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5)), (2, None, None)]);
    let yaml = on_s3(&bucket, REPLACE);
    // An extract that fails leaves nothing, not even an upload or the lock.
    project.write("p.yaml", &yaml.replace("target: t\n", "target: t\n    fields: [{id: name, dtype: int64}]\n"));
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(1);
    assert!(keys(&bucket).is_empty());
    project.write("p.yaml", &yaml);
    // What was never committed is swept.
    boto("s3.put_object(Bucket=b, Key='lake/buffers/p/s/0190-old/part-00000.parquet', Body=b'PAR1')", &bucket);
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let [(run, state)] = <[(String, String); 1]>::try_from(listed(&project, &["p.yaml"])).unwrap();
    assert_eq!(state, "committed");
    let base = format!("lake/buffers/p/s/{run}/");
    assert_eq!(keys(&bucket), ["manifest.json", "part-00000.parquet"].map(|name| format!("{base}{name}")));
    fs::remove_file(project.path("in.parquet")).unwrap();
    let ran = project.dxt(&["query", "SELECT id FROM buffer.p.s ORDER BY id", "p.yaml", "--format", "csv"]).exits(0);
    assert_eq!(ran.out, "id\n1\n2\n");

    // One byte is another: the checksum tells.
    let flip = |at: &str| {
        let program = "k=[o['Key'] for o in s3.list_objects_v2(Bucket=b)['Contents'] if o['Key'].endswith('.parquet')][0]\n\
                       d=bytearray(s3.get_object(Bucket=b,Key=k)['Body'].read())\nd[len(d)//2]^=1\ns3.put_object(Bucket=b,Key=k,Body=bytes(d))";
        boto(program, at)
    };
    flip(&bucket);
    let ran = load(&project).exits(1);
    assert!(
        ran.err.contains(&format!("s3://{bucket}/{base}part-00000.parquet is not what was written")),
        "{}",
        ran.err
    );
    flip(&bucket);
    load(&project).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t ORDER BY id"), "1|a|5\n2|NULL|NULL");
    assert_eq!(keys(&bucket), ["loaded", "manifest.json", "part-00000.parquet"].map(|name| format!("{base}{name}")));
    let ran = load(&project).exits(1);
    assert!(ran.err.contains("has been loaded already"), "{}", ran.err);
    project.dxt(&["buffer", "rm", "p.yaml", "--loaded"]).exits(0);
    assert!(keys(&bucket).is_empty());

    // By its URL, and what the environment says of the store.
    people(&project.path("in.parquet"), &[(3, None, None)]);
    project.write("p.yaml", &self::yaml(&format!("{REPLACE}buffer: {{location: 's3://{bucket}/by/url'}}\n")));
    let endpoint = env("DXT_TEST_S3_ENDPOINT");
    let vars = [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_ALLOW_HTTP", "true")];
    project.dxt_with(&["extract", "p.yaml", "--quiet"], &vars).exits(0);
    assert!(keys(&bucket).iter().all(|key| key.starts_with("by/url/p/s/")) && keys(&bucket).len() == 2);
    project.dxt_with(&["load", "p.yaml", "--quiet"], &vars).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT id FROM t"), "3");
    assert!(keys(&bucket).is_empty(), "cleaned up");
}

#[test]
fn a_stale_lock_on_s3_is_taken_over() {
    let bucket = format!("dxt-locks-{}", std::process::id());
    let project = Project::new();
    people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
    project.write("p.yaml", &on_s3(&bucket, REPLACE));
    let hold = |minutes: u32| {
        let program = format!(
            "import json,datetime\nat=(datetime.datetime.now(datetime.timezone.utc)-datetime.timedelta(minutes={minutes})).isoformat()\n\
             body=json.dumps({{'run_id':'other','pid':7,'host':'far','since':'2026-01-02T03:04:05Z','renewed':at}})\n\
             s3.put_object(Bucket=b,Key='lake/buffers/p/.s.lock',Body=body.encode())"
        );
        boto(&program, &bucket)
    };
    hold(1);
    let ran = project.dxt(&["run", "p.yaml", "--lock", "fail"]).exits(1);
    assert!(ran.err.contains("p.s is locked by run other (pid 7 on far, since 2026-01-02T03:04:05Z)"), "{}", ran.err);
    assert_eq!(keys(&bucket), ["lake/buffers/p/.s.lock"]);
    hold(10);
    project.dxt(&["run", "p.yaml", "--lock", "fail", "--quiet"]).exits(0);
    assert_eq!(sqlite3(&project.path("t.db"), "SELECT * FROM t"), "1|a|5");
    assert!(!keys(&bucket).contains(&"lake/buffers/p/.s.lock".to_string()), "let go of at the end");
}

#[test]
fn a_run_on_s3_holds_its_lock_against_a_second() {
    let bucket = format!("dxt-held-{}", std::process::id());
    boto("s3.create_bucket(Bucket=b)", &bucket);
    let project = slow();
    let slow =
        project.read("p.yaml").replace("connections: {", &format!("connections: {{lake: {}, ", connection(&bucket)));
    project.write("p.yaml", &(slow + "buffer: {connection: lake, location: buffers}\n"));
    let mut first = spawn(&project, &["run", "p.yaml", "--quiet"], &[("SLEEP", "5"), ("WHO", "first")]);
    let until = Instant::now() + Duration::from_secs(30);
    while keys(&bucket).is_empty() {
        assert!(Instant::now() < until, "the run does not begin");
    }
    let vars = [("SLEEP", "0"), ("WHO", "second")];
    let ran = project.dxt_with(&["run", "p.yaml", "--lock", "fail"], &vars).exits(1);
    assert!(ran.err.contains(&format!("(pid {} on ", first.id())), "{}", ran.err);
    project.dxt_with(&["run", "p.yaml", "--quiet"], &vars).exits(0);
    assert!(first.wait().unwrap().success());
    assert_eq!(
        sqlite3(&project.path("t.db"), "SELECT group_concat(who) FROM (SELECT who FROM t ORDER BY rowid)"),
        "first,second"
    );
    assert!(keys(&bucket).is_empty());
}

#[test]
fn a_buffers_place_is_checked_before_anything_is_touched() {
    for (buffer, said) in [
        ("{connection: nowhere}", "unknown connection nowhere"),
        ("{location: 'https://example.org/x'}", "a web server cannot hold a buffer"),
        ("{location: 'nonsense://x'}", "is not a file store's URL"),
        ("{connection: db}", "the buffer's connection db"),
    ] {
        let project = Project::new();
        people(&project.path("in.parquet"), &[(1, Some("a"), Some(5))]);
        let ran = project.run(&yaml(&format!("{REPLACE}buffer: {buffer}\n"))).exits(2);
        assert!(ran.err.contains(said) && ran.err.contains("p.yaml:"), "{}", ran.err);
        assert_eq!(names(project.root()), ["in.parquet", "p.yaml"]);
    }
}

//! A disk that is full: the error names the path, nothing half done stays, and there is room the next time.

use std::path::Path;
use std::process::Command;

use crate::support::{Project, Ran, ran, sqlite3};

/// Runs a script in a mount namespace of its own, in which `small` is a disk of so many megabytes. It ends with the script:
/// what is to be seen of it, the script copies away. Needs root or user namespaces, and fails without.
fn with_disk(project: &Project, megabytes: u32, script: &str) -> Ran {
    with_disk_of(project, &format!("size={megabytes}m"), script)
}

/// The same with a disk by the options of tmpfs.
fn with_disk_of(project: &Project, options: &str, script: &str) -> Ran {
    std::fs::create_dir_all(project.path("small")).unwrap();
    let root = is_root();
    let script = format!(
        "mount -t tmpfs -o {options} tmpfs \"$PWD/small\"\nroom() {{ mount -o remount,size=900m,nr_inodes=1000 \"$PWD/small\"; }}\n{script}"
    );
    let mut command = Command::new("unshare");
    command.args(if root { &["-m"][..] } else { &["-Urm"] }).args(["bash", "-euo", "pipefail", "-c", &script]);
    let output = command.current_dir(project.root()).env("DXT", env!("CARGO_BIN_EXE_dxt")).output().expect("unshare");
    ran(output)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.starts_with(b"0\n")
}

/// Text that does not compress, 100 bytes a row.
fn big(path: &Path, rows: u32) {
    let mut state = 88_172_645_463_325_252_u64;
    let mut text = "id,name\n".to_string();
    for i in 0..rows {
        text += &format!("{i},");
        for _ in 0..6 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text += &format!("{state:016x}");
        }
        text += "\n";
    }
    std::fs::write(path, text).unwrap();
}

fn yaml(head: &str, target: &str) -> String {
    format!(
        "version: 1\nname: p\n{head}connections: {{files: {{type: file, path: .}}, lite: 'sqlite:///small/t.db'}}\nstreams:\n  \
         - {{id: s, source: {{connection: files, value: in.csv}}, target: {target}, load: {{mode: replace}}}}\n"
    )
}

#[test]
fn a_full_disk_while_extracting_leaves_no_buffer() {
    let project = Project::new();
    big(&project.path("in.csv"), 200_000);
    project.write("p.yaml", &yaml("buffer: {location: ./small/buffer}\n", "{connection: files, value: out.parquet}"));
    let ran = with_disk(
        &project,
        6,
        "code=0; $DXT run p.yaml --quiet 2>err || code=$?\necho $code\nfind small -type f ! -name '.*.lock'\ntest ! -e out.parquet\nroom\n$DXT run p.yaml --quiet",
    );
    let ran = ran.exits(0);
    assert_eq!(ran.out, "1\n");
    let err = project.read("err");
    assert!(err.contains("small/buffer/p/s/") && err.contains("No space left"), "{err}");
    let count = project.dxt(&["query", "SELECT count(*) AS n FROM 'out.parquet'", "--format", "csv"]).exits(0);
    assert_eq!(count.out, "n\n200000\n");
}

#[test]
fn a_disk_that_is_full_when_a_buffer_commits_leaves_none() {
    let project = Project::new();
    big(&project.path("in.csv"), 1000);
    project.write("p.yaml", &yaml("buffer: {location: ./small/buffer}\n", "{connection: files, value: out.parquet}"));
    // As many inodes as the disk itself, the folders, the lock and the part take: there is none for the manifest.
    let ran = with_disk_of(
        &project,
        "size=50m,nr_inodes=7",
        "code=0; $DXT run p.yaml --quiet 2>err || code=$?\necho $code\nfind small -type f ! -name '.*.lock'\ntest ! -e out.parquet\nroom\n$DXT run p.yaml --quiet",
    );
    assert_eq!(ran.exits(0).out, "1\n", "{}", project.read("err"));
    let err = project.read("err");
    assert!(err.contains("manifest") && err.contains("No space left"), "{err}");
    let count = project.dxt(&["query", "SELECT count(*) AS n FROM 'out.parquet'", "--format", "csv"]).exits(0);
    assert_eq!(count.out, "n\n1000\n");
}

#[test]
fn a_full_disk_while_loading_leaves_the_file_as_it_was_and_the_buffer_for_later() {
    let project = Project::new();
    big(&project.path("in.csv"), 200_000);
    project.write("p.yaml", &yaml("", "{connection: files, value: small/out.parquet}"));
    let ran = with_disk(
        &project,
        6,
        "echo old >small/out.parquet\ncode=0; $DXT run p.yaml --quiet 2>err || code=$?\necho $code\nfind small -type f\ncat small/out.parquet\n\
         mv in.csv away.csv; room\n$DXT load p.yaml --quiet\n$DXT query \"SELECT count(*) AS n FROM 'small/out.parquet'\" --format csv",
    );
    assert_eq!(ran.exits(0).out, "1\nsmall/out.parquet\nold\nn\n200000\n");
    let err = project.read("err");
    assert!(err.contains("small/.out.parquet") && err.contains("No space left") && err.contains("dxt load"), "{err}");
}

#[test]
fn a_full_disk_under_a_sqlite_file_rolls_back() {
    let project = Project::new();
    big(&project.path("in.csv"), 200_000);
    project.write("p.yaml", &yaml("", "{connection: lite, value: t}"));
    let ran = with_disk(
        &project,
        6,
        "sqlite3 small/t.db \"CREATE TABLE t (id INTEGER, name TEXT); INSERT INTO t VALUES (1, 'old')\"\n\
         code=0; $DXT run p.yaml --quiet 2>err || code=$?\necho $code\nfind small -type f\nsqlite3 small/t.db 'SELECT * FROM t'\n\
         room\n$DXT load p.yaml --quiet\ncp small/t.db after.db",
    );
    assert_eq!(ran.exits(0).out, "1\nsmall/t.db\n1|old\n");
    let err = project.read("err");
    assert!(err.contains("small/t.db") && err.contains("full") && err.contains("make room"), "{err}");
    assert_eq!(sqlite3(&project.path("after.db"), "SELECT count(*) FROM t"), "200000");
}

#[test]
fn a_full_disk_while_spilling_names_the_folder() {
    let project = Project::new();
    big(&project.path("in.csv"), 900_000);
    let sql = "SELECT id, name FROM files.\\\"in.csv\\\" ORDER BY name";
    let yaml = yaml("", "{connection: files, value: out.parquet}")
        .replace("{connection: files, value: in.csv}", &format!("{{type: query, sql: \"{sql}\"}}"));
    project.write("p.yaml", &yaml);
    let ran = with_disk(
        &project,
        20,
        "run() { $DXT run p.yaml --quiet --memory-limit 256MB --temp-dir small/spill; }\ncode=0; run 2>err || code=$?\necho $code\n\
         find small .dxt -type f ! -name '.*.lock'\ntest ! -e out.parquet\nroom\nrun",
    );
    assert_eq!(ran.exits(0).out, "1\n");
    let err = project.read("err");
    assert!(err.contains("small/spill") && err.contains("is full") && err.contains("--temp-dir"), "{err}");
    let count = project.dxt(&["query", "SELECT count(*) AS n FROM 'out.parquet'", "--format", "csv"]).exits(0);
    assert_eq!(count.out, "n\n900000\n");
}

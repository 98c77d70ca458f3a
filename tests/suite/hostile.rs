//! Input that is made to harm, or damaged anywhere: a clear error, no panic, bounded memory, and no write outside.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use datafusion::arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::Int32Type;
use dxt::config;
use dxt::connector::Registry;
use dxt::{Pipeline, RunOptions, Status, StreamResult};
use proptest::prelude::*;

use crate::support::{Kind, Project, Ran, System, psql, python, ran, sqlite3, write_parquet};

/// All files below a folder, with their contents; links are not followed.
fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(root).unwrap().flatten() {
        match entry.file_type().unwrap() {
            t if t.is_dir() => found.extend(tree(&entry.path())),
            t if t.is_file() => drop(found.insert(entry.path(), fs::read(entry.path()).unwrap())),
            _ => drop(found.insert(entry.path(), Vec::new())),
        }
    }
    found
}

/// What went wrong is said in dxt's own words, and no task has panicked.
#[track_caller]
fn no_panic(what: &str, text: &str) {
    for sign in ["a bug in dxt", "panicked", "RUST_BACKTRACE"] {
        assert!(!text.contains(sign), "{what}: {text}");
    }
}

// ---- pipelines -----------------------------------------------------------------------------------------------------

fn laughs(levels: usize) -> String {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_string();
    for level in 1..=levels {
        let refs = vec![format!("*a{}", level - 1); 10].join(", ");
        text += &format!("a{level}: &a{level} [{refs}]\n");
    }
    text
}

fn bombs() -> Vec<(&'static str, String)> {
    let huge = "x".repeat(32 << 20);
    let merges: String = (1..2000).map(|i| format!("m{i}: &m{i} {{<<: *m{}, k{i}: 1}}\n", i - 1)).collect();
    vec![
        ("aliases of aliases", laughs(20)),
        ("aliases as keys of maps", laughs(8).replace('[', "{k: [").replace(']', "]}")),
        ("one long text, many times", format!("a: &a {huge}\nb: [{}]\n", vec!["*a"; 100_000].join(", "))),
        ("lists in lists", "[".repeat(200_000)),
        ("lists in lists, closed", format!("a: {}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("maps in maps", "{a: ".repeat(100_000)),
        ("blocks in blocks", (0..3000).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        ("dashes", "- ".repeat(100_000)),
        ("a huge scalar", format!("version: 1\nname: {huge}\n")),
        ("a huge key", format!("version: 1\n{huge}: 1\n")),
        ("merges of merges", format!("m0: &m0 {{k0: 1}}\n{merges}")),
        ("anchors without use", (0..100_000).map(|i| format!("- &a{i} x\n")).collect()),
        ("variables in variables", format!("version: 1\nname: {}x{}\n", "${A:-".repeat(50_000), "}".repeat(50_000))),
        ("a quote that is never closed", format!("version: 1\nname: \"{huge}")),
        ("tags", "!".repeat(1 << 20)),
        ("NULs", "\0".repeat(1 << 20)),
    ]
}

#[test]
fn a_yaml_bomb_is_an_error_at_once_and_in_little_memory() {
    let project = Project::new();
    for (name, text) in bombs() {
        project.write("p.yaml", &text);
        let begun = Instant::now();
        // The address space holds the reservations of the allocator, too.
        let ran = limited(&project, 3 << 20, &["validate", "p.yaml"]);
        let took = begun.elapsed();
        assert_eq!(ran.code, 2, "{name}: {}", &ran.err[..ran.err.len().min(2000)]);
        assert!(took < Duration::from_secs(30), "{name}: {took:?}");
        no_panic(name, &ran.err);
        // Nor is the terminal flooded.
        assert!(ran.err.len() < 64 << 10, "{name}: {} bytes of errors", ran.err.len());
    }
}

/// Runs dxt in an address space of so many kB.
fn limited(project: &Project, kilobytes: u64, args: &[&str]) -> Ran {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit -v {kilobytes}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_dxt")]);
    ran(command.args(args).current_dir(project.root()).output().unwrap())
}

#[test]
fn names_that_are_paths_write_nothing_outside() {
    let long = "x".repeat(5000);
    for name in
        ["../evil", "../../evil", "/tmp/dxt-evil", "a/../../../evil", "..", ".", "", "a\\0b", "a\\nb", "a/b", &long]
    {
        for (pipeline, stream) in [(name, "s"), ("p", name)] {
            let project = Project::new();
            write_parquet(&project.path("in/deep/in.parquet"), vec![("id", Arc::new(Int64Array::from(vec![1])))]);
            let yaml = format!(
                "version: 1\nname: \"{pipeline}\"\nconnections: {{f: {{type: file, path: .}}, db: 'sqlite:///t.db'}}\nstreams:\n  \
                 - {{id: \"{stream}\", source: {{connection: f, value: in.parquet}}, target: {{connection: db, value: t}}}}\n"
            );
            project.write("in/deep/p.yaml", &yaml);
            for step in ["extract", "run"] {
                let ran = project.dxt(&[step, "in/deep/p.yaml"]);
                no_panic(name, &ran.err);
                assert!([0, 1, 2].contains(&ran.code), "{name}: {}", ran.code);
                for path in tree(project.root()).keys() {
                    let inside =
                        path.strip_prefix(project.path("in/deep")).unwrap_or_else(|_| panic!("{name}: {path:?}"));
                    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
                    assert!([".dxt", "in.parquet", "p.yaml", "t.db"].contains(&first.as_str()), "{name}: {inside:?}");
                    if first == ".dxt" {
                        assert!(inside.starts_with(".dxt/buffer"), "{name}: {inside:?}");
                    }
                }
            }
            assert!(!Path::new("/tmp/dxt-evil").exists());
        }
    }
}

// ---- names in the data -----------------------------------------------------------------------------------------------

const NAMES: [&str; 7] = ["a\"b", "a'b", "x\"; DROP TABLE t; --", "a{b}", "a b\tc", "日本", "$1"];

#[test]
fn names_with_quotes_come_through_every_system_as_they_are() {
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Parquet, Kind::Csv, Kind::Jsonl, Kind::Ipc] {
        let system = System::new(kind);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let columns = NAMES.iter().map(|name| (*name, ids.clone())).collect();
        write_parquet(&system.project.path("in.parquet"), columns);
        // The table's name as well, where names are not paths.
        let table = if system.is_file() { "t" } else { "t\"; DROP TABLE t" };
        let modes = match system.can_upsert() {
            true => ["{mode: replace}", "{mode: upsert, upsert_keys: ['a\"b', \"a'b\"]}", "{mode: replace}"],
            false => ["{mode: replace}"; 3],
        };
        for mode in modes {
            system.project.run(&system.load("in.parquet", table, &format!("    load: {mode}\n"))).exits(0);
            assert_eq!(system.rows(table), ["1|1|1|1|1|1|1", "2|2|2|2|2|2|2"], "{kind:?} {mode}");
        }
    }
}

#[test]
fn a_nul_in_a_name_or_a_text_is_an_error_or_comes_through() {
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Parquet, Kind::Csv, Kind::Jsonl, Kind::Ipc] {
        for (name, text) in [("a\0b", "x"), ("a", "x\0y")] {
            let system = System::new(kind);
            let columns: Vec<(&str, ArrayRef)> =
                vec![("id", Arc::new(Int64Array::from(vec![1]))), (name, Arc::new(StringArray::from(vec![text])))];
            write_parquet(&system.project.path("in.parquet"), columns);
            let ran = system.project.run(&system.load("in.parquet", "t", "    load: {mode: replace}\n"));
            no_panic("NUL", &format!("{}{}", ran.out, ran.err));
            match ran.code {
                // What was taken is there as it was.
                0 => {
                    let back = system.project.run(&system.unload("t", ""));
                    back.exits(0);
                    let program = "import sys, pyarrow.parquet as pq; t = pq.read_table(sys.argv[1]); print(t.column_names[1] == sys.argv[2].replace('\\\\0', '\\0'), t.to_pylist()[0][t.column_names[1]] == sys.argv[3].replace('\\\\0', '\\0'))";
                    let path = system.project.path("back.parquet");
                    let (name, text) = (name.replace('\0', "\\0"), text.replace('\0', "\\0"));
                    assert_eq!(python(program, &[&path.to_string_lossy(), &name, &text]), "True True", "{kind:?}");
                }
                1 => {
                    let error = ran.stream("s")["error"].clone();
                    assert!(!error["message"].as_str().unwrap().contains('\0'), "{kind:?} {error}");
                }
                code => panic!("{kind:?}: {code} {}", ran.err),
            }
        }
    }
}

#[test]
fn a_nul_in_a_targets_name_is_an_error() {
    for kind in [Kind::Postgres, Kind::Sqlite, Kind::Csv] {
        let system = System::new(kind);
        write_parquet(&system.project.path("in.parquet"), vec![("id", Arc::new(Int64Array::from(vec![1])))]);
        let yaml = system.load("in.parquet", "t", "    load: {mode: replace}\n");
        let (head, target) = yaml.split_once("    target: ").unwrap();
        let value = if kind == Kind::Csv { "a\\0b.csv" } else { "a\\0b" };
        let rest = target.split_once('\n').unwrap().1;
        let ran = system.project.run(&format!("{head}    target: {{connection: sys, value: \"{value}\"}}\n{rest}"));
        no_panic("NUL", &format!("{}{}", ran.out, ran.err));
        assert!([1, 2].contains(&ran.code), "{kind:?}: {}", ran.code);
        assert!(!ran.out.contains('\0') && !ran.err.contains('\0'), "{kind:?}");
        let made: Vec<_> = tree(system.project.root()).into_keys().filter(|p| !p.ends_with("in.parquet")).collect();
        assert!(made.iter().all(|p| p.ends_with("p.yaml") || p.starts_with(system.project.path(".dxt"))), "{made:?}");
    }
}

// ---- files -----------------------------------------------------------------------------------------------------------

const ROWS: i64 = 400;

/// Rows of several kinds, as a file of each format, made by dxt: name and bytes.
fn samples(project: &Project) -> Vec<(String, Vec<u8>)> {
    let ids = Int64Array::from_iter((0..ROWS).map(|i| (i % 7 != 0).then_some(i * 1_000_003)));
    let texts = StringArray::from_iter((0..ROWS).map(|i| (i % 5 != 0).then(|| format!("tëxt \"{}\", {}", i % 40, i))));
    let floats = Float64Array::from_iter_values((0..ROWS).map(|i| i as f64 / 3.0));
    let times = TimestampMicrosecondArray::from_iter_values((0..ROWS).map(|i| i * 86_400_000_001));
    let decimals =
        Decimal128Array::from_iter_values((0..ROWS).map(i128::from)).with_precision_and_scale(20, 4).unwrap();
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
        (0..ROWS as i32).map(|i| (i % 3 != 0).then(|| (0..i % 4).map(|j| (j != 2).then_some(j)).collect::<Vec<_>>())),
    );
    let flat: Vec<(&str, ArrayRef)> = vec![("id", Arc::new(ids)), ("t", Arc::new(texts)), ("f", Arc::new(floats))];
    let mut deep = flat.clone();
    deep.extend([("at", Arc::new(times) as ArrayRef), ("d", Arc::new(decimals)), ("l", Arc::new(lists))]);
    write_parquet(&project.path("flat.parquet"), flat);
    write_parquet(&project.path("deep.parquet"), deep);
    let mut yaml = "version: 1\nname: p\nconnections: {f: {type: file, path: .}}\nsource: {connection: f}\ntarget: {connection: f}\n\
                    load: {mode: replace}\nstreams:\n"
        .to_string();
    let mut names = Vec::new();
    for (source, target) in [
        ("deep", "s.parquet"),
        ("deep", "z.parquet"),
        ("flat", "s.csv"),
        ("flat", "s.csv.gz"),
        ("flat", "s.csv.zst"),
        ("deep", "s.jsonl"),
        ("flat", "s.jsonl.gz"),
        ("deep", "s.arrow"),
    ] {
        let zstd = if target == "z.parquet" { ", options: {compression: zstd}" } else { "" };
        let id = target.replace('.', "_");
        yaml += &format!("  - {{id: {id}, source: {source}.parquet, target: {{value: {target}{zstd}}}}}\n");
        names.push(target.to_string());
    }
    project.run(&yaml).exits(0);
    let bytes = |name: &String| fs::read(project.path(name)).unwrap();
    names.into_iter().map(|name| (name.clone(), bytes(&name))).collect()
}

/// Loads a damaged file over `out.csv` in this process, as the library does.
fn load_damaged(runtime: &tokio::runtime::Runtime, project: &Project, name: &str, bytes: &[u8]) -> StreamResult {
    let file = format!("damaged-{name}");
    fs::write(project.path(&file), bytes).unwrap();
    fs::write(project.path("out.csv"), "as before\n").unwrap();
    let yaml = format!(
        "version: 1\nname: p\nbuffer: {{format: memory}}\nconnections: {{f: {{type: file, path: '{}'}}}}\nstreams:\n  \
         - {{id: s, source: {{connection: f, value: '{file}'}}, target: {{connection: f, value: out.csv}}, load: {{mode: replace}}}}\n",
        project.root().display()
    );
    let pipeline: Pipeline = config::from_yaml(&yaml, project.root(), &Registry::builtin(), &BTreeMap::new()).unwrap();
    let run =
        async { tokio::time::timeout(Duration::from_secs(20), dxt::run(&pipeline, &RunOptions::default())).await };
    let result = runtime.block_on(run).unwrap_or_else(|_| panic!("{file} hangs")).unwrap();
    let result = result.streams.into_iter().next().unwrap();
    if result.status == Status::Failed {
        let error = result.error.as_ref().unwrap();
        let said = format!("{} {:?}", error.message, error.hint);
        no_panic(&file, &said);
        let named = [&file, "field ", "column "].iter().any(|name| said.contains(*name));
        assert!(named, "the error names neither the file nor what is in it: {said}");
        assert_eq!(fs::read_to_string(project.path("out.csv")).unwrap(), "as before\n", "{said}");
    }
    result
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_an_error_or_has_fewer_rows() {
    let project = Project::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (name, bytes) in samples(&project) {
        // Places near both ends, where the headers are, and between.
        let step = (bytes.len() / 60).max(1);
        let places = (0..24).chain((24..bytes.len() - 24).step_by(step)).chain(bytes.len() - 24..bytes.len());
        for at in places {
            let result = load_damaged(&runtime, &project, &name, &bytes[..at]);
            if result.status == Status::Failed {
                continue;
            }
            // Plain text may well end between two records, or be empty; nothing else may.
            assert!(name == "s.csv" || name == "s.jsonl" || at == 0, "{name} is taken when it is cut at {at}");
            assert!(
                result.rows_written < ROWS as u64 || at + 1 == bytes.len() || name == "s.csv",
                "{name} cut at {at}"
            );
        }
    }
}

#[test]
fn a_file_with_a_flipped_byte_anywhere_never_panics() {
    let project = Project::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (name, bytes) in samples(&project) {
        let step = (bytes.len() / 50).max(1);
        let near_end = bytes.len().saturating_sub(400);
        let places = (0..bytes.len()).step_by(step).chain((near_end..bytes.len()).step_by(5));
        for (nth, at) in places.enumerate() {
            let mut damaged = bytes.clone();
            damaged[at] ^= [0xff, 0x01, 0x80][nth % 3];
            load_damaged(&runtime, &project, &name, &damaged);
        }
    }
}

/// A project with its samples, for all cases of a property.
struct Samples {
    project: Project,
    files: Vec<(String, Vec<u8>)>,
    runtime: tokio::runtime::Runtime,
}

static SAMPLES: LazyLock<Samples> = LazyLock::new(|| {
    let project = Project::new();
    let files = samples(&project);
    Samples { project, files, runtime: tokio::runtime::Runtime::new().unwrap() }
});

// What fails is kept in tests/proptest-regressions, and tried first from then on. PROPTEST_CASES asks for more.
proptest! {
    #[test]
    fn any_damage_to_a_file_never_panics(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..40, prop::collection::vec(any::<u8>(), 0..12)), 1..4)
    ) {
        let Samples { project, files, runtime } = &*SAMPLES;
        let (name, bytes) = which.get(files);
        let mut damaged = bytes.clone();
        for (at, removed, added) in edits {
            let at = at.index(damaged.len().max(1)).min(damaged.len());
            let end = (at + removed).min(damaged.len());
            damaged.splice(at..end, added);
        }
        load_damaged(runtime, project, name, &damaged);
    }
}

/// Files that were hard to read once, or are made to be: `tests/suite/data/hostile`, each by its extension.
#[test]
fn the_corpus_of_files_never_panics() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/data/hostile");
    let project = Project::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut files, mut pipelines, mut others) = (0, 0, Vec::new());
    for (path, bytes) in tree(&corpus) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            let text = String::from_utf8_lossy(&bytes);
            let loaded = config::from_yaml(&text, project.root(), &Registry::builtin(), &BTreeMap::new());
            match loaded {
                Ok(_) => others.push(format!("{name} is a pipeline")),
                Err(error) => assert!(!error.diagnostics().is_empty(), "{name}: {error}"),
            }
            pipelines += 1;
        } else {
            let result = load_damaged(&runtime, &project, &name, &bytes);
            if (result.status == Status::Failed) != name.starts_with("bad") {
                others.push(format!("{name}: {result:?}"));
            }
            files += 1;
        }
    }
    assert!(others.is_empty(), "{}", others.join("\n"));
    assert!(files >= 10 && pipelines >= 8, "{files} files and {pipelines} pipelines in {corpus:?}");
}

#[test]
fn a_number_beyond_its_type_names_the_field_and_touches_nothing() {
    let cases = [
        ("in.csv", "n\n1\n300\n", "int8", "300"),
        ("in.csv", "n\n-1\n", "uint32", "-1"),
        ("in.csv", "n\n99999999999999999999\n", "int64", "99999999999999999999"),
        ("in.csv", "n\n1.5\n", "int32", "1.5"),
        ("in.csv", "n\n1e400\n", "float64", "1e400"),
        ("in.jsonl", "{\"n\": 18446744073709551616}\n", "uint64", "18446744073709551616"),
        ("in.jsonl", "{\"n\": 1e400}\n", "float64", "1e400"),
        ("in.jsonl", "{\"n\": 128}\n", "int8", "128"),
        ("in.csv", "n\n12345.678\n", "{dtype: decimal, precision: 6, scale: 2}", "12345.678"),
    ];
    for (file, text, dtype, value) in cases {
        for kind in [Kind::Postgres, Kind::Sqlite, Kind::Csv] {
            let system = System::new(kind);
            system.project.write(file, text);
            let field = match dtype.strip_prefix('{') {
                Some(rest) => format!("{{id: n, {rest}"),
                None => format!("{{id: n, dtype: {dtype}}}"),
            };
            let rest = format!("    fields: [{field}]\n    load: {{mode: replace}}\n");
            let ran = system.project.run(&system.load(file, "t", &rest));
            no_panic(text, &format!("{}{}", ran.out, ran.err));
            assert_eq!(ran.code, 1, "{kind:?} {dtype} {value}: {}", ran.out);
            let message = ran.stream("s")["error"]["message"].as_str().unwrap().to_string();
            assert!(message.contains(value) && message.contains('n'), "{kind:?} {dtype}: {message}");
            match kind {
                Kind::Postgres => {
                    assert_eq!(psql(&format!("SELECT to_regclass('{}')", system.sql_name("t"))), "NULL");
                }
                Kind::Sqlite => {
                    let file = system.project.path("t.db");
                    assert!(!file.exists() || sqlite3(&file, "SELECT count(*) FROM sqlite_master") == "0");
                }
                _ => assert!(!system.project.path("out/t").exists()),
            }
        }
    }
}

/// Runs dxt and gives its peak of memory in MB besides.
fn measured(project: &Project, args: &[&str]) -> (Ran, u64) {
    const PEAK: &str = "import resource,subprocess,sys\nr=subprocess.run(sys.argv[1:])\nprint('peak_kb', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\nsys.exit(r.returncode)";
    let mut command = Command::new("python3");
    command.args(["-c", PEAK, env!("CARGO_BIN_EXE_dxt")]).args(args).current_dir(project.root());
    let ran = ran(command.output().unwrap());
    let peak: u64 = ran.err.rsplit("peak_kb").next().unwrap().trim().parse().unwrap();
    (ran, peak >> 10)
}

/// A gzip file whose content is `piece`, many times.
fn bomb(path: &Path, head: &[u8], piece: &[u8], bytes: usize) {
    let mut out = flate2::write::GzEncoder::new(File::create(path).unwrap(), flate2::Compression::fast());
    out.write_all(head).unwrap();
    for _ in 0..bytes / piece.len() {
        out.write_all(piece).unwrap();
    }
    out.finish().unwrap();
}

#[test]
fn a_file_that_unpacks_to_a_thousand_times_its_size_takes_bounded_memory() {
    let project = Project::new();
    let field = [b'a'; 1 << 16];
    for (name, head) in [
        // Fields without an end.
        ("line.csv.gz", &b"a,b\n"[..]),
        ("quote.csv.gz", &b"a,b\n1,\""[..]),
        ("text.jsonl.gz", &b"{\"a\": \""[..]),
    ] {
        bomb(&project.path(name), head, &field, 1 << 30);
        let yaml = format!(
            "version: 1\nname: p\nconnections: {{f: {{type: file, path: .}}}}\nsource: {{connection: f}}\ntarget: {{connection: f}}\n\
             streams:\n  - {{id: s, source: {name}, target: out.parquet, load: {{mode: replace}}}}\n"
        );
        project.write("p.yaml", &yaml);
        let (ran, peak) = measured(&project, &["run", "p.yaml", "--format", "json", "--quiet"]);
        assert_eq!(ran.code, 1, "{name}: {}", ran.err);
        no_panic(name, &format!("{}{}", ran.out, ran.err));
        assert!(ran.stream("s")["error"]["message"].as_str().unwrap().contains(name), "{}", ran.out);
        // A record may have 64 MB, of which there are a few copies.
        assert!(peak < 600, "{name}: {peak} MB");
        assert!(!project.path("out.parquet").exists());
    }
}

// ---- links -----------------------------------------------------------------------------------------------------------

#[test]
fn a_link_as_a_target_stays_one_and_what_is_behind_it_is_replaced_at_once() {
    let project = Project::new();
    write_parquet(&project.path("in.parquet"), vec![("id", Arc::new(Int64Array::from(vec![1])))]);
    fs::create_dir(project.path("elsewhere")).unwrap();
    project.write("elsewhere/real.csv", "old\n");
    std::os::unix::fs::symlink("elsewhere/real.csv", project.path("link.csv")).unwrap();
    std::os::unix::fs::symlink("nowhere.csv", project.path("dangling.csv")).unwrap();
    std::os::unix::fs::symlink("loop.csv", project.path("loop.csv")).unwrap();
    let yaml = |target: &str| {
        format!(
            "version: 1\nname: p\nconnections: {{f: {{type: file, path: .}}}}\nsource: {{connection: f}}\ntarget: {{connection: f}}\n\
             streams:\n  - {{id: s, source: in.parquet, target: {target}, load: {{mode: replace}}}}\n"
        )
    };
    project.run(&yaml("link.csv")).exits(0);
    assert_eq!(project.read("elsewhere/real.csv"), "id\n1\n");
    assert!(project.path("link.csv").is_symlink());
    assert_eq!(tree(&project.path("elsewhere")).len(), 1, "nothing is left beside it");
    // A link to nothing or to itself: the file takes its place or it is an error, and nothing else comes to be.
    for name in ["dangling.csv", "loop.csv"] {
        let ran = project.run(&yaml(name));
        no_panic(name, &ran.err);
        assert!(!project.path("nowhere.csv").exists());
        match ran.code {
            0 => assert_eq!(project.read(name), "id\n1\n"),
            code => assert_eq!(code, 1, "{name}: {}", ran.err),
        }
    }
}

#[test]
fn links_in_the_buffers_folder_are_neither_read_nor_removed_through() {
    let project = Project::new();
    write_parquet(&project.path("in.parquet"), vec![("id", Arc::new(Int64Array::from(vec![1])))]);
    let yaml = "version: 1\nname: p\nconnections: {f: {type: file, path: .}, db: 'sqlite:///t.db'}\nstreams:\n  \
                - {id: s, source: {connection: f, value: in.parquet}, target: {connection: db, value: t}, load: {mode: replace}}\n";
    project.write("p.yaml", yaml);
    // A committed buffer of somebody else's, which a link makes look like the newest and like the oldest of this one.
    project.dxt(&["extract", "p.yaml", "--quiet"]).exits(0);
    let stream = project.path(".dxt/buffer/p/s");
    let own = fs::read_dir(&stream).unwrap().next().unwrap().unwrap().path();
    fs::rename(&own, project.path("theirs")).unwrap();
    let before = tree(&project.path("theirs"));
    for name in ["00000000-0000-7000-8000-000000000000", "ffffffff-ffff-7fff-bfff-ffffffffffff"] {
        std::os::unix::fs::symlink(project.path("theirs"), stream.join(name)).unwrap();
    }
    let ran = project.dxt(&["load", "p.yaml", "--quiet"]);
    assert_eq!(ran.code, 1, "a link is no buffer: {}", ran.err);
    let ran = project.dxt(&["run", "p.yaml", "--quiet"]);
    assert!(ran.code == 0 || ran.err.contains("symbolic link"), "{}", ran.err);
    assert_eq!(tree(&project.path("theirs")), before, "what is behind a link is none of dxt's");
}

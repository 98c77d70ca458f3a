//! A network that cuts, truncates, stalls and slows, between dxt and PostgreSQL as source and as target, at many bytes: no
//! run hangs, and the target is as before or as after.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::chaos::{Fault, Proxy, Way};
use crate::support::{Project, Ran, env, psql};

const ROWS: u32 = 10_000;
/// Where silence of a second makes dxt ask, nothing may take longer.
const LIMIT: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    Source,
    Target,
}

/// A source and a target in a schema of their own.
struct Bench {
    project: Project,
    schema: String,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

fn server() -> u16 {
    env("DXT_TEST_PG_URL").rsplit(':').next().unwrap().split('/').next().unwrap().parse().unwrap()
}

impl Bench {
    fn new() -> Self {
        let schema = format!("chaos{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        psql(&format!(
            "SET client_min_messages = warning; CREATE SCHEMA {schema}; CREATE TABLE {schema}.src (id bigint, v text); \
             INSERT INTO {schema}.src SELECT i, 'new ' || i || repeat('x', 100) FROM generate_series(1, {ROWS}) i; \
             CREATE TABLE {schema}.dst (id bigint PRIMARY KEY, v text)"
        ));
        Self { project: Project::new(), schema }
    }

    fn reset(&self) -> String {
        let _ = std::fs::remove_dir_all(self.project.path(".dxt"));
        let schema = &self.schema;
        psql(&format!("TRUNCATE {schema}.dst; INSERT INTO {schema}.dst SELECT i, 'old' FROM generate_series(1, 10) i"));
        self.state()
    }

    fn state(&self) -> String {
        psql(&format!("SELECT count(*), md5(string_agg(v, ',' ORDER BY id)) FROM {}.dst", self.schema))
    }

    /// Runs it with one side behind the proxy, or none. Silence of `patience` seconds makes dxt ask what is going on.
    fn run(&self, side: Side, proxy: Option<&Proxy>, mode: &str, patience: u32) -> (Ran, Duration) {
        let parameters = format!("sslmode=disable&connect_timeout=2&read_timeout={patience}");
        let direct = format!("{}?{parameters}&application_name={}", env("DXT_TEST_PG_URL"), self.schema);
        let behind = |proxy: &Proxy| direct.replace(&format!(":{}/", server()), &format!(":{}/", proxy.port));
        let url = |of: Side| proxy.filter(|_| of == side).map_or_else(|| direct.clone(), behind);
        let schema = &self.schema;
        let yaml = format!(
            "version: 1\nname: p\nretries: 0\nconnections: {{a: '{}', b: '{}'}}\nstreams:\n  - id: s\n    source: {{connection: a, value: {schema}.src}}\n    \
             target: {{connection: b, value: {schema}.dst}}\n    load: {mode}\n",
            url(Side::Source),
            url(Side::Target)
        );
        let begun = Instant::now();
        (self.project.run(&yaml), begun.elapsed())
    }

    /// Waits until the server has no session of this bench any more.
    fn quiet(&self) {
        let begun = Instant::now();
        let ask = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{}'", self.schema);
        while psql(&ask) != "0" {
            assert!(begun.elapsed() < Duration::from_secs(20), "a session is left");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        psql(&format!("SET client_min_messages = warning; DROP SCHEMA {} CASCADE", self.schema));
    }
}

const MODES: [&str; 2] = ["{mode: replace}", "{mode: upsert, upsert_keys: [id]}"];

/// One fault in one place of one run.
#[derive(Clone, Copy, Debug)]
struct Case {
    side: Side,
    mode: &'static str,
    fault: Fault,
    way: Way,
    at: usize,
}

fn suffer(bench: &Bench, case: Case, after: &str) {
    let before = bench.reset();
    let proxy = Proxy::new(server(), case.fault, case.way, case.at);
    let (ran, took) = bench.run(case.side, Some(&proxy), case.mode, 1);
    assert!(took < LIMIT, "took {took:?}");
    // The network comes back; until then what the server keeps of a broken session may hold locks.
    drop(proxy);
    bench.quiet();
    let state = bench.state();
    match ran.code {
        0 => assert_eq!(state, after, "succeeded, and the target is not as after"),
        1 => {
            let error = ran.stream("s")["error"].clone();
            assert_eq!(error["kind"], "connection", "{error}");
            assert!(error["hint"].is_string(), "{error}");
            // Where the answer to a COMMIT is lost, nobody can know, and dxt says so.
            let unknown = error["message"].as_str().unwrap().contains("whether it took place is not known");
            assert!(state == before || (unknown && state == after), "{state}, and dxt says {error}");
        }
        code => panic!("exit code {code}: {}", ran.err),
    }
    let (again, _) = bench.run(case.side, None, case.mode, 1);
    again.exits(0);
    assert_eq!(bench.state(), after, "run again");
}

fn suffer_all(side: Side, faults: &[Fault]) {
    let bench = Bench::new();
    let mut cases = VecDeque::new();
    let mut after = String::new();
    for mode in MODES {
        bench.reset();
        let proxy = Proxy::new(server(), Fault::None, Way::Up, 0);
        bench.run(side, Some(&proxy), mode, 1).0.exits(0);
        after = bench.state();
        for way in [Way::Up, Way::Down] {
            let all = proxy.passed(way);
            assert!(all > 1000, "{side:?} {way:?}: {all} bytes only");
            // The login, the middle, and the last words, among which is the COMMIT.
            let places = [all / 100, all / 2, all * 9 / 10, all - 150, all - 60, all - 10];
            for fault in faults {
                cases.extend(places.iter().map(|at| Case { side, mode, fault: *fault, way, at: *at }));
            }
        }
    }
    let (count, cases, failures) = (cases.len(), Mutex::new(cases), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let bench = Bench::new();
                loop {
                    let Some(case) = cases.lock().unwrap().pop_front() else { return };
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| suffer(&bench, case, &after))) {
                        let text = panic.downcast_ref::<String>().map_or("?", String::as_str);
                        failures.lock().unwrap().push(format!("{case:?}: {text}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {count} faults:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_connection_that_is_cut_anywhere_is_no_partial_load() {
    for side in [Side::Source, Side::Target] {
        suffer_all(side, &[Fault::Cut, Fault::Truncate]);
    }
}

#[test]
fn a_network_that_falls_silent_anywhere_ends_the_run_in_time_and_is_no_partial_load() {
    for side in [Side::Source, Side::Target] {
        suffer_all(side, &[Fault::Stall, Fault::Blackout]);
    }
}

#[test]
fn a_slow_network_is_no_fault() {
    let bench = Bench::new();
    for side in [Side::Source, Side::Target] {
        bench.reset();
        let proxy = Proxy::new(server(), Fault::Slow, Way::Up, 0);
        let (ran, took) = bench.run(side, Some(&proxy), MODES[0], 3);
        assert_eq!(ran.exits(0).counts("s"), [u64::from(ROWS), u64::from(ROWS), 0, 0]);
        // Longer than silence may be: what waits in the system's buffers goes on after the last byte is sent.
        assert!(took > Duration::from_secs(4), "{side:?}: {took:?}");
    }
}

//! kill -9 at every step: the target is as it was before or as it is after, and running again makes it right.
//!
//! One run of a case lists the fail points that it passes (`src/fault.rs`). Then, for each point, runs are killed at its
//! first, middle and last pass; each must have died there, by SIGKILL. The target is asked by its own client.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::crash::{Bench, Mode, Target};

/// Kills runs of every mode at every point, by several threads; gives the number of kills.
fn kill_everywhere(target: Target, modes: &[Mode]) -> usize {
    let mut jobs = VecDeque::new();
    for mode in modes {
        let bench = Bench::new(target, *mode);
        let reference = bench.reference();
        for (point, at) in reference.kills() {
            jobs.push_back((*mode, reference.clone(), point, at));
        }
    }
    let (kills, jobs, failures) = (jobs.len(), Mutex::new(jobs), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut last: Option<Bench> = None;
                loop {
                    let Some((mode, reference, point, at)) = jobs.lock().unwrap().pop_front() else { return };
                    let bench = match last.take().filter(|bench| bench.mode == mode) {
                        Some(bench) => last.insert(bench),
                        None => last.insert(Bench::new(target, mode)),
                    };
                    let tried = catch_unwind(AssertUnwindSafe(|| {
                        let killed = bench.kill_at(&point, at);
                        bench.check_and_recover(&reference, &killed);
                    }));
                    if let Err(panic) = tried {
                        let text = panic.downcast_ref::<String>().map_or("?", String::as_str);
                        failures.lock().unwrap().push(format!("{target:?} {mode:?} {point}@{at}: {text}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {kills} kills:\n{}", failures.len(), failures.join("\n"));
    println!("{target:?}: {kills} kills");
    kills
}

#[test]
fn a_kill_at_any_step_leaves_a_postgres_table_as_before_or_as_after() {
    let modes =
        [Mode::Create, Mode::Replace, Mode::Keyed, Mode::Swap, Mode::Unbuffered, Mode::Upsert, Mode::Incremental];
    assert!(kill_everywhere(Target::Postgres, &modes) >= 150);
}

#[test]
fn a_kill_at_any_step_leaves_a_mysql_table_as_before_or_as_after() {
    let modes = [Mode::Create, Mode::Replace, Mode::Swap, Mode::Upsert, Mode::Incremental];
    assert!(kill_everywhere(Target::Mysql, &modes) >= 120);
}

#[test]
fn a_full_append_that_is_killed_and_loaded_again_is_in_a_mysql_table_once() {
    assert!(kill_everywhere(Target::Mysql, &[Mode::Append]) >= 25);
}

#[test]
fn a_kill_at_any_step_leaves_a_sqlite_table_as_before_or_as_after() {
    let modes = [Mode::Create, Mode::Replace, Mode::Unbuffered, Mode::Kept, Mode::Upsert, Mode::Incremental];
    assert!(kill_everywhere(Target::Sqlite, &modes) >= 100);
}

#[test]
fn a_kill_at_any_step_leaves_a_folder_of_parts_as_before_or_as_after() {
    assert!(kill_everywhere(Target::Folder, &[Mode::Create, Mode::Replace, Mode::Incremental]) >= 50);
}

#[test]
fn a_kill_at_any_step_leaves_a_file_as_before_or_as_after() {
    assert!(kill_everywhere(Target::File, &[Mode::Create, Mode::Replace, Mode::Unbuffered]) >= 50);
}

/// The window between the target's commit and the end of the buffer is that of `load.once`.
#[test]
fn a_full_append_that_is_killed_and_loaded_again_is_in_a_postgres_table_once() {
    assert!(kill_everywhere(Target::Postgres, &[Mode::Append]) >= 25);
}

#[test]
fn a_full_append_that_is_killed_and_loaded_again_is_in_a_sqlite_table_once() {
    assert!(kill_everywhere(Target::Sqlite, &[Mode::Append]) >= 25);
}

/// Files have no transaction that a mark of the load could be part of: killed in that window, they may have it twice.
#[test]
fn a_full_append_that_is_killed_and_loaded_again_is_in_a_folder_at_least_once() {
    assert!(kill_everywhere(Target::Folder, &[Mode::Append]) >= 20);
}

/// A sequence of numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// `DXT_TEST_SEED` repeats one, `DXT_TEST_SOAK_SECONDS` is how long it goes on.
#[test]
#[ignore = "three minutes of kills at random times: tests/run --all"]
fn kills_at_random_times_leave_every_target_as_before_or_as_after() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("DXT_TEST_SEED").unwrap_or(clock.as_nanos() as u64);
    println!("DXT_TEST_SEED={seed}");
    let (mut random, begun) = (Random(seed), Instant::now());
    let limit = Duration::from_secs(number("DXT_TEST_SOAK_SECONDS").unwrap_or(180));
    let mut cases = Vec::new();
    for target in [Target::Postgres, Target::Mysql, Target::Sqlite, Target::Folder, Target::File] {
        for mode in [Mode::Create, Mode::Replace, Mode::Swap, Mode::Upsert, Mode::Incremental] {
            if target.takes(mode) {
                let bench = Bench::new(target, mode);
                let reference = bench.reference();
                cases.push((bench, reference));
            }
        }
    }
    let (mut kills, mut committed) = (0, 0);
    while begun.elapsed() < limit {
        let (bench, reference) = &cases[random.below(cases.len() as u64) as usize];
        let after = reference.took.mul_f64(random.below(1100) as f64 / 1000.0);
        println!("{:?} {:?} after {after:?}", bench.target, bench.mode);
        let Some(killed) = bench.kill_after(after) else { continue };
        kills += 1;
        committed += u64::from(bench.check_and_recover(reference, &killed));
    }
    println!("{kills} kills, {committed} of them behind the commit");
    assert!(kills > 50, "{kills} kills only");
}

#[test]
fn a_whole_run_says_which_points_it_has_passed() {
    // What the other tests compare with: a whole run ends by itself, and says that it has passed its points.
    let bench = Bench::new(Target::Sqlite, Mode::Replace);
    let reference = bench.reference();
    assert!(reference.passed.iter().any(|p| p == "sqlite.end.before"), "{:?}", reference.passed);
    assert_eq!(reference.passed.iter().filter(|p| *p == "buffer.commit.after").count(), 1);
    assert_ne!(reference.before, reference.after);
}

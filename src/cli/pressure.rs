//! The process' own memory under its limit. Allocators keep what is given back to them for a while, by each thread, and know
//! of no limit: near it, ours is told to hand pages back to the system at once, which costs time and is else not done.

use std::sync::OnceLock;
use std::time::Duration;

use crate::plan::Resources;

/// Tells the process' allocator whether to hand memory back at once.
pub type Allocator = fn(at_once: bool);

static ALLOCATOR: OnceLock<Allocator> = OnceLock::new();

/// How often it is looked. A process fills some ten megabytes meanwhile.
const EVERY: Duration = Duration::from_millis(20);

/// Says how the process' allocator is told. The first one counts.
pub fn allocator(allocator: Allocator) {
    let _ = ALLOCATOR.set(allocator);
}

/// Looks after the process from now on to its end. Where the system does not say how much a process holds, or nobody said how
/// the allocator is told, nothing is done: what plans hold is bounded all the same.
pub fn watch(resources: &Resources) {
    let (Some(tell), Some(_)) = (ALLOCATOR.get().copied(), resident()) else { return };
    let limit = resources.limit();
    let look = move || {
        let mut tight = false;
        while let Some(held) = resident() {
            // It is let go only well below, so that it does not go to and fro.
            let now = held > limit / 8 * if tight { 4 } else { 5 };
            if now != tight {
                tracing::debug!(held, limit, "memory is handed back {}", if now { "at once" } else { "later" });
                tell(now);
                tight = now;
            }
            std::thread::sleep(EVERY);
        }
    };
    // Without a thread for it, memory is given back as ever.
    let _ = std::thread::Builder::new().name("memory".into()).spawn(look);
}

/// Bytes of the process that are in memory, as the system counts them.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kb| kb << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_as_large_as_what_it_has_written_to() {
        // Other tests of this process take and give back as they like: what is held is a floor.
        let held = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(resident().unwrap() >= 64 << 20, "{}", held.len());
    }
}

//! Where the parts of a resolved pipeline stand in its files, and which of them are known to be wrong.

use std::collections::{BTreeMap, HashMap};

use super::findings::Mark;
use super::read::Given;

/// The places of a whole pipeline. Empty for one that is built in code.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub pipeline: Option<Mark>,
    pub name: Option<Mark>,
    /// The connection that the buffer names.
    pub buffer: Option<Mark>,
    pub connections: BTreeMap<String, ConnectionPlaces>,
    /// Whether a whole map of connections is wrong, so that nothing follows from a name that is not there.
    pub connections_broken: bool,
    /// One for each stream, in order.
    pub streams: Vec<StreamPlaces>,
}

#[derive(Debug)]
pub(super) struct ConnectionPlaces {
    pub mark: Mark,
    pub keys: Vec<(String, Mark)>,
    /// Whether the connector is asked if it takes the connection: not where it is wrong already, or where it comes
    /// from a shared project and no stream uses it.
    pub check: bool,
}

#[derive(Debug)]
pub(super) struct StreamPlaces {
    pub mark: Mark,
    at: HashMap<(&'static str, Option<usize>), Mark>,
    broken: Vec<(&'static str, Option<usize>)>,
}

impl StreamPlaces {
    pub fn new(mark: Mark) -> Self {
        Self { mark, at: HashMap::new(), broken: Vec::new() }
    }

    /// Notes where a key stands and whether what it says is wrong.
    pub fn note<T>(&mut self, key: &'static str, given: &Given<T>) {
        if let Some(mark) = given.mark() {
            self.put(key, None, mark, given.is_broken());
        }
    }

    /// Notes the place of a list's item, or of a key (`item` is `None`).
    pub fn put(&mut self, key: &'static str, item: Option<usize>, mark: Mark, broken: bool) {
        self.at.insert((key, item), mark);
        if broken {
            self.broken.push((key, item));
        }
    }

    /// Notes that something is wrong which has been reported.
    pub fn breaks(&mut self, key: &'static str) {
        self.broken.push((key, None));
    }

    pub fn is_broken(&self, key: &'static str, item: Option<usize>) -> bool {
        self.broken.contains(&(key, item))
    }

    pub fn get(&self, key: &'static str, item: Option<usize>) -> Option<Mark> {
        self.at.get(&(key, item)).copied()
    }
}

//! A buffer in this process: for small streams and tests. It is gone with the process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;

use super::{Buffer, BufferId, Committed, Header, Manifest, Part};
use crate::connector::{Load, LoadCounts};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::checksum::Sums;
use crate::plan::sink::Progress;
use crate::plan::watermark;

#[derive(Debug, Default)]
struct Store {
    committed: HashMap<BufferId, (Committed, Vec<RecordBatch>)>,
}

type Shared = Arc<Mutex<Store>>;

fn lock(shared: &Shared) -> MutexGuard<'_, Store> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Buffers as batches in memory.
#[derive(Debug, Default)]
pub struct MemoryBuffer {
    store: Shared,
}

struct Writing {
    store: Shared,
    id: BufferId,
    header: Header,
    progress: Arc<Progress>,
    batches: Vec<RecordBatch>,
}

impl Writing {
    fn counts(&self) -> LoadCounts {
        let staged = self.batches.iter().map(|b| b.num_rows() as u64).sum();
        let bytes = self.batches.iter().map(|b| b.get_array_memory_size() as u64).sum();
        LoadCounts { staged, inserted: staged, bytes, ..LoadCounts::default() }
    }
}

#[async_trait]
impl Load for Writing {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.batches.push(batch);
        Ok(())
    }

    fn summed(&mut self, sums: &Sums) {
        self.header.sums = Some(sums.clone());
    }

    async fn seal(&mut self) -> Result<LoadCounts> {
        Ok(self.counts())
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        let counts = self.counts();
        let part = Part { file: "memory".into(), rows: counts.staged, bytes: counts.bytes, checksum: String::new() };
        let greatest = self.progress.observed().greatest.as_ref().map(watermark::text);
        let manifest = Manifest::new(self.header, greatest, vec![part]);
        let committed = Committed { id: self.id.clone(), manifest, loaded: false };
        lock(&self.store).committed.insert(self.id, (committed, self.batches));
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Buffer for MemoryBuffer {
    async fn begin(&self, id: &BufferId, header: &Header, progress: &Arc<Progress>) -> Result<Box<dyn Load>> {
        let (store, progress) = (self.store.clone(), progress.clone());
        Ok(Box::new(Writing { store, id: id.clone(), header: header.clone(), progress, batches: Vec::new() }))
    }

    async fn streams(&self) -> Result<Vec<(String, String)>> {
        let store = lock(&self.store);
        let found: BTreeSet<_> = store.committed.keys().map(|id| (id.pipeline.clone(), id.stream.clone())).collect();
        Ok(found.into_iter().collect())
    }

    async fn committed(&self, pipeline: &str, stream: &str) -> Result<Vec<Committed>> {
        let store = lock(&self.store);
        let of_stream = |c: &&Committed| c.id.pipeline == pipeline && c.id.stream == stream;
        let mut found: Vec<Committed> = store.committed.values().map(|(c, _)| c).filter(of_stream).cloned().collect();
        found.sort_by(|a, b| b.age().cmp(&a.age()));
        Ok(found)
    }

    async fn read(&self, buffer: &Committed) -> Result<Arc<dyn TableProvider>> {
        let store = lock(&self.store);
        let (committed, batches) = store
            .committed
            .get(&buffer.id)
            .ok_or_else(|| Error::new(ErrorKind::Buffer, format!("the buffer of run {} is gone", buffer.id.run_id)))?;
        let schema = committed.manifest.header.schema.to_arrow();
        Ok(Arc::new(MemTable::try_new(schema, vec![batches.clone()])?))
    }

    async fn mark_loaded(&self, id: &BufferId) -> Result<()> {
        if let Some((committed, _)) = lock(&self.store).committed.get_mut(id) {
            committed.loaded = true;
        }
        Ok(())
    }

    async fn cleanup(&self, id: &BufferId) -> Result<()> {
        lock(&self.store).committed.remove(id);
        Ok(())
    }

    fn outlives(&self) -> bool {
        false
    }
}

//! Buffers as Parquet files: `<location>/<pipeline>/<stream>/<run id>/part-N.parquet`, and `manifest.json`, which is
//! published last.

use std::io::{self, Write};
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

use super::lock::{self, Holder};
use super::manifest::part_name;
use super::store::{self, Files, Guard, Listing, LocalFiles, PartFile};
use super::{Buffer, BufferId, Committed, Entry, Header, Manifest, Part, State};
use crate::config;
use crate::connector::file::logical;
use crate::connector::file::parquet::properties;
use crate::connector::{Connector, Dataset, ExtractRequest, Load, LoadCounts};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::fault;
use crate::model::{BufferConfig, Compression, ConnectionConfig, LockMode};
use crate::plan::checksum::Sums;
use crate::plan::sink::Progress;
use crate::plan::watermark;

const MANIFEST: &str = "manifest.json";
const LOADED: &str = "loaded";
/// A part is closed at this size, so that a damaged or half-written one costs little, and reading can go in parallel.
const PART_BYTES: u64 = 1 << 30;
/// Encoded bytes of a row group in memory before it is flushed.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_ROWS: usize = 1 << 20;

/// Buffers below a local folder or a prefix of an object store.
#[derive(Debug)]
pub struct ParquetBuffer {
    files: Arc<dyn Files>,
    compression: Compression,
}

impl ParquetBuffer {
    /// Buffers below the folder `location`, which is made when it is needed.
    pub fn new(location: impl Into<PathBuf>, compression: Compression) -> Self {
        Self { files: Arc::new(LocalFiles::new(location)), compression }
    }

    /// The buffers that a configuration asks for; `connections` are those that it may name. Nothing is touched yet.
    ///
    /// # Errors
    /// Configuration: its connection is not there or cannot hold a buffer, or its URL is wrong.
    pub fn open(config: &BufferConfig, connections: &[ConnectionConfig]) -> Result<Self> {
        Ok(Self { files: store::open(config, connections)?.into(), compression: config.compression })
    }

    /// Where the buffers are, for people.
    pub fn location(&self) -> String {
        self.files.shown("")
    }

    /// Everything that is there of a stream, committed or not, the newest first.
    ///
    /// # Errors
    /// Buffer: the place cannot be listed. A manifest that cannot be read is an entry that says so.
    pub async fn entries(&self, pipeline: &str, stream: &str) -> Result<Vec<Entry>> {
        let folder = stream_key(pipeline, stream)?;
        let mut found = Vec::new();
        for run in names(self.files.list(&folder).await?.folders) {
            let key = format!("{folder}/{run}");
            let there = self.files.list(&key).await?;
            let (mut manifest, mut problem) = (None, None);
            if has(&there, MANIFEST) {
                match self.manifest(&key).await {
                    Ok(read) => manifest = read,
                    Err(error) => problem = Some(error),
                }
            }
            let state = match (&manifest, &problem) {
                (_, Some(_)) => State::Damaged,
                (None, None) => State::Uncommitted,
                (Some(_), None) if has(&there, LOADED) => State::Loaded,
                (Some(_), None) => State::Committed,
            };
            let id = BufferId::new(pipeline, stream, &run);
            let (bytes, changed) = (there.files.iter().map(|f| f.bytes).sum(), changed(&there));
            found.push(Entry { id, state, manifest, problem, bytes, changed });
        }
        let made = |entry: &Entry| entry.manifest.as_ref().map(|m| m.created_at).or(entry.changed);
        found.sort_by(|a, b| (made(b), &b.id.run_id).cmp(&(made(a), &a.id.run_id)));
        let mut newer = false;
        for entry in &mut found {
            if newer && entry.state == State::Committed {
                entry.state = State::Superseded;
            }
            newer |= entry.state != State::Uncommitted;
        }
        Ok(found)
    }

    /// The manifest in a run's folder; `None` where there is none.
    async fn manifest(&self, folder: &str) -> Result<Option<Manifest>> {
        let key = format!("{folder}/{MANIFEST}");
        let text = self.files.read(&key).await?;
        text.map(|text| Manifest::parse(&text, &self.files.shown(&key))).transpose()
    }

    /// Checks that the folder has the manifest's parts and no others, each as it was written.
    async fn verify(&self, folder: &str, manifest: &Manifest) -> Result<()> {
        let there = self.files.list(folder).await?;
        let damaged = |file: &str, why: String| {
            let text = format!("{} {why}", self.files.shown(&format!("{folder}/{file}")));
            Err(Error::new(ErrorKind::Buffer, text).with_hint("extract again: the buffer is damaged"))
        };
        let ours = |name: &str| manifest.parts.iter().any(|part| part.file == name);
        if let Some(other) = there.files.iter().find(|f| f.name.ends_with(".parquet") && !ours(&f.name)) {
            return damaged(&other.name, "is in the buffer's folder, and the manifest does not know it".into());
        }
        for part in &manifest.parts {
            match there.files.iter().find(|f| f.name == part.file) {
                None => return damaged(&part.file, "is missing".into()),
                Some(found) if found.bytes != part.bytes => {
                    let (is, was) = (found.bytes, part.bytes);
                    return damaged(&part.file, format!("has {is} bytes, and had {was} when it was committed"));
                }
                Some(_) => {}
            }
        }
        for part in &manifest.parts {
            let checksum = self.files.checksum(&format!("{folder}/{}", part.file)).await?;
            if checksum != part.checksum {
                return damaged(&part.file, "is not what was written: its checksum differs".into());
            }
        }
        Ok(())
    }
}

/// The names among those of folders that dxt gives.
fn names(folders: Vec<String>) -> Vec<String> {
    folders.into_iter().filter(|name| config::id_fault(name).is_none()).collect()
}

fn has(there: &Listing, name: &str) -> bool {
    there.files.iter().any(|f| f.name == name)
}

/// When a folder or a file in it changed last.
fn changed(there: &Listing) -> Option<DateTime<Utc>> {
    there.files.iter().map(|f| f.modified).chain(there.modified).max()
}

/// Names become folders: none of them leads elsewhere.
fn stream_key(pipeline: &str, stream: &str) -> Result<String> {
    for name in [pipeline, stream] {
        check_name(name)?;
    }
    Ok(format!("{pipeline}/{stream}"))
}

fn run_key(id: &BufferId) -> Result<String> {
    check_name(&id.run_id)?;
    Ok(format!("{}/{}", stream_key(&id.pipeline, &id.stream)?, id.run_id))
}

fn check_name(name: &str) -> Result<()> {
    match config::id_fault(name) {
        None => Ok(()),
        Some(fault) => {
            let shown: String = name.chars().take(60).collect();
            let text = format!("{shown:?} cannot be the name of a buffer's folder: {fault}");
            Err(Error::new(ErrorKind::Buffer, text).with_hint("name a pipeline, stream or run as dxt does"))
        }
    }
}

/// What an encoder has written and the file has not, hashed on the way.
#[derive(Default)]
struct Encoded {
    bytes: Vec<u8>,
    hasher: blake3::Hasher,
    written: u64,
}

impl Write for Encoded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.bytes.extend_from_slice(bytes);
        self.written += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Writing {
    files: Arc<dyn Files>,
    folder: String,
    header: Header,
    progress: Arc<Progress>,
    properties: WriterProperties,
    open: Option<(ArrowWriter<Encoded>, PartFile)>,
    parts: Vec<Part>,
    ended: bool,
}

impl Writing {
    fn doing(&self) -> String {
        format!("writing {}", self.files.shown(&self.part_key()))
    }

    fn part_key(&self) -> String {
        format!("{}/{}", self.folder, part_name(self.parts.len()))
    }

    async fn open_part(&mut self) -> Result<()> {
        if self.open.is_none() {
            let file = self.files.create(&self.part_key()).await?;
            let writer = logical::parquet_writer(Encoded::default(), &self.header.schema, self.properties.clone())
                .during(ErrorKind::Buffer, || self.doing())?;
            self.open = Some((writer, file));
        }
        Ok(())
    }

    async fn close_part(&mut self) -> Result<()> {
        let Some((mut writer, mut file)) = self.open.take() else { return Ok(()) };
        let doing = self.doing();
        let rows = writer.finish().during(ErrorKind::Buffer, || doing)?.file_metadata().num_rows();
        let encoded = mem::take(writer.inner_mut());
        file.write(&encoded.bytes).await?;
        file.finish().await?;
        fault::point("buffer.part.synced");
        self.parts.push(Part {
            file: part_name(self.parts.len()),
            rows: rows.unsigned_abs(),
            bytes: encoded.written,
            checksum: encoded.hasher.finalize().to_hex().to_string(),
        });
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.ended {
            // Dropped in flight. What stays after a kill has no manifest and does not count.
            self.files.discard(&self.folder);
        }
    }
}

#[async_trait]
impl Load for Writing {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let (doing, schema) = (self.doing(), self.header.schema.to_file_arrow());
        let batch = logical::labelled(&batch, &schema).during(ErrorKind::Buffer, || doing.clone())?;
        self.open_part().await?;
        let Some((writer, file)) = &mut self.open else {
            return Err(Error::new(ErrorKind::Buffer, "no part is open"));
        };
        fault::point("buffer.write.before");
        writer.write(&batch).during(ErrorKind::Buffer, || doing.clone())?;
        fault::point("buffer.write.after");
        if writer.in_progress_size() >= GROUP_BYTES {
            writer.flush().during(ErrorKind::Buffer, || doing)?;
        }
        let full = writer.bytes_written() as u64 >= PART_BYTES;
        let bytes = mem::take(&mut writer.inner_mut().bytes);
        if !bytes.is_empty() {
            file.write(&bytes).await?;
        }
        if full {
            self.close_part().await?;
        }
        Ok(())
    }

    fn summed(&mut self, sums: &Sums) {
        self.header.sums = Some(sums.clone());
    }

    async fn seal(&mut self) -> Result<LoadCounts> {
        // An empty buffer has one empty part, so that it can be read like any other.
        if self.parts.is_empty() {
            self.open_part().await?;
        }
        fault::point("buffer.seal.before");
        self.close_part().await?;
        fault::point("buffer.seal.after");
        let staged = self.parts.iter().map(|p| p.rows).sum();
        let bytes = self.parts.iter().map(|p| p.bytes).sum();
        Ok(LoadCounts { staged, inserted: staged, bytes, ..LoadCounts::default() })
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        fault::point("buffer.commit.before");
        let greatest = self.progress.observed().greatest.as_ref().map(watermark::text);
        let manifest = Manifest::new(self.header.clone(), greatest, mem::take(&mut self.parts));
        let key = format!("{}/{MANIFEST}", self.folder);
        let doing = || format!("writing {}", self.files.shown(&key));
        let text = serde_json::to_vec_pretty(&manifest).during(ErrorKind::Buffer, doing)?;
        self.files.settle(&self.folder).await?;
        fault::point("buffer.commit.settled");
        self.files.publish(&key, &text).await?;
        self.ended = true;
        fault::point("buffer.commit.after");
        Ok(())
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        if let Some((_, file)) = self.open.take() {
            file.abort().await;
        }
        self.ended = true;
        self.files.remove_folder(&self.folder).await
    }
}

#[async_trait]
impl Buffer for ParquetBuffer {
    async fn begin(&self, id: &BufferId, header: &Header, progress: &Arc<Progress>) -> Result<Box<dyn Load>> {
        fault::point("buffer.begin");
        let folder = run_key(id)?;
        self.files.create_folder(&folder).await?;
        fault::point("buffer.folder.made");
        Ok(Box::new(Writing {
            files: self.files.clone(),
            folder,
            header: header.clone(),
            progress: progress.clone(),
            properties: properties(self.compression).set_max_row_group_row_count(Some(GROUP_ROWS)).build(),
            open: None,
            parts: Vec::new(),
            ended: false,
        }))
    }

    async fn streams(&self) -> Result<Vec<(String, String)>> {
        let mut found = Vec::new();
        for pipeline in names(self.files.list("").await?.folders) {
            for stream in names(self.files.list(&pipeline).await?.folders) {
                found.push((pipeline.clone(), stream));
            }
        }
        Ok(found)
    }

    async fn committed(&self, pipeline: &str, stream: &str) -> Result<Vec<Committed>> {
        let mut found = Vec::new();
        for entry in self.entries(pipeline, stream).await? {
            match (entry.manifest, entry.problem) {
                (Some(manifest), _) => {
                    found.push(Committed { id: entry.id, manifest, loaded: entry.state == State::Loaded });
                }
                (None, Some(problem)) => return Err(problem),
                (None, None) => {}
            }
        }
        Ok(found)
    }

    async fn find(&self, id: &BufferId) -> Result<Option<Committed>> {
        let folder = run_key(id)?;
        let Some(manifest) = self.manifest(&folder).await? else { return Ok(None) };
        let loaded = self.files.read(&format!("{folder}/{LOADED}")).await?.is_some();
        Ok(Some(Committed { id: id.clone(), manifest, loaded }))
    }

    async fn read(&self, buffer: &Committed) -> Result<Arc<dyn TableProvider>> {
        let folder = run_key(&buffer.id)?;
        self.verify(&folder, &buffer.manifest).await?;
        let connector = self.files.connector(&folder)?;
        let request = ExtractRequest::new(Dataset::Path("part-*.parquet".into()));
        let extractor = connector.extractor(&request).await;
        let doing = || format!("reading the buffer {}", self.files.shown(&folder));
        Ok(extractor.map_err(|e| e.context(doing()))?.provider())
    }

    async fn mark_loaded(&self, id: &BufferId) -> Result<()> {
        self.files.publish(&format!("{}/{LOADED}", run_key(id)?), b"").await
    }

    async fn cleanup(&self, id: &BufferId) -> Result<()> {
        let folder = run_key(id)?;
        // The manifest goes first: a removal that is cut short must not leave a buffer that looks committed.
        self.files.remove(&format!("{folder}/{MANIFEST}")).await?;
        fault::point("buffer.cleanup.step");
        self.files.remove_folder(&folder).await?;
        fault::point("buffer.cleanup.step");
        Ok(())
    }

    async fn sweep(&self, pipeline: &str, stream: &str, grace: Duration) -> Result<Vec<BufferId>> {
        let grace = TimeDelta::from_std(grace).unwrap_or(TimeDelta::MAX);
        let mut swept = Vec::new();
        for entry in self.entries(pipeline, stream).await? {
            let old = entry.changed.is_some_and(|changed| Utc::now().signed_duration_since(changed) >= grace);
            if entry.state == State::Uncommitted && old {
                self.cleanup(&entry.id).await?;
                swept.push(entry.id);
            }
        }
        Ok(swept)
    }

    async fn lock(
        &self,
        pipeline: &str,
        stream: &str,
        holder: &Holder,
        mode: LockMode,
    ) -> Result<Option<Box<dyn Guard>>> {
        stream_key(pipeline, stream)?;
        // No stream's id begins with a dot, so that no stream's folder is called so.
        let key = format!("{pipeline}/.{stream}.lock");
        lock::take(self.files.as_ref(), &key, &format!("{pipeline}.{stream}"), holder, mode).await.map(Some)
    }
}

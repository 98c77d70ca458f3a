//! Buffers as Parquet files in a local folder: `<location>/<pipeline>/<stream>/<run id>/part-N.parquet`, and
//! `manifest.json`, which is written aside, synced and renamed into place last.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::file::properties::WriterProperties;

use super::{Buffer, BufferId, Committed, Header, Manifest, Part};
use crate::connector::file::parquet::properties;
use crate::connector::file::{FileConnector, logical};
use crate::connector::{Connector, Dataset, ExtractRequest, Load, LoadCounts};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::Compression;

const MANIFEST: &str = "manifest.json";
const LOADED: &str = "loaded";
/// A part is closed at this size, so that a damaged or half-written one costs little, and reading can go in parallel.
const PART_BYTES: u64 = 1 << 30;
/// Encoded bytes of a row group in memory before it is flushed.
const GROUP_BYTES: usize = 8 << 20;
const GROUP_ROWS: usize = 1 << 20;

/// Buffers below one local folder.
#[derive(Debug)]
pub struct ParquetBuffer {
    location: PathBuf,
    compression: Compression,
}

impl ParquetBuffer {
    /// Buffers below `location`, which is made when it is needed.
    pub fn new(location: impl Into<PathBuf>, compression: Compression) -> Self {
        Self { location: location.into(), compression }
    }

    fn stream_folder(&self, pipeline: &str, stream: &str) -> PathBuf {
        self.location.join(pipeline).join(stream)
    }

    fn folder(&self, id: &BufferId) -> PathBuf {
        self.stream_folder(&id.pipeline, &id.stream).join(&id.run_id)
    }

    fn properties(&self) -> WriterProperties {
        properties(self.compression).set_max_row_group_row_count(Some(GROUP_ROWS)).build()
    }
}

fn wrong(doing: &str, path: &Path) -> impl FnOnce() -> String {
    let text = format!("{doing} {}", path.display());
    move || text
}

/// Syncs a folder, so that a new or renamed file in it outlives a crash of the machine.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Publishes a file at once: written aside, synced, renamed.
fn publish(path: &Path, text: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("tmp");
    let mut file = File::create(&aside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_folder(path.parent().unwrap_or(path))
}

struct Writing {
    folder: PathBuf,
    header: Header,
    properties: WriterProperties,
    open: Option<ArrowWriter<File>>,
    parts: Vec<Part>,
    committed: bool,
}

impl Writing {
    fn part_name(&self) -> String {
        format!("part-{:05}.parquet", self.parts.len())
    }

    fn open_part(&mut self) -> Result<&mut ArrowWriter<File>> {
        if self.open.is_none() {
            let path = self.folder.join(self.part_name());
            let file = File::create_new(&path).during(ErrorKind::Buffer, wrong("creating", &path))?;
            let writer = logical::parquet_writer(file, &self.header.schema, self.properties.clone())
                .during(ErrorKind::Buffer, wrong("writing", &path))?;
            self.open = Some(writer);
        }
        self.open.as_mut().ok_or_else(|| Error::new(ErrorKind::Buffer, "no part is open"))
    }

    fn close_part(&mut self) -> Result<()> {
        let Some(mut writer) = self.open.take() else { return Ok(()) };
        let path = self.folder.join(self.part_name());
        let doing = || wrong("writing", &path);
        let rows = writer.finish().during(ErrorKind::Buffer, doing())?.file_metadata().num_rows();
        let file = writer.inner();
        file.sync_all().during(ErrorKind::Buffer, doing())?;
        let bytes = file.metadata().during(ErrorKind::Buffer, doing())?.len();
        self.parts.push(Part { file: self.part_name(), rows: rows.unsigned_abs(), bytes });
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !self.committed {
            // Rolled back, or dropped in flight. What stays after a kill has no manifest and does not count.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

#[async_trait]
impl Load for Writing {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let path = self.folder.clone();
        let schema = self.header.schema.to_file_arrow();
        let batch = logical::labelled(&batch, &schema).during(ErrorKind::Buffer, wrong("writing", &path))?;
        let writer = self.open_part()?;
        writer.write(&batch).during(ErrorKind::Buffer, wrong("writing", &path))?;
        if writer.in_progress_size() >= GROUP_BYTES {
            writer.flush().during(ErrorKind::Buffer, wrong("writing", &path))?;
        }
        if writer.bytes_written() as u64 >= PART_BYTES {
            self.close_part()?;
        }
        Ok(())
    }

    async fn seal(&mut self) -> Result<LoadCounts> {
        // An empty buffer has one empty part, so that it can be read like any other.
        if self.parts.is_empty() {
            self.open_part()?;
        }
        self.close_part()?;
        let staged = self.parts.iter().map(|p| p.rows).sum();
        let bytes = self.parts.iter().map(|p| p.bytes).sum();
        Ok(LoadCounts { staged, inserted: staged, bytes, ..LoadCounts::default() })
    }

    async fn commit(mut self: Box<Self>) -> Result<()> {
        let manifest = Manifest::new(self.header.clone(), self.parts.clone());
        let path = self.folder.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).during(ErrorKind::Buffer, wrong("writing", &path))?;
        sync_folder(&self.folder).during(ErrorKind::Buffer, wrong("writing", &path))?;
        publish(&path, &text).during(ErrorKind::Buffer, wrong("writing", &path))?;
        self.committed = true;
        // The folders of the run, the stream and the pipeline are names in the ones above them.
        for folder in self.folder.ancestors().skip(1).take(3).filter(|f| *f != Path::new("")) {
            sync_folder(folder).during(ErrorKind::Buffer, wrong("writing", folder))?;
        }
        Ok(())
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Buffer for ParquetBuffer {
    async fn begin(&self, id: &BufferId, header: &Header) -> Result<Box<dyn Load>> {
        let folder = self.folder(id);
        let doing = || wrong("creating the buffer's folder", &folder);
        let hint = "check `buffer: {location: …}` and the folder's rights";
        fs::create_dir_all(folder.parent().unwrap_or(&folder))
            .and_then(|()| fs::create_dir(&folder))
            .during(ErrorKind::Buffer, doing())
            .map_err(|e| e.or_hint(hint))?;
        let properties = self.properties();
        Ok(Box::new(Writing {
            folder,
            header: header.clone(),
            properties,
            open: None,
            parts: Vec::new(),
            committed: false,
        }))
    }

    async fn committed(&self, pipeline: &str, stream: &str) -> Result<Vec<Committed>> {
        let folder = self.stream_folder(pipeline, stream);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e).during(ErrorKind::Buffer, wrong("reading", &folder)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.during(ErrorKind::Buffer, wrong("reading", &folder))?;
            let path = entry.path().join(MANIFEST);
            let text = match fs::read(&path) {
                Ok(text) => text,
                // Not committed, or no buffer at all.
                Err(_) if !path.exists() => continue,
                Err(e) => return Err(e).during(ErrorKind::Buffer, wrong("reading", &path)),
            };
            let manifest: Manifest =
                serde_json::from_slice(&text).during(ErrorKind::Buffer, wrong("reading", &path))?;
            if manifest.format != Manifest::FORMAT {
                let text = format!("{} has format {} of dxt {}", path.display(), manifest.format, manifest.dxt);
                return Err(Error::new(ErrorKind::Buffer, text).with_hint("load it with the dxt that wrote it"));
            }
            let run_id = entry.file_name().to_string_lossy().into_owned();
            let loaded = entry.path().join(LOADED).exists();
            found.push(Committed { id: BufferId::new(pipeline, stream, &run_id), manifest, loaded });
        }
        found.sort_by(|a, b| b.id.run_id.cmp(&a.id.run_id));
        Ok(found)
    }

    async fn read(&self, buffer: &Committed) -> Result<Arc<dyn TableProvider>> {
        let folder = self.folder(&buffer.id);
        for part in &buffer.manifest.parts {
            let path = folder.join(&part.file);
            let size = fs::metadata(&path).during(ErrorKind::Buffer, wrong("reading", &path))?.len();
            if size != part.bytes {
                let text = format!("{} has {size} bytes, and had {} when it was committed", path.display(), part.bytes);
                return Err(Error::new(ErrorKind::Buffer, text).with_hint("extract again: the buffer is damaged"));
            }
        }
        let connector = FileConnector::local("buffer", &folder)?;
        let request = ExtractRequest::new(Dataset::Path("part-*.parquet".into()));
        let extractor = connector.extractor(&request).await;
        Ok(extractor.map_err(|e| e.context(format!("reading the buffer {}", folder.display())))?.provider())
    }

    async fn mark_loaded(&self, id: &BufferId) -> Result<()> {
        let path = self.folder(id).join(LOADED);
        publish(&path, b"").during(ErrorKind::Buffer, wrong("writing", &path))
    }

    async fn cleanup(&self, id: &BufferId) -> Result<()> {
        let folder = self.folder(id);
        // The manifest goes first: a removal that is cut short must not leave a buffer that looks committed.
        for path in [folder.join(MANIFEST), folder.clone()] {
            let gone = if path == folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            match gone {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(e).during(ErrorKind::Buffer, wrong("removing", &path));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

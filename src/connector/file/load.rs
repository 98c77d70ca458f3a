//! One load of a file or a part: encoded, staged, then published in one step or not at all.

use std::path::PathBuf;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::common::ScalarValue;

use super::encode::Encoder;
use super::folder::LocalFolder;
use super::sink::FileLoader;
use super::staged::Staged;
use crate::connector::{Load, LoadCounts, LoadSpec, Loader, StagedRows, filled_meanwhile};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::fault;
use crate::model::{DxtSchema, LoadMode};

/// How what is staged becomes visible.
pub enum Publish {
    /// In the place of this local file.
    File(PathBuf),
    /// As a new file of a local folder, under the first name that is free.
    Part { dir: PathBuf, names: Vec<String> },
    /// As the one file of a folder that is exchanged with another.
    Folder { folder: LocalFolder, target: PathBuf, name: String },
    /// In the place of an object.
    Object,
    /// As an object that is not there yet.
    NewObject,
}

/// One load of a file or a part.
pub struct FileLoad {
    /// `None` once the file is ended.
    encoder: Option<Encoder>,
    // Before the folder that it is in: fields are dropped in this order.
    staged: Staged,
    publish: Publish,
    counts: LoadCounts,
    sealed: bool,
    schema: DxtSchema,
    expected: Option<(String, Option<ScalarValue>)>,
    expect_empty: bool,
    loader: FileLoader,
    /// Where the rows will be asked for.
    reread: Option<LoadSpec>,
}

impl FileLoad {
    /// A load of `spec` by `loader`, staged and published so.
    pub fn new(loader: FileLoader, spec: &LoadSpec, encoder: Encoder, staged: Staged, publish: Publish) -> Self {
        let expected = match (&spec.watermark, &spec.expected_watermark, spec.mode) {
            (Some(column), Some(value), LoadMode::Append) => Some((column.clone(), value.clone())),
            _ => None,
        };
        let (schema, counts) = (spec.schema.clone(), LoadCounts::default());
        let expect_empty = spec.expect_empty;
        let reread = spec.reread.then(|| spec.clone());
        Self {
            encoder: Some(encoder),
            staged,
            publish,
            counts,
            sealed: false,
            schema,
            expected,
            expect_empty,
            loader,
            reread,
        }
    }

    async fn stage(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.counts.bytes += bytes.len() as u64;
        self.staged.write(&bytes).await
    }

    /// Ends the file, which is staged then.
    async fn end_file(&mut self) -> Result<()> {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        let bytes = encoder.finish().map_err(|e| e.context(format!("writing {}", self.loader.label())))?;
        self.stage(bytes).await?;
        fault::point("file.staged");
        self.staged.seal().await?;
        fault::point("file.sealed");
        Ok(())
    }

    // By `&mut`: an encoder may go to another thread, but not be shared with one.
    async fn check_watermark(&mut self) -> Result<()> {
        let Some((column, expected)) = &self.expected else { return Ok(()) };
        let now = self.loader.watermark(column).await?;
        if now == *expected {
            return Ok(());
        }
        let shown = |value: &Option<ScalarValue>| value.as_ref().map_or("none".to_string(), ToString::to_string);
        Err(Error::new(
            ErrorKind::Loader,
            format!(
                "the watermark of {} has moved from {} to {} since the extract",
                self.loader.label(),
                shown(expected),
                shown(&now)
            ),
        )
        .with_hint("another load was faster: run it again"))
    }
}

#[async_trait]
impl Load for FileLoad {
    async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let wanted = self.schema.to_arrow();
        let fits = batch.num_columns() == wanted.fields().len()
            && batch.columns().iter().zip(wanted.fields()).all(|(c, f)| c.data_type() == f.data_type());
        let label = self.loader.label().to_string();
        let encoder = match &mut self.encoder {
            Some(encoder) if fits => encoder,
            Some(_) => {
                return Err(Error::new(ErrorKind::Pipeline, format!("{label}: a batch has not the load's columns")));
            }
            None => return Err(Error::new(ErrorKind::Pipeline, format!("{label}: the load is sealed"))),
        };
        let bytes = encoder.write(&batch).map_err(|e| e.context(format!("writing {label}")))?;
        self.counts.staged += batch.num_rows() as u64;
        fault::point("file.write");
        self.stage(bytes).await
    }

    async fn staged(&mut self) -> Result<Option<StagedRows<'_>>> {
        self.end_file().await?;
        match (&self.staged, &self.reread) {
            (Staged::Local(file), Some(spec)) => self.loader.reread(file.path(), spec).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn seal(&mut self) -> Result<LoadCounts> {
        if !self.sealed {
            self.end_file().await?;
            self.check_watermark().await?;
            if self.expect_empty && self.loader.has_rows().await? {
                return Err(filled_meanwhile().context(self.loader.label().to_string()));
            }
            self.counts.inserted = self.counts.staged;
            self.sealed = true;
        }
        Ok(self.counts)
    }

    async fn commit(self: Box<Self>) -> Result<()> {
        if !self.sealed {
            return Err(Error::new(ErrorKind::Pipeline, format!("{} is not sealed", self.loader.label())));
        }
        fault::point("file.commit.before");
        let Self { staged, publish, loader, .. } = *self;
        match (staged, publish) {
            (Staged::Local(file), publish) => {
                // In the background, where a caller that goes away cannot stop it half-way.
                let done = tokio::task::spawn_blocking(move || match publish {
                    Publish::File(target) => file.replace(&target),
                    Publish::Part { dir, names } => file.publish_new(&dir, names.into_iter()),
                    Publish::Folder { folder, target, name } => {
                        loader.only_parts()?;
                        file.publish_new(folder.path(), std::iter::once(name))?;
                        folder.replace(&target)
                    }
                    Publish::Object | Publish::NewObject => Ok(()),
                });
                done.await.during(ErrorKind::Loader, || "publishing".into())?
            }
            (Staged::Remote(upload), publish) => upload.publish(matches!(publish, Publish::NewObject)).await,
        }
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.staged.abort().await;
        Ok(())
    }
}

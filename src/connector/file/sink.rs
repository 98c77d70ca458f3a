//! A file or folder as a target: what it takes, and one load of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use super::encode::Encoder;
use super::folder::LocalFolder;
use super::format::{Codec, FileOptions, Format, by_name};
use super::listing::{join, walk};
use super::load::{FileLoad, Publish};
use super::location::{Location, What, parent_dir};
use super::source::{FileTable, Look};
use super::staged::{LocalFile, Staged, safe};
use super::store::StoreKind;
use super::types::{FileTypes, stored};
use super::upload::Upload;
use crate::connector::{Dataset, ExtractRequest, Extractor, Load, LoadSpec, Loader, StagedRows, TypeMapper};
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::{DxtField, DxtSchema, LoadMode, Options};

/// A file or folder to write to.
///
/// A file is replaced as a whole: nothing in the old one has to fit the new, so that it has no existing schema. A folder
/// holds parts; appending adds one and touches none. Nobody can lock files: the watermark is asked again when a load is
/// sealed, and two appends in the moment between that and the commit both win.
#[derive(Debug, Clone)]
pub struct FileLoader {
    label: String,
    location: Location,
    given: Options,
    format: Format,
    existing: Option<DxtSchema>,
    /// Whether the folder is the connection's own, or holds it.
    whole: bool,
}

fn refused(message: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::new(ErrorKind::Loader, message).with_hint(hint)
}

/// Checks that a local file may be put in the place of what is there: another file, or nothing. `folder` is the way out
/// where it is a folder.
///
/// # Errors
/// Loader: it is a folder, or a device or pipe, whose place a file would take.
pub(super) fn check_replaceable(path: &Path, folder: &str) -> Result<()> {
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(refused(format!("{} is a folder", path.display()), folder)),
        Ok(there) if !there.is_file() => Err(refused(
            format!("{} is no file, and one would take its place", path.display()),
            "name a file; `dxt query` writes to stdout without --output, which a shell sends anywhere",
        )),
        _ => Ok(()),
    }
}

impl FileLoader {
    /// Looks at a target. `whole` says that it is the connection's own folder, or holds it.
    ///
    /// # Errors
    /// Loader: nothing can be written there. Configuration: an option is wrong. Schema, extractor: the folder's parts
    /// cannot be read.
    pub async fn look(
        label: String,
        mut location: Location,
        given: &Options,
        default: Option<Format>,
        whole: bool,
    ) -> Result<Self> {
        if location.store.kind == StoreKind::Http {
            return Err(refused(
                format!("{label}: a web server cannot be written to"),
                "write to a folder or a bucket",
            ));
        }
        if let What::Glob { pattern, literal } = &location.what {
            if pattern.contains(['*', '?']) {
                return Err(refused(format!("{label}: a pattern is no target"), "name one file, or a folder as `x/`"));
            }
            (location.key, location.what) = (literal.clone(), What::File);
        }
        let options = FileOptions::read(&[given], &format!("options of {label}"))?;
        let mut loader = Self { label, location, given: given.clone(), format: Format::Parquet, existing: None, whole };
        match loader.location.what {
            What::File => {
                let named = by_name(&loader.location.key).map(|n| n.format);
                loader.format = options.format.or(named).or(default).ok_or_else(|| {
                    refused(
                        format!("{}: its name does not say its format", loader.label),
                        "end it with .parquet, .csv, .jsonl or .arrow; or with `/` for a folder of parts",
                    )
                })?;
                let path = loader.location.store.fs_path(&loader.location.key);
                if loader.location.store.is_local() {
                    check_replaceable(&path, "end the path with `/` to write a part")?;
                }
            }
            _ => {
                let path = loader.location.store.fs_path(&loader.location.key);
                if loader.location.store.is_local() && path.exists() && !path.is_dir() {
                    return Err(refused(format!("{} is not a folder", path.display()), "leave out the `/` at its end"));
                }
                let table = loader.table(&options, default, true).await?;
                let found = table.as_ref().map(FileTable::format);
                loader.format = options.format.or(found).or(default).unwrap_or(Format::Parquet);
                let schema = table.map(|t| Extractor::schema(&t).clone());
                loader.existing = schema.filter(|s| !s.fields.is_empty());
            }
        }
        options.fit(loader.format)?;
        Ok(loader)
    }

    /// The target for people.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What is at the target now; `None` where nothing is. Without `infer` the types of CSV are all string.
    async fn table(&self, options: &FileOptions, default: Option<Format>, infer: bool) -> Result<Option<FileTable>> {
        let options = options.by_suffix();
        let look = Look {
            label: self.label.clone(),
            options: &options,
            format: default,
            declared: &[],
            infer,
            batch_size: ExtractRequest::new(Dataset::Path(String::new())).batch_size,
        };
        FileTable::look(&self.location, &look).await
    }

    async fn present(&self, infer: bool) -> Result<Option<FileTable>> {
        let options = FileOptions::read(&[&self.given], &format!("options of {}", self.label))?;
        // The old file may be of another format than its name says now only if it was written otherwise.
        self.table(&options, Some(self.format), infer).await
    }

    fn is_folder(&self) -> bool {
        self.location.what != What::File
    }

    /// The target's options with those of the load over them.
    fn options(&self, spec: &LoadSpec) -> Result<FileOptions> {
        let options = FileOptions::read(&[&self.given, &spec.options], &format!("options of {}", self.label))?;
        options.fit(self.format)?;
        match options.format {
            Some(format) if format != self.format => Err(Error::new(
                ErrorKind::Configuration,
                format!(
                    "{} is written as {}, and the load asks for {}",
                    self.label,
                    self.format.as_str(),
                    format.as_str()
                ),
            )
            .with_hint("say the format once, in the target's options")),
            _ => Ok(options),
        }
    }

    /// The name of a part of this load, `nth` of that name.
    fn part(&self, options: &FileOptions, run_id: &str, nth: usize) -> Result<String> {
        let codec = if self.format.is_text() { options.codec("")? } else { Codec::None };
        let tabs = self.format == Format::Csv && options.dialect("")?.delimiter == b'\t';
        let extension = if tabs { "tsv" } else { self.format.extension() };
        let again = if nth > 1 { format!("-{nth}") } else { String::new() };
        Ok(format!("part-{}{again}.{extension}{}", safe(run_id), codec.suffix()))
    }

    /// Checks that a folder holds nothing but parts of this format: a replacement would remove it.
    ///
    /// # Errors
    /// Loader: it holds something else, which the error names.
    pub fn only_parts(&self) -> Result<()> {
        let dir = self.location.store.fs_path(&self.location.key);
        let stray = walk(&dir)?.into_iter().find(|name| {
            let last = name.rsplit('/').next().unwrap_or(name);
            let part = by_name(name).is_some_and(|n| n.format == self.format);
            !part && last != "_SUCCESS" && !(last.starts_with('.') && last.contains(".dxt-"))
        });
        match stray {
            Some(name) => Err(refused(
                format!("{} holds {name}, which a replacement would remove", dir.display()),
                format!("move it away, or give the {} parts a folder of their own", self.format.as_str()),
            )),
            None => Ok(()),
        }
    }

    /// The rows of a file that a load has staged, read as they will be.
    ///
    /// # Errors
    /// Extractor: the file cannot be read.
    pub async fn reread(&self, path: &Path, spec: &LoadSpec) -> Result<StagedRows<'static>> {
        let doing = || format!("reading back what is staged for {}", self.label);
        let name = if self.is_folder() { "" } else { self.location.key.as_str() };
        let options = self.options(spec)?.outright(self.format, name)?;
        let key = path.to_str().unwrap_or_default().trim_start_matches('/').to_string();
        let location = Location { store: self.location.store.clone(), key, what: What::File };
        let fields = spec.schema.fields.iter();
        let declared: Vec<_> = fields.map(|field| (field.name.clone(), field.dtype.clone())).collect();
        let look = Look {
            label: self.label.clone(),
            options: &options,
            format: Some(self.format),
            declared: &declared,
            infer: false,
            batch_size: ExtractRequest::new(Dataset::Path(String::new())).batch_size,
        };
        let Some(table) = FileTable::look(&location, &look).await.map_err(|e| e.context(doing()))? else {
            return Err(Error::new(ErrorKind::Loader, doing() + ": the file is gone"));
        };
        let frame = SessionContext::new().read_table(Arc::new(table)).during(ErrorKind::Loader, doing)?;
        let rows = frame.execute_stream().await.during(ErrorKind::Loader, doing)?;
        Ok(rows.map_err(Error::from).boxed())
    }

    fn check_schema(&self, spec: &LoadSpec) -> Result<()> {
        let fields = &spec.schema.fields;
        if fields.is_empty() {
            return Err(Error::new(ErrorKind::Schema, format!("{}: a file needs at least one column", self.label)));
        }
        for (index, field) in fields.iter().enumerate() {
            if field.name.is_empty() || fields[..index].iter().any(|f| f.name == field.name) {
                let message = format!("{}: the column name `{}` is empty or there twice", self.label, field.name);
                return Err(Error::new(ErrorKind::Schema, message).with_hint("name the field's target otherwise"));
            }
            let held = stored(&field.dtype, self.format).map_err(|e| e.context(format!("column {}", field.name)))?;
            if held != field.dtype {
                return Err(Error::new(
                    ErrorKind::TypeMapping,
                    format!("{}: column {} is held as {held}, not {}", self.label, field.name, field.dtype),
                ));
            }
        }
        let (Some(existing), LoadMode::Append) = (&self.existing, spec.mode) else { return Ok(()) };
        if self.format == Format::Csv && existing.names() != spec.schema.names() {
            return Err(Error::new(ErrorKind::Schema, format!("{}: its parts have other columns", self.label))
                .with_hint(format!("its parts have, in this order: {}", existing.names().join(", "))));
        }
        for field in fields {
            match existing.field(&field.name) {
                None => {
                    return Err(Error::new(
                        ErrorKind::Schema,
                        format!("{}: its parts have no column {}", self.label, field.name),
                    )
                    .with_hint(format!("its parts have: {}", existing.names().join(", "))));
                }
                // The types of text are inferred, from what was there up to now.
                Some(known) if !self.format.is_text() && known.dtype != field.dtype => {
                    return Err(Error::new(
                        ErrorKind::Schema,
                        format!(
                            "{}: column {} is {} in its parts, and {} here",
                            self.label, field.name, known.dtype, field.dtype
                        ),
                    )
                    .with_hint(format!("declare the field as {}, or write to a new folder", known.dtype)));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Where the file itself is, behind a symbolic link perhaps.
    fn real_path(&self) -> PathBuf {
        let path = self.location.store.fs_path(&self.location.key);
        std::fs::canonicalize(&path).unwrap_or(path)
    }
}

#[async_trait]
impl Loader for FileLoader {
    fn target(&self) -> String {
        self.label.clone()
    }

    fn existing(&self) -> Option<&DxtSchema> {
        self.existing.as_ref()
    }

    fn keeps_types(&self) -> bool {
        !self.format.is_text()
    }

    fn stored(&self, field: &DxtField, declared: Option<&str>) -> Result<DxtField> {
        let asked = match declared {
            Some(native) => FileTypes.from_native(native)?,
            None => field.dtype.clone(),
        };
        let dtype = stored(&asked, self.format).map_err(|e| e.context(format!("column {}", field.name)))?;
        // A text file cannot say that a column is never NULL.
        Ok(DxtField::new(&field.name, dtype).nullable(field.nullable || self.format.is_text()))
    }

    fn check(&self, spec: &LoadSpec) -> Result<()> {
        let label = &self.label;
        match (spec.mode, self.is_folder()) {
            (LoadMode::Upsert, _) => {
                return Err(refused(
                    format!("{label}: files cannot be upserted"),
                    "replace the file, or append to a folder `x/` and keep the newest rows in a query",
                ));
            }
            (LoadMode::Append, false) => {
                return Err(refused(
                    format!("{label} is one file, and appending needs a folder of parts"),
                    "end the path with `/`, or use `load: {mode: replace}`",
                ));
            }
            (LoadMode::Replace, true) if !self.location.store.is_local() => {
                return Err(refused(
                    format!("{label}: many objects cannot be replaced in one step"),
                    "write one file such as `x.parquet`, or append to a new folder",
                ));
            }
            (LoadMode::Replace, true) if self.whole => {
                return Err(refused(
                    format!("{label} is the connection's own folder, which is not replaced as a whole"),
                    "write to a folder within it, such as `out/`",
                ));
            }
            _ => {}
        }
        let options = self.options(spec)?;
        match self.format {
            Format::Parquet => drop(options.page_compression()?),
            Format::Ipc => drop(options.buffer_compression()?),
            Format::Csv | Format::Json => {
                let codec = options.codec(&self.location.key)?;
                let named = FileOptions::default().codec(&self.location.key)?;
                if !self.is_folder() && codec != named {
                    let hint = format!("end its name with {} instead of the option", codec.suffix());
                    let hint = if codec == Codec::None { "leave the suffix out".to_string() } else { hint };
                    let message = format!("{label}: its suffix says another compression than the options");
                    return Err(Error::new(ErrorKind::Configuration, message).with_hint(hint));
                }
                if !options.dialect(&self.location.key)?.header {
                    let message = format!("{label}: CSV is written with a header");
                    return Err(Error::new(ErrorKind::Configuration, message).with_hint("leave out `header: false`"));
                }
            }
        }
        self.check_schema(spec)
    }

    fn statements(&self, spec: &LoadSpec) -> Vec<String> {
        let (shown, format) = (self.location.shown(), self.format.as_str());
        match (spec.mode, self.is_folder()) {
            (LoadMode::Append, true) => {
                let part = self.options(spec).and_then(|o| self.part(&o, &spec.run_id, 1)).unwrap_or_default();
                vec![format!("write a hidden file ({format})"), format!("publish it as {shown}{part}")]
            }
            (_, true) => vec![format!("write a hidden folder ({format})"), format!("exchange it with {shown}")],
            (_, false) => vec![format!("write a hidden file ({format})"), format!("publish it as {shown}")],
        }
    }

    fn rereads(&self, _spec: &LoadSpec) -> bool {
        // An object cannot be read before it is published.
        self.location.store.is_local()
    }

    async fn has_rows(&self) -> Result<bool> {
        match self.present(false).await? {
            Some(table) => table.has_rows().await,
            None => Ok(false),
        }
    }

    async fn watermark(&self, column: &str) -> Result<Option<ScalarValue>> {
        match self.present(true).await? {
            Some(table) if Extractor::schema(&table).fields.is_empty() => Ok(None),
            Some(table) => table.greatest(column).await,
            None => Ok(None),
        }
    }

    async fn begin(&self, spec: &LoadSpec) -> Result<Box<dyn Load>> {
        self.check(spec)?;
        let (store, key, options) = (&self.location.store, &self.location.key, self.options(spec)?);
        let (staged, publish, name) = match (self.is_folder(), store.is_local(), spec.mode) {
            (false, true, _) => {
                let target = self.real_path();
                let name = target.file_name().and_then(|n| n.to_str()).unwrap_or("file").to_string();
                let dir = target.parent().map_or_else(|| parent_dir(store, key), PathBuf::from);
                let file = LocalFile::create(&dir, &name, &spec.run_id).await?;
                (Staged::Local(file), Publish::File(target), key.clone())
            }
            (false, false, _) => (Staged::Remote(Upload::new(store, store.path(key)?)), Publish::Object, key.clone()),
            (true, true, LoadMode::Replace) => {
                self.only_parts()?;
                let name = self.part(&options, &spec.run_id, 1)?;
                let target = self.real_path();
                let folder = LocalFolder::create(&target, &spec.run_id)?;
                let file = LocalFile::create(folder.path(), &name, &spec.run_id).await?;
                (Staged::Local(file), Publish::Folder { folder, target, name: name.clone() }, name)
            }
            (true, true, _) => {
                let (dir, name) = (store.fs_path(key), self.part(&options, &spec.run_id, 1)?);
                let file = LocalFile::create(&dir, &name, &spec.run_id).await?;
                let names = (1..100).map(|nth| self.part(&options, &spec.run_id, nth));
                let names = names.collect::<Result<Vec<_>>>()?;
                (Staged::Local(file), Publish::Part { dir, names }, name)
            }
            (true, false, _) => {
                let mut nth = 1;
                let (path, name) = loop {
                    let name = self.part(&options, &spec.run_id, nth)?;
                    let path = store.path(&join(key, &name))?;
                    match object_store::ObjectStoreExt::head(&store.object, &path).await {
                        Ok(_) => nth += 1,
                        Err(object_store::Error::NotFound { .. }) => break (path, name),
                        Err(e) => return Err(e).during(ErrorKind::Loader, || format!("looking at {}", self.label)),
                    }
                };
                (Staged::Remote(Upload::new(store, path)), Publish::NewObject, name)
            }
        };
        let encoder = Encoder::new(self.format, &options, &name, &spec.schema)?;
        Ok(Box::new(FileLoad::new(self.clone(), spec, encoder, staged, publish)))
    }
}

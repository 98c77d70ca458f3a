//! Which format a file has, and the options that say how it is read and written.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{Compression, OptionReader, Options};

/// A file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    Parquet,
    Csv,
    /// One JSON object a line.
    Json,
    /// Arrow IPC, the file form (also known as Feather 2); the stream form is read too.
    Ipc,
}

/// Every extension with its format, the one that dxt writes first.
const EXTENSIONS: [(&str, Format); 9] = [
    ("parquet", Format::Parquet),
    ("csv", Format::Csv),
    ("jsonl", Format::Json),
    ("arrow", Format::Ipc),
    ("tsv", Format::Csv),
    ("json", Format::Json),
    ("ndjson", Format::Json),
    ("ipc", Format::Ipc),
    ("feather", Format::Ipc),
];

impl Format {
    /// The format as it is named in options and listings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ipc => "arrow",
        }
    }

    /// The format with this name or extension, whatever its case.
    pub fn parse(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        EXTENSIONS.iter().find(|(e, _)| *e == word).map(|(_, f)| *f)
    }

    /// The extension of parts that dxt writes.
    pub fn extension(self) -> &'static str {
        EXTENSIONS.iter().find(|(_, f)| *f == self).map(|(e, _)| *e).unwrap_or_default()
    }

    /// Whether a file of it is text, which may be compressed as a whole and whose types are inferred.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Json)
    }
}

/// How a text file is compressed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    None,
    Gzip,
    Zstd,
}

impl Codec {
    /// The suffix behind the format's extension.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }
}

/// What a file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// The format by the extension.
    pub format: Format,
    /// The compression by the suffix.
    pub codec: Codec,
    /// Whether fields are parted by tabs.
    pub tabs: bool,
}

/// What a file's name says of its format; `None` where the extension is not one of dxt's.
pub fn by_name(path: &str) -> Option<Named> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = name.to_ascii_lowercase();
    let codec = [Codec::Gzip, Codec::Zstd].into_iter().find(|c| lower.ends_with(c.suffix())).unwrap_or(Codec::None);
    let stem = &lower[..lower.len() - codec.suffix().len()];
    let (before, extension) = stem.rsplit_once('.')?;
    if before.is_empty() {
        return None;
    }
    let format = Format::parse(extension)?;
    let codec = if format.is_text() { codec } else { Codec::None };
    (format.is_text() || stem.len() == lower.len()).then_some(Named { format, codec, tabs: extension == "tsv" })
}

/// How CSV is written down. The same holds for reading and writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// Whether the first record names the columns. Files that dxt writes always have one.
    pub header: bool,
    /// Between fields.
    pub delimiter: u8,
    /// Around fields; doubled within. `None`: quotes mean nothing.
    pub quote: Option<u8>,
    /// The unquoted text that stands for NULL. Where it is not empty, an empty field is empty text.
    pub null: String,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { header: true, delimiter: b',', quote: Some(b'"'), null: String::new() }
    }
}

/// The options of a file source or target, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileOptions {
    /// The format, where the extension does not say it.
    pub format: Option<Format>,
    compression: Option<String>,
    header: Option<bool>,
    delimiter: Option<u8>,
    quote: Option<String>,
    null: Option<String>,
    /// Rows per row group of a Parquet file at most.
    pub row_group_rows: Option<u64>,
    tabs_by_format: bool,
}

impl FileOptions {
    /// Reads options; those of later maps win over those of earlier ones.
    ///
    /// # Errors
    /// Configuration: an option that does not exist, or a value that is none.
    pub fn read(maps: &[&Options], whose: &str) -> Result<Self> {
        let merged: Options = maps.iter().flat_map(|m| m.iter().map(|(k, v)| (k.clone(), v.clone()))).collect();
        let mut reader = OptionReader::new(&merged, whose);
        let wrong = |message: String, hint: &str| {
            Err(Error::new(ErrorKind::Configuration, format!("{whose}: {message}")).with_hint(hint))
        };
        let mut options = Self {
            compression: reader.string("compression")?.map(|c| c.to_ascii_lowercase()),
            header: reader.bool("header")?,
            delimiter: reader.byte("delimiter")?,
            quote: reader.string("quote")?,
            null: reader.string("null")?,
            row_group_rows: reader.u64("row_group_rows")?,
            ..Self::default()
        };
        if let Some(word) = reader.string("format")? {
            options.tabs_by_format = word.eq_ignore_ascii_case("tsv");
            match Format::parse(&word) {
                Some(format) => options.format = Some(format),
                None => return wrong(format!("unknown format {word}"), "formats: parquet, csv, tsv, json, arrow"),
            }
        }
        if let Some(encoding) = reader.string("encoding")?
            && !matches!(encoding.to_ascii_lowercase().as_str(), "utf-8" | "utf8")
        {
            return wrong(format!("unknown encoding {encoding}"), "dxt reads and writes UTF-8; convert with iconv");
        }
        reader.finish()?;
        if options.row_group_rows == Some(0) {
            return wrong("row_group_rows must be at least 1".into(), "leave it out for the default");
        }
        if let Some(quote) = &options.quote
            && quote != "none"
            && !(quote.len() == 1 && quote.is_ascii())
        {
            return wrong("quote must be one ASCII character".into(), "`quote: none` takes quotes as they stand");
        }
        Ok(options)
    }

    /// The same options without a compression: files that are there say theirs by their suffix.
    pub fn by_suffix(&self) -> Self {
        Self { compression: None, ..self.clone() }
    }

    /// The same options, with all that a file's name says said outright: for a file that is not called so yet.
    ///
    /// # Errors
    /// Configuration: as for [`Self::codec`] and [`Self::dialect`].
    pub fn outright(&self, format: Format, name: &str) -> Result<Self> {
        let codec = if format.is_text() { self.codec(name)? } else { Codec::None };
        let compression = match codec {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Zstd => "zstd",
        };
        let delimiter = if format == Format::Csv { Some(self.dialect(name)?.delimiter) } else { None };
        Ok(Self { format: Some(format), compression: Some(compression.into()), delimiter, ..self.clone() })
    }

    /// Checks that no option belongs to another format than `format`.
    ///
    /// # Errors
    /// Configuration, naming the option.
    pub fn fit(&self, format: Format) -> Result<()> {
        let csv = [
            ("header", self.header.is_some()),
            ("delimiter", self.delimiter.is_some()),
            ("quote", self.quote.is_some()),
            ("null", self.null.is_some()),
        ];
        let stray = csv.iter().find(|(_, given)| *given && format != Format::Csv).map(|(name, _)| *name);
        let stray = stray.or((self.row_group_rows.is_some() && format != Format::Parquet).then_some("row_group_rows"));
        match stray {
            Some(name) => Err(Error::new(
                ErrorKind::Configuration,
                format!("option {name} does not belong to {} files", format.as_str()),
            )
            .with_hint("leave it out, or name the format with `options: {format: …}`")),
            None => Ok(()),
        }
    }

    /// How CSV of a file with this name is written down.
    ///
    /// # Errors
    /// Configuration: two of delimiter, quote and line end are the same.
    pub fn dialect(&self, path: &str) -> Result<Dialect> {
        let tabs = self.tabs_by_format || by_name(path).is_some_and(|n| n.tabs);
        let quote = match self.quote.as_deref() {
            None => Some(b'"'),
            Some("none") => None,
            Some(text) => text.bytes().next(),
        };
        let dialect = Dialect {
            header: self.header.unwrap_or(true),
            delimiter: self.delimiter.unwrap_or(if tabs { b'\t' } else { b',' }),
            quote,
            null: self.null.clone().unwrap_or_default(),
        };
        let special = |b: u8| b == b'\n' || b == b'\r';
        if Some(dialect.delimiter) == quote || special(dialect.delimiter) || quote.is_some_and(special) {
            return Err(Error::new(ErrorKind::Configuration, "delimiter, quote and line end must all differ"));
        }
        if dialect.null.bytes().any(|b| b == dialect.delimiter || Some(b) == quote || special(b)) {
            return Err(Error::new(ErrorKind::Configuration, "null may not hold the delimiter, quote or a line end"));
        }
        Ok(dialect)
    }

    /// The compression of a text file with this name; the option wins over the suffix.
    ///
    /// # Errors
    /// Configuration: there is no such compression of text.
    pub fn codec(&self, path: &str) -> Result<Codec> {
        match self.compression.as_deref() {
            None => Ok(by_suffix(path)),
            Some("none") => Ok(Codec::None),
            Some("gzip") => Ok(Codec::Gzip),
            Some("zstd") => Ok(Codec::Zstd),
            Some(other) => Err(unknown_compression(other, "gzip, zstd, none")),
        }
    }

    /// The compression of a Parquet file's pages. Where nothing is said it is snappy, which every reader has, and which
    /// costs a fraction of the time of zstd.
    ///
    /// # Errors
    /// Configuration: Parquet has no such compression here.
    pub fn page_compression(&self) -> Result<Compression> {
        match self.compression.as_deref() {
            None | Some("snappy") => Ok(Compression::Snappy),
            Some("zstd") => Ok(Compression::Zstd),
            Some("lz4") => Ok(Compression::Lz4),
            Some("none") => Ok(Compression::None),
            Some(other) => Err(unknown_compression(other, "zstd, snappy, lz4, none")),
        }
    }

    /// The compression of an Arrow file's buffers, none where nothing is said, as not every reader has it.
    ///
    /// # Errors
    /// Configuration: Arrow IPC has no such compression.
    pub fn buffer_compression(&self) -> Result<Compression> {
        match self.compression.as_deref() {
            None | Some("none") => Ok(Compression::None),
            Some("zstd") => Ok(Compression::Zstd),
            Some("lz4") => Ok(Compression::Lz4),
            Some(other) => Err(unknown_compression(other, "zstd, lz4, none")),
        }
    }
}

fn by_suffix(path: &str) -> Codec {
    let lower = path.to_ascii_lowercase();
    [Codec::Gzip, Codec::Zstd].into_iter().find(|c| lower.ends_with(c.suffix())).unwrap_or(Codec::None)
}

fn unknown_compression(word: &str, known: &str) -> Error {
    Error::new(ErrorKind::Configuration, format!("unknown compression {word}")).with_hint(format!("one of: {known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(value: serde_json::Value) -> Options {
        value.as_object().map(|m| m.iter().map(|(k, v)| (k.clone(), v.clone())).collect()).unwrap_or_default()
    }

    #[test]
    fn extension_names_format_compression_and_tabs() {
        let named = |format, codec, tabs| Some(Named { format, codec, tabs });
        assert_eq!(by_name("a/b.parquet"), named(Format::Parquet, Codec::None, false));
        assert_eq!(by_name("x.TSV.gz"), named(Format::Csv, Codec::Gzip, true));
        assert_eq!(by_name("x.ndjson.zst"), named(Format::Json, Codec::Zstd, false));
        assert_eq!(by_name("x.feather"), named(Format::Ipc, Codec::None, false));
        assert_eq!(by_name("x.parquet.gz"), None);
        assert_eq!(by_name("notes.txt"), None);
        assert_eq!(by_name(".csv"), None);
        assert_eq!(by_name("csv"), None);
    }

    #[test]
    fn later_options_win_and_unknown_ones_are_errors() {
        let (first, second) = (options(json!({"delimiter": ";", "null": "NA"})), options(json!({"delimiter": "\\t"})));
        let read = FileOptions::read(&[&first, &second], "options").unwrap();
        let dialect = read.dialect("x.csv").unwrap();
        assert_eq!((dialect.delimiter, dialect.null.as_str()), (b'\t', "NA"));
        let error = FileOptions::read(&[&options(json!({"delimeter": ";"}))], "options").unwrap_err();
        assert_eq!(error.hint(), Some("did you mean delimiter?"));
        assert!(FileOptions::read(&[&options(json!({"encoding": "latin1"}))], "options").is_err());
    }

    #[test]
    fn options_of_another_format_are_refused() {
        let read = FileOptions::read(&[&options(json!({"header": false}))], "options").unwrap();
        assert!(read.fit(Format::Csv).is_ok());
        assert!(read.fit(Format::Parquet).unwrap_err().message().contains("header"));
    }
}

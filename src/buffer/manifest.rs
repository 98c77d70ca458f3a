//! What a buffer says of itself. Written last, as JSON, beside its parts.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Fingerprint;
use super::fingerprint::without_secrets;
use crate::error::{Error, ErrorKind, Result, ResultExt};
use crate::model::DxtSchema;
use crate::plan::checksum::Sums;

/// What is known of a buffer before a row is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Its columns: field ids, DXT types, native types.
    pub schema: DxtSchema,
    /// The source for people: `shop.public.orders`.
    pub source: String,
    /// What the extract depended on.
    pub fingerprint: Fingerprint,
    /// Whether only rows past a watermark were extracted.
    pub incremental: bool,
    /// The watermark that the extract started from, as text of its column's type.
    pub watermark_from: Option<String>,
    /// Checksums of the columns, where `load: {verify: checksum}` asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sums: Option<Sums>,
}

impl Header {
    /// The header of a full extract. URLs in the source lose their users and parameters: a buffer holds no secrets.
    pub fn new(schema: DxtSchema, source: impl Into<String>) -> Self {
        Self {
            schema,
            source: without_secrets(&source.into()),
            fingerprint: Fingerprint::default(),
            incremental: false,
            watermark_from: None,
            sums: None,
        }
    }
}

/// One file of a buffer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its name within the buffer's folder.
    pub file: String,
    /// Its rows, as its writer counted them.
    pub rows: u64,
    /// Its size on disk.
    pub bytes: u64,
    /// The BLAKE3 hash of its bytes as they were written, in hex; empty for a part in memory.
    pub checksum: String,
}

/// A committed buffer's contents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub format: u32,
    /// The dxt that wrote it.
    pub dxt: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
    /// What was known before.
    #[serde(flatten)]
    pub header: Header,
    /// The greatest watermark among the rows, as text; `None` where nobody asked for it, or no row has one.
    pub watermark_to: Option<String>,
    /// Its files, in the order of their rows.
    pub parts: Vec<Part>,
    /// All rows.
    pub rows: u64,
    /// All bytes.
    pub bytes: u64,
}

/// What every format has: who may read it.
#[derive(Deserialize)]
struct Version {
    format: u32,
    #[serde(default)]
    dxt: String,
}

impl Manifest {
    /// The format that this dxt writes and reads.
    pub const FORMAT: u32 = 2;

    pub(super) fn new(header: Header, watermark_to: Option<String>, parts: Vec<Part>) -> Self {
        let rows = parts.iter().map(|p| p.rows).sum();
        let bytes = parts.iter().map(|p| p.bytes).sum();
        let (format, dxt, created_at) = (Self::FORMAT, env!("CARGO_PKG_VERSION").into(), Utc::now());
        Self { format, dxt, created_at, header, watermark_to, parts, rows, bytes }
    }

    /// Reads what [`ParquetBuffer`](super::ParquetBuffer) wrote; `shown` names the file in errors.
    ///
    /// # Errors
    /// Buffer: the text is cut or no manifest, of another format, names files that are none of a buffer's own, or its
    /// counts do not fit.
    pub(super) fn parse(text: &[u8], shown: &str) -> Result<Self> {
        let doing = || format!("reading the manifest {shown}");
        let damaged = "the buffer is damaged: remove it by `dxt buffer rm --run-id ID`, and extract again";
        let version: Version =
            serde_json::from_slice(text).during(ErrorKind::Buffer, doing).map_err(|e| e.with_hint(damaged))?;
        if version.format != Self::FORMAT {
            let text = format!("{shown} has format {} of dxt {}", version.format, version.dxt);
            return Err(Error::new(ErrorKind::Buffer, text)
                .with_hint("load it with the dxt that wrote it, or remove it by `dxt buffer rm`"));
        }
        let manifest: Self =
            serde_json::from_slice(text).during(ErrorKind::Buffer, doing).map_err(|e| e.with_hint(damaged))?;
        manifest.check().map_err(|why| {
            Error::new(ErrorKind::Buffer, format!("the manifest {shown} is damaged: {why}")).with_hint(damaged)
        })?;
        Ok(manifest)
    }

    /// Why it cannot be what dxt wrote.
    fn check(&self) -> Result<(), String> {
        for (at, part) in self.parts.iter().enumerate() {
            let expected = part_name(at);
            if part.file != expected {
                return Err(format!("its part {} is called {:?} and not {expected}", at + 1, part.file));
            }
        }
        let sum = |of: fn(&Part) -> u64| self.parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(of(part)));
        if sum(|p| p.rows) != Some(self.rows) {
            return Err(format!("the rows of its parts do not add up to {}", self.rows));
        }
        if sum(|p| p.bytes) != Some(self.bytes) {
            return Err(format!("the bytes of its parts do not add up to {}", self.bytes));
        }
        if self.parts.is_empty() {
            return Err("it has no parts".into());
        }
        Ok(())
    }
}

/// The name of a buffer's part, counted from 0.
pub(super) fn part_name(at: usize) -> String {
    format!("part-{at:05}.parquet")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DxtField, DxtType};

    fn written() -> serde_json::Value {
        let header = Header::new(DxtSchema::new(vec![DxtField::new("id", DxtType::Int64)]), "shop.orders");
        let part = |at| Part { file: part_name(at), rows: 2, bytes: 10, checksum: "00".into() };
        serde_json::to_value(Manifest::new(header, Some("7".into()), vec![part(0), part(1)])).unwrap()
    }

    fn refused(manifest: &serde_json::Value) -> String {
        let error = Manifest::parse(manifest.to_string().as_bytes(), "/b/manifest.json").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Buffer);
        error.to_string()
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let read = Manifest::parse(written().to_string().as_bytes(), "x").unwrap();
        assert_eq!((read.rows, read.bytes, read.watermark_to.as_deref()), (4, 20, Some("7")));
        assert_eq!(serde_json::to_value(&read).unwrap(), written_at(&read));
    }

    fn written_at(read: &Manifest) -> serde_json::Value {
        let mut manifest = written();
        manifest["created_at"] = serde_json::to_value(read.created_at).unwrap();
        manifest
    }

    #[test]
    fn a_cut_manifest_is_an_error_that_names_its_file_wherever_it_is_cut() {
        let text = written().to_string();
        for cut in 0..text.len() {
            let error = Manifest::parse(&text.as_bytes()[..cut], "/b/manifest.json").unwrap_err();
            assert!(error.to_string().contains("/b/manifest.json"), "{error}");
        }
    }

    #[test]
    fn parts_outside_of_the_folder_and_counts_that_do_not_fit_are_refused() {
        for name in ["../x", "/etc/passwd", "part-00001.parquet", "", "part-00000.parquet/../x", "a\0b"] {
            let mut manifest = written();
            manifest["parts"][0]["file"] = name.into();
            let said = refused(&manifest);
            assert!(said.contains("/b/manifest.json") && said.contains("part-00000.parquet"), "{said}");
        }
        for (key, said) in [("rows", "rows"), ("bytes", "bytes")] {
            let mut manifest = written();
            manifest[key] = 5.into();
            assert!(refused(&manifest).contains(said));
            let mut manifest = written();
            manifest["parts"][0][key] = u64::MAX.into();
            assert!(refused(&manifest).contains(said));
            manifest["parts"][0][key] = (-1).into();
            refused(&manifest);
        }
        let mut manifest = written();
        manifest["parts"] = serde_json::json!([]);
        (manifest["rows"], manifest["bytes"]) = (0.into(), 0.into());
        assert!(refused(&manifest).contains("no parts"));
    }

    #[test]
    fn another_format_is_refused_by_its_number_whatever_else_it_has() {
        for format in [1, 3] {
            let said = refused(&serde_json::json!({"format": format, "dxt": "0.0.7"}));
            assert!(said.contains(&format!("format {format} of dxt 0.0.7")), "{said}");
        }
    }
}

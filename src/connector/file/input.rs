//! A file's bytes in chunks of bounded size, decompressed. An end in the middle of a compressed stream is an error.

use std::io;

use bytes::Bytes;
use flate2::{Decompress, FlushDecompress, Status};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetOptions, ObjectStoreExt};
use zstd::stream::raw::{Decoder, Operation};

use super::format::Codec;
use super::listing::SourceFile;
use super::store::{Store, StoreKind};
use crate::error::{Error, ErrorKind, Result, ResultExt};

/// Bytes asked of the local disk at once.
const READ: u64 = 1 << 20;
/// Bytes asked of a bucket at once; two such pieces are in memory.
const PIECE: u64 = 8 << 20;
/// Bytes that one step of decompression gives at most.
const STEP: usize = 256 << 10;

/// The bytes of one file.
pub struct Input {
    shown: String,
    raw: BoxStream<'static, object_store::Result<Bytes>>,
    inflate: Inflate,
    pending: Bytes,
    ended: bool,
}

impl Input {
    /// Opens a file.
    ///
    /// # Errors
    /// Extractor: it is not there any more, or cannot be read.
    pub async fn open(store: &Store, file: &SourceFile, codec: Codec) -> Result<Self> {
        let shown = file.shown.to_string();
        let raw = if store.is_local() {
            // The store's own stream of a local file has chunks of a few kilobytes, each a hop to another thread.
            let (object, path, size) = (store.object.clone(), file.meta.location.clone(), file.meta.size);
            let starts = (0..size).step_by(READ as usize);
            futures::stream::iter(starts)
                .then(move |start| {
                    let (object, path) = (object.clone(), path.clone());
                    async move { object.get_range(&path, start..size.min(start + READ)).await }
                })
                .boxed()
        } else if store.kind == StoreKind::Cloud {
            // In pieces, each a request that has its time and is tried again by itself. All are of the object that was listed.
            let (object, meta) = (store.object.clone(), file.meta.clone());
            futures::stream::iter((0..meta.size).step_by(PIECE as usize))
                .map(move |start| {
                    let range = Some((start..meta.size.min(start + PIECE)).into());
                    let options = GetOptions { range, if_match: meta.e_tag.clone(), ..GetOptions::default() };
                    let (object, path) = (object.clone(), meta.location.clone());
                    async move { object.get_opts(&path, options).await?.bytes().await }
                })
                .buffered(2)
                .boxed()
        } else {
            let got = store.object.get(&file.meta.location).await;
            got.during(ErrorKind::Extractor, || shown.clone())?.into_stream()
        };
        let inflate = Inflate::new(codec).during(ErrorKind::Extractor, || shown.clone())?;
        Ok(Self { shown, raw, inflate, pending: Bytes::new(), ended: false })
    }

    /// The next bytes, never empty; `None` at the file's end.
    ///
    /// # Errors
    /// Extractor: reading fails, or the compressed stream is damaged or ends too early.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.pending.is_empty() && !self.ended && !self.inflate.has_more() {
                match self.raw.next().await {
                    Some(chunk) => self.pending = chunk.during(ErrorKind::Extractor, || self.shown.clone())?,
                    None => self.ended = true,
                }
            }
            if self.ended && !self.inflate.has_more() {
                return match self.inflate.is_complete() {
                    true => Ok(None),
                    false => Err(self
                        .damaged(io::ErrorKind::UnexpectedEof.into())
                        .with_hint("the file is cut off: fetch it again")),
                };
            }
            let chunk = self.inflate.step(&mut self.pending).map_err(|e| self.damaged(e))?;
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    fn damaged(&self, cause: io::Error) -> Error {
        let what = match cause.kind() {
            io::ErrorKind::UnexpectedEof => "ends in the middle of its compressed data",
            _ => "is not what its compression says",
        };
        Error::new(ErrorKind::Extractor, format!("{} {what}", self.shown))
            .with_source(cause)
            .with_hint("`options: {compression: …}` names another compression than the suffix; or the file is damaged")
    }
}

/// A decompressor that is pushed. Streams that follow one another in one file are one text, as gzip and zstd have it.
enum Inflate {
    Plain,
    Gzip { inner: Decompress, within: bool, full: bool },
    Zstd { inner: Decoder<'static>, within: bool, full: bool },
}

impl Inflate {
    fn new(codec: Codec) -> io::Result<Self> {
        Ok(match codec {
            Codec::None => Self::Plain,
            Codec::Gzip => Self::Gzip { inner: Decompress::new_gzip(15), within: false, full: false },
            Codec::Zstd => Self::Zstd { inner: Decoder::new()?, within: false, full: false },
        })
    }

    /// Whether the last step filled its output, so that there may be more without new input.
    fn has_more(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Gzip { full, .. } | Self::Zstd { full, .. } => *full,
        }
    }

    /// Whether the file may end here.
    fn is_complete(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Gzip { within, .. } | Self::Zstd { within, .. } => !within,
        }
    }

    /// Takes from `input` and gives at most [`STEP`] bytes.
    fn step(&mut self, input: &mut Bytes) -> io::Result<Bytes> {
        match self {
            Self::Plain => Ok(std::mem::take(input)),
            Self::Gzip { inner, within, full } => {
                if !*within {
                    if input.is_empty() {
                        *full = false;
                        return Ok(Bytes::new());
                    }
                    *inner = Decompress::new_gzip(15);
                    *within = true;
                }
                let mut out = vec![0; STEP];
                let (taken, given) = (inner.total_in(), inner.total_out());
                let status = inner.decompress(input, &mut out, FlushDecompress::None).map_err(io::Error::other)?;
                let (taken, given) = ((inner.total_in() - taken) as usize, (inner.total_out() - given) as usize);
                let _ = input.split_to(taken);
                out.truncate(given);
                *full = given == STEP;
                if status == Status::StreamEnd {
                    (*within, *full) = (false, false);
                } else if taken == 0 && given == 0 && !input.is_empty() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok(out.into())
            }
            Self::Zstd { inner, within, full } => {
                if !*within {
                    if input.is_empty() {
                        *full = false;
                        return Ok(Bytes::new());
                    }
                    inner.reinit()?;
                    *within = true;
                }
                let mut out = vec![0; STEP];
                let status = inner.run_on_buffers(input, &mut out)?;
                let _ = input.split_to(status.bytes_read);
                out.truncate(status.bytes_written);
                *full = status.bytes_written == STEP;
                if status.remaining == 0 {
                    (*within, *full) = (false, false);
                } else if status.bytes_read == 0 && status.bytes_written == 0 && !input.is_empty() {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok(out.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn inflate(codec: Codec, bytes: &[u8], chunk: usize) -> io::Result<Vec<u8>> {
        let (mut inflate, mut out) = (Inflate::new(codec)?, Vec::new());
        for part in bytes.chunks(chunk) {
            let mut input = Bytes::copy_from_slice(part);
            while !input.is_empty() || inflate.has_more() {
                let got = inflate.step(&mut input)?;
                assert!(got.len() <= STEP || codec == Codec::None);
                out.extend_from_slice(&got);
            }
        }
        if inflate.is_complete() { Ok(out) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn text() -> Vec<u8> {
        (0..200_000u32).flat_map(|i| format!("{i},{}\n", i.wrapping_mul(2_654_435_761)).into_bytes()).collect()
    }

    #[test]
    fn streams_come_back_whatever_the_chunks() {
        let text = text();
        let zeros = vec![b'0'; 5 << 20];
        for chunk in [1_000, 65_536, usize::MAX] {
            for plain in [&text, &zeros] {
                assert_eq!(&inflate(Codec::Gzip, &gzip(plain), chunk).unwrap(), plain);
                let packed = zstd::encode_all(&plain[..], 3).unwrap();
                assert_eq!(&inflate(Codec::Zstd, &packed, chunk).unwrap(), plain);
                assert_eq!(&inflate(Codec::None, plain, chunk).unwrap(), plain);
            }
        }
        assert_eq!(inflate(Codec::Gzip, &gzip(b"a,b\n1,2\n"), 1).unwrap(), b"a,b\n1,2\n");
    }

    #[test]
    fn joined_streams_are_one_text() {
        let joined = [gzip(b"one"), gzip(b"two")].concat();
        assert_eq!(inflate(Codec::Gzip, &joined, 7).unwrap(), b"onetwo");
        let joined = [zstd::encode_all(&b"one"[..], 1).unwrap(), zstd::encode_all(&b"two"[..], 1).unwrap()].concat();
        assert_eq!(inflate(Codec::Zstd, &joined, 7).unwrap(), b"onetwo");
    }

    #[test]
    fn a_cut_stream_is_an_error() {
        let text = text();
        for (codec, packed) in [(Codec::Gzip, gzip(&text)), (Codec::Zstd, zstd::encode_all(&text[..], 3).unwrap())] {
            for cut in [1, 4, 9, packed.len() / 2] {
                assert!(inflate(codec, &packed[..packed.len() - cut], 65_536).is_err(), "{codec:?} {cut}");
            }
        }
        assert!(inflate(Codec::Gzip, b"not gzip at all", 4).is_err());
        assert!(inflate(Codec::Zstd, b"not zstd at all", 4).is_err());
    }
}

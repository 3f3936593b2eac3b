//! The vectors of texts, in a file beside the index: one file for each embedder, one record for each text.
//!
//! A vector is kept as one byte for each number: only its direction counts. Records are appended; one that a power
//! loss left half-written, or that is damaged, ends the file, and what followed is embedded again. All vectors are in
//! memory while the index is open: 30 MB for 100 000 texts of 256 numbers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use muster_protocol::limits::EMBED_DIMENSIONS_MAX;
use sha2::{Digest, Sha256};

use crate::Error;

/// How the names of these files begin.
const PREFIX: &str = "vectors-";
/// How the files begin; the last letter counts their format.
const MAGIC: [u8; 8] = *b"MUSTERV1";
/// [`MAGIC`], the hash of the embedder's id, the numbers of a vector.
const HEADER_BYTES: usize = 8 + 16 + 4;
/// Before the vector of a record: the text's hash, and the checksum of hash and vector.
const RECORD_HEAD_BYTES: usize = 8 + 4;

/// A vector of length one that others are compared with.
pub(super) struct Direction(Vec<f32>);

impl Direction {
    pub(super) fn new(vector: Vec<f32>) -> Self {
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        Self(vector.into_iter().map(|number| number * scale).collect())
    }
}

/// All vectors of one embedder.
pub(super) struct Vectors {
    folder: PathBuf,
    path: PathBuf,
    embedder: [u8; 16],
    /// Numbers of each vector; 0 as long as there is none.
    dimensions: usize,
    rows: Vec<i8>,
    lengths: Vec<f32>,
    by_hash: BTreeMap<u64, u32>,
}

impl Vectors {
    /// Reads what there is of this embedder.
    pub(super) fn open(folder: &Path, embedder: &str) -> Result<Self, Error> {
        let hash = Sha256::digest(embedder.as_bytes());
        let name: String = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("{PREFIX}{name}"));
        let mut id = [0; 16];
        id.copy_from_slice(&hash[..16]);
        let mut vectors = Self {
            folder: folder.to_owned(),
            path,
            embedder: id,
            dimensions: 0,
            rows: Vec::new(),
            lengths: Vec::new(),
            by_hash: BTreeMap::new(),
        };
        vectors.read().map_err(|cause| vectors.error(cause))?;
        Ok(vectors)
    }

    fn read(&mut self) -> io::Result<()> {
        let bytes = match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            bytes => bytes?,
        };
        let good = self.take_in(&bytes);
        match good {
            0 => fs::remove_file(&self.path),
            good if good < bytes.len() => {
                OpenOptions::new().write(true).open(&self.path)?.set_len(good as u64)
            }
            _ => Ok(()),
        }
    }

    /// Takes in all good records; tells where the first that is not begins.
    fn take_in(&mut self, bytes: &[u8]) -> usize {
        let Some((header, mut rest)) = bytes.split_at_checked(HEADER_BYTES) else { return 0 };
        let mut dimensions = [0; 4];
        dimensions.copy_from_slice(&header[24..]);
        let dimensions = u32::from_le_bytes(dimensions) as usize;
        let ours = header[..8] == MAGIC && header[8..24] == self.embedder;
        if !ours || !(1..=EMBED_DIMENSIONS_MAX).contains(&dimensions) {
            return 0;
        }
        self.dimensions = dimensions;
        while let Some((record, after)) = rest.split_at_checked(RECORD_HEAD_BYTES + dimensions) {
            let (head, row) = record.split_at(RECORD_HEAD_BYTES);
            let (hash, sum) = head.split_at(8);
            if sum != checksum(hash, row) {
                break;
            }
            let mut number = [0; 8];
            number.copy_from_slice(hash);
            self.add(u64::from_le_bytes(number), row.iter().map(|byte| *byte as i8).collect());
            rest = after;
        }
        bytes.len() - rest.len()
    }

    fn add(&mut self, hash: u64, row: Vec<i8>) {
        let squares: f32 = row.iter().map(|number| f32::from(*number) * f32::from(*number)).sum();
        self.by_hash.insert(hash, self.lengths.len() as u32);
        self.lengths.push(squares.sqrt());
        self.rows.extend(row);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        self.by_hash.contains_key(&hash)
    }

    /// How many numbers a vector has to have, once there is one.
    pub(super) fn dimensions(&self) -> Option<usize> {
        Some(self.dimensions).filter(|dimensions| *dimensions > 0)
    }

    /// How alike the vector of a text is: from -1 to 1. `None` when it has none, or one of another length.
    pub(super) fn likeness(&self, direction: &Direction, hash: u64) -> Option<f32> {
        let number = *self.by_hash.get(&hash)? as usize;
        let length = self.lengths[number];
        if length == 0.0 || direction.0.len() != self.dimensions {
            return None;
        }
        let row = &self.rows[number * self.dimensions..][..self.dimensions];
        let product: f32 = direction.0.iter().zip(row).map(|(one, other)| one * f32::from(*other)).sum();
        Some(product / length)
    }

    /// Keeps vectors of texts that have none yet. They have to have [`Self::dimensions`].
    pub(super) fn append(&mut self, new: Vec<(u64, Vec<f32>)>) -> Result<(), Error> {
        let Some(dimensions) = new.first().map(|(_, vector)| vector.len()) else { return Ok(()) };
        let mut bytes = Vec::new();
        if self.dimensions == 0 {
            self.dimensions = dimensions;
            bytes.extend(self.header());
        }
        for (hash, vector) in new {
            if !self.has(hash) {
                let row = small(&vector);
                bytes.extend(record(hash, &row));
                self.add(hash, row);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(&bytes)).map_err(|cause| self.error(cause))
    }

    /// Forgets the vectors of texts that no message has any more, once they are worth the writing.
    pub(super) fn keep_only(&mut self, live: &BTreeSet<u64>) -> Result<(), Error> {
        let dead = self.by_hash.keys().filter(|hash| !live.contains(hash)).count();
        if dead * 10 <= self.by_hash.len() {
            return Ok(());
        }
        let mut kept = Self {
            folder: self.folder.clone(),
            path: self.path.clone(),
            rows: Vec::new(),
            lengths: Vec::new(),
            by_hash: BTreeMap::new(),
            ..*self
        };
        let mut bytes = self.header();
        for (hash, number) in self.by_hash.iter().filter(|(hash, _)| live.contains(hash)) {
            let row = self.rows[*number as usize * self.dimensions..][..self.dimensions].to_vec();
            bytes.extend(record(*hash, &row));
            kept.add(*hash, row);
        }
        let new = self.path.with_extension("new");
        let written = fs::write(&new, &bytes).and_then(|()| fs::rename(&new, &self.path));
        written.map_err(|cause| self.error(cause))?;
        *self = kept;
        Ok(())
    }

    /// Makes durable what was appended, and removes the vectors of other embedders: this one knows all texts now.
    pub(super) fn finish(&self) -> Result<(), Error> {
        self.finished().map_err(|cause| self.error(cause))
    }

    fn finished(&self) -> io::Result<()> {
        if self.path.exists() {
            File::open(&self.path)?.sync_data()?;
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(PREFIX) && path != self.path {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn header(&self) -> Vec<u8> {
        [&MAGIC[..], &self.embedder, &(self.dimensions as u32).to_le_bytes()].concat()
    }

    fn error(&self, cause: io::Error) -> Error {
        Error::File { path: self.path.clone(), cause }
    }
}

/// A vector in bytes, as long as they can show it.
fn small(vector: &[f32]) -> Vec<i8> {
    let largest = vector.iter().fold(0.0f32, |largest, number| largest.max(number.abs()));
    let scale = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    vector.iter().map(|number| (number * scale).round() as i8).collect()
}

fn record(hash: u64, row: &[i8]) -> Vec<u8> {
    let hash = hash.to_le_bytes();
    let row: Vec<u8> = row.iter().map(|number| *number as u8).collect();
    [&hash[..], &checksum(&hash, &row), &row].concat()
}

fn checksum(hash: &[u8], row: &[u8]) -> [u8; 4] {
    let whole = Sha256::new().chain_update(hash).chain_update(row).finalize();
    [whole[0], whole[1], whole[2], whole[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(vectors: &Vectors, hash: u64, direction: [f32; 2]) -> Option<f32> {
        vectors.likeness(&Direction::new(direction.to_vec()), hash)
    }

    fn two(folder: &Path) -> Vectors {
        let mut vectors = Vectors::open(folder, "model").unwrap();
        vectors.append(vec![(1, vec![3.0, 0.0]), (2, vec![0.5, 0.5])]).unwrap();
        vectors
    }

    #[test]
    fn vectors_read_back_from_their_file() {
        let folder = tempfile::tempdir().unwrap();
        two(folder.path());
        let vectors = Vectors::open(folder.path(), "model").unwrap();
        assert_eq!(vectors.dimensions(), Some(2));
        assert_eq!(like(&vectors, 1, [2.0, 0.0]), Some(1.0));
        assert!((like(&vectors, 2, [1.0, 0.0]).unwrap() - 0.5f32.sqrt()).abs() < 0.01);
        assert_eq!(like(&vectors, 3, [1.0, 0.0]), None);
        assert!(Vectors::open(folder.path(), "another model").unwrap().is_empty());
    }

    #[test]
    fn a_damaged_record_ends_the_file_and_the_next_goes_in_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = two(folder.path()).path.clone();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        let mut vectors = Vectors::open(folder.path(), "model").unwrap();
        assert!(vectors.has(1) && !vectors.has(2));
        vectors.append(vec![(3, vec![0.0, 1.0])]).unwrap();
        let vectors = Vectors::open(folder.path(), "model").unwrap();
        assert!(vectors.has(1) && vectors.has(3));
    }

    #[test]
    fn a_record_that_is_half_written_or_a_file_of_something_else_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = two(folder.path()).path.clone();
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(!Vectors::open(folder.path(), "model").unwrap().has(2), "cut after {length} bytes");
        }
        fs::write(&path, [7; 100]).unwrap();
        assert!(Vectors::open(folder.path(), "model").unwrap().is_empty());
    }

    #[test]
    fn vectors_of_texts_that_are_gone_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut vectors = two(folder.path());
        vectors.keep_only(&BTreeSet::from([2])).unwrap();
        for vectors in [vectors, Vectors::open(folder.path(), "model").unwrap()] {
            assert!(!vectors.has(1) && vectors.has(2));
            assert!(like(&vectors, 2, [1.0, 1.0]).unwrap() > 0.99);
        }
    }
}

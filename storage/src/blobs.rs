//! Files named by the hash of their content.
//!
//! A blob is written under a temporary name, made durable, and only then given its name; so a name
//! that exists is a whole file, after a crash too. Half-written ones are removed at the next start.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// The SHA-256 of a blob's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobId(pub [u8; 32]);

impl std::fmt::Display for BlobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The folder of all blobs.
pub struct Blobs {
    folder: PathBuf,
    next: std::sync::atomic::AtomicU64,
}

/// A blob being written. Dropped before [`Blobs::keep`], it leaves nothing behind.
pub struct NewBlob {
    file: File,
    path: PathBuf,
    sha: Sha256,
    bytes: u64,
    kept: bool,
}

impl Blobs {
    /// Opens the folder, makes it when missing, and removes what a crash left half-written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("new"))?;
        for entry in fs::read_dir(folder.join("new"))? {
            fs::remove_file(entry?.path())?;
        }
        Ok(Self { folder: folder.to_owned(), next: Default::default() })
    }

    fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    /// Begins a blob.
    pub fn begin(&self) -> io::Result<NewBlob> {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = self.folder.join("new").join(number.to_string());
        Ok(NewBlob { file: File::create_new(&path)?, path, sha: Sha256::new(), bytes: 0, kept: false })
    }

    /// Makes a blob durable under its hash. Keeping the same content twice leaves one file.
    pub fn keep(&self, mut blob: NewBlob) -> io::Result<(BlobId, u64)> {
        blob.file.sync_all()?;
        let id = BlobId(blob.sha.clone().finalize().into());
        let path = self.path(id);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        fs::rename(&blob.path, &path)?;
        blob.kept = true;
        // The name has to survive too, and the folder's.
        File::open(folder)?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        Ok((id, blob.bytes))
    }

    /// Opens a blob for reading; `None` when this node does not have it.
    pub fn read(&self, id: BlobId) -> io::Result<Option<File>> {
        match File::open(self.path(id)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a blob's content still hashes to its name.
    pub fn verify(&self, id: BlobId) -> io::Result<bool> {
        let Some(mut file) = self.read(id)? else { return Ok(false) };
        let mut sha = Sha256::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(sha.finalize()[..] == id.0),
                read => sha.update(&buffer[..read]),
            }
        }
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewBlob {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_found_under_its_hash_and_kept_once() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let ids: Vec<_> = (0..2)
            .map(|_| {
                let mut blob = blobs.begin().unwrap();
                blob.write_all(b"hello").unwrap();
                blobs.keep(blob).unwrap()
            })
            .collect();
        assert_eq!(ids[0], ids[1]);
        assert_eq!(ids[0].0.to_string(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert!(blobs.verify(ids[0].0).unwrap());
        let mut text = String::new();
        blobs.read(ids[0].0).unwrap().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_blob_that_is_not_finished_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        blobs.begin().unwrap().write_all(b"half").unwrap();
        fs::write(folder.path().join("new/99"), b"crashed").unwrap();
        drop(blobs);
        Blobs::open(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path().join("new")).unwrap().count(), 0);
    }

    #[test]
    fn a_blob_that_rotted_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut blob = blobs.begin().unwrap();
        blob.write_all(b"hello").unwrap();
        let (id, _) = blobs.keep(blob).unwrap();
        fs::write(blobs.path(id), b"jello").unwrap();
        assert!(!blobs.verify(id).unwrap());
    }
}

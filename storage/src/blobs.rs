//! Files named by the hash of their content.
//!
//! A blob is written under a temporary name, made durable, and only then given its name; so a name
//! that exists is a whole file, after a crash too. Half-written ones are removed at the next start.
//!
//! A blob that comes from another node, whose hash is known before its bytes, is a *partial* one meanwhile: what came
//! stays when the way breaks, also over a restart, and the next try goes on from there ([`Blobs::resume`]). It gets its
//! name only when its bytes have that hash.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use muster_protocol::limits::{BLOB_PARTIALS_MAX, BLOB_PIECE_BYTES};
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

/// A blob of which the hash is known and not all bytes. Dropped, it keeps what it has.
pub struct PartialBlob {
    id: BlobId,
    file: File,
    path: PathBuf,
    sha: Sha256,
    bytes: u64,
}

impl Blobs {
    /// Opens the folder, makes it when missing, and removes what a crash left half-written.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("new"))?;
        fs::create_dir_all(folder.join("partial"))?;
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
        let id = BlobId(blob.sha.clone().finalize().into());
        self.give_name(&blob.file, &blob.path, id)?;
        blob.kept = true;
        Ok((id, blob.bytes))
    }

    fn give_name(&self, file: &File, from: &Path, id: BlobId) -> io::Result<()> {
        file.sync_all()?;
        let path = self.path(id);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        fs::rename(from, &path)?;
        // The name has to survive too, and the folder's.
        File::open(folder)?.sync_all()?;
        File::open(&self.folder)?.sync_all()
    }

    /// Begins or goes on with a blob that comes from elsewhere. Reads what is there of it, to know its hash so far.
    /// Not to be called twice for one blob at one time: both would write into one file.
    pub fn resume(&self, id: BlobId) -> io::Result<PartialBlob> {
        let path = self.folder.join("partial").join(id.to_string());
        if !path.try_exists()? {
            self.make_room()?;
        }
        let mut file = File::options().read(true).append(true).create(true).open(&path)?;
        let (mut sha, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; BLOB_PIECE_BYTES]);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(PartialBlob { id, file, path, sha, bytes }),
                read => {
                    sha.update(&buffer[..read]);
                    bytes += read as u64;
                }
            }
        }
    }

    /// Removes the partial blobs that were touched longest ago, so that one more keeps the limit.
    fn make_room(&self) -> io::Result<()> {
        let mut partial = Vec::new();
        for entry in fs::read_dir(self.folder.join("partial"))? {
            let entry = entry?;
            partial.push((entry.metadata()?.modified()?, entry.path()));
        }
        partial.sort();
        let surplus = (partial.len() + 1).saturating_sub(BLOB_PARTIALS_MAX);
        partial.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// Makes a partial blob durable under its name. False when its bytes are not those of the hash; then it is gone,
    /// as nobody can tell which of them are wrong.
    pub fn complete(&self, partial: PartialBlob) -> io::Result<bool> {
        if partial.sha.clone().finalize()[..] != partial.id.0 {
            fs::remove_file(&partial.path)?;
            return Ok(false);
        }
        self.give_name(&partial.file, &partial.path, partial.id)?;
        Ok(true)
    }

    /// Removes a partial blob that cannot become whole.
    pub fn abandon(&self, partial: PartialBlob) -> io::Result<()> {
        fs::remove_file(&partial.path)
    }

    /// Whether this node has a blob.
    pub fn has(&self, id: BlobId) -> io::Result<bool> {
        self.path(id).try_exists()
    }

    /// Removes a blob. Whoever has it open still reads it to its end.
    pub fn remove(&self, id: BlobId) -> io::Result<()> {
        match fs::remove_file(self.path(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
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

impl NewBlob {
    /// How many bytes it has so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl PartialBlob {
    /// How many bytes it has: the next one is at this place.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Write for PartialBlob {
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

    /// The SHA-256 of `hello`.
    fn hello() -> BlobId {
        BlobId(Sha256::digest(b"hello").into())
    }

    #[test]
    fn what_came_of_a_blob_is_gone_on_with_after_a_break_and_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        blobs.resume(hello()).unwrap().write_all(b"he").unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        assert!(!blobs.has(hello()).unwrap(), "half of it is none");
        let mut partial = blobs.resume(hello()).unwrap();
        assert_eq!(partial.bytes(), 2);
        partial.write_all(b"llo").unwrap();
        assert!(blobs.complete(partial).unwrap());
        assert!(blobs.verify(hello()).unwrap());
        assert_eq!(blobs.resume(hello()).unwrap().bytes(), 0, "nothing is left over");
    }

    #[test]
    fn bytes_of_another_hash_get_no_name_and_do_not_stay() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let mut partial = blobs.resume(hello()).unwrap();
        partial.write_all(b"jello").unwrap();
        assert!(!blobs.complete(partial).unwrap());
        assert!(!blobs.has(hello()).unwrap());
        assert_eq!(blobs.resume(hello()).unwrap().bytes(), 0);
    }

    #[test]
    fn partial_blobs_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        for number in 0..2 * BLOB_PARTIALS_MAX {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_be_bytes());
            blobs.resume(BlobId(id)).unwrap().write_all(b"x").unwrap();
        }
        assert_eq!(fs::read_dir(folder.path().join("partial")).unwrap().count(), BLOB_PARTIALS_MAX);
    }
}

//! Disks that are soon full.

use std::{io::ErrorKind, path::PathBuf, process::Command};

use super::{Place, skip};

/// A file system in memory, in the place of a data folder. It goes with this, which has to go before the place.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Puts one of so many KiB under the data folder, which does not exist yet; or says why a test that cannot
    /// do without one is skipped.
    pub fn under(place: &Place, kib: usize) -> Option<Self> {
        let folder = place.folder();
        std::fs::create_dir(&folder).unwrap();
        match mount(&["-t", "tmpfs", "-o", &format!("size={kib}k,mode=0700"), "tmpfs"], &folder) {
            Ok(()) => Some(Self { folder }),
            Err(why) => {
                skip(&format!("it needs a small file system: {why}"));
                None
            }
        }
    }

    /// Uses up what is free.
    pub fn fill(&self) {
        let mut bytes = vec![0; 1 << 20];
        let mut file = std::fs::File::create(self.folder.join("ballast")).unwrap();
        while !bytes.is_empty() {
            match std::io::Write::write_all(&mut file, &bytes) {
                Ok(()) => {}
                Err(cause) if cause.kind() == ErrorKind::StorageFull => bytes.truncate(bytes.len() / 2),
                Err(cause) => panic!("{cause}"),
            }
        }
    }

    /// Takes away what [`SmallDisk::fill`] put there, and makes it as large as this.
    pub fn make_room(&self, kib: usize) {
        let _ = std::fs::remove_file(self.folder.join("ballast")); // there may be none
        mount(&["-o", &format!("remount,size={kib}k"), "tmpfs"], &self.folder).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node of a test that failed may be dying still.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}

fn mount(words: &[&str], folder: &std::path::Path) -> Result<(), String> {
    let told = Command::new("mount").args(words).arg(folder).output();
    let told = told.map_err(|cause| format!("no `mount`: {cause}"))?;
    match told.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&told.stderr).trim().to_owned()),
    }
}

//! A store's file with other bytes in it: reading it whole either fails or succeeds, and what was read can be opened.
//!
//! What does not read back is not opened here: redb may then end the process while it closes the file.
//!
//! Input is changes of four bytes: which page of those that hold anything, where in it, and the new byte.
#![no_main]

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
    sync::{Arc, LazyLock},
};

use libfuzzer_sys::fuzz_target;
use muster_fuzz::{HOME, MEMBER, NOW_MS, WORLD};
use muster_protocol::identity::Identity;
use muster_storage::{Disk, Options, Prepared, Store, verify};

/// What redb reads and writes at once.
const PAGE_BYTES: usize = 4096;
/// Most changes of one input.
const CHANGES_MAX: usize = 64;

static SAMPLE: LazyLock<Sample> = LazyLock::new(Sample::new);

/// A store as a node left it.
struct Sample {
    folder: PathBuf,
    bytes: Vec<u8>,
    /// Where the pages begin that hold anything; most of the file is room for more.
    used: Vec<usize>,
}

impl Sample {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("muster-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder can be made");
        let sample = Self { folder, bytes: Vec::new(), used: Vec::new() };
        let store = sample.open().expect("a new store opens");
        let write = |work: fn(&mut muster_storage::Batch<'_>) -> Result<(), muster_storage::StoreError>| {
            store.write(NOW_MS, work, drop).expect("a write is taken");
        };
        write(|batch| batch.begin_space(&WORLD.entries[0]).map(drop));
        write(|batch| batch.append_control(WORLD.space(), WORLD.entries.clone()).map(drop));
        write(|batch| {
            let ops = WORLD.log.iter().map(|op| Prepared::new(op.clone(), &WORLD.control)).collect();
            batch.append_remote(WORLD.space(), ops, 0).map(drop)
        });
        write(|batch| batch.begin_pair(WORLD.space(), HOME.node()).map(drop));
        drop(store);
        let bytes = fs::read(sample.file()).expect("a file can be read");
        let is_used = |at: &usize| bytes[*at..].iter().take(PAGE_BYTES).any(|byte| *byte != 0);
        let used = (0..bytes.len()).step_by(PAGE_BYTES).filter(is_used).collect();
        verify(&sample.file()).expect("an unchanged store is whole");
        Self { bytes, used, ..sample }
    }

    fn file(&self) -> PathBuf {
        self.folder.join("store.redb")
    }

    fn open(&self) -> Result<Store, muster_storage::OpenError> {
        let options = Options {
            cache_bytes: 1 << 20,
            inbox_depth: 3,
            inline: true,
            fresh: [7; 24],
            blobs: self.folder.join("blobs"),
        };
        Store::open(Disk::File(self.file()), Arc::new(Identity::from_seed(MEMBER.seed())), &options)
    }
}

fuzz_target!(
    init: {
        // redb panics at some damage, and the store catches that. Only what is not caught may end this process, so
        // libFuzzer's own hook, which ends it at any panic, has to go.
        panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    },
    |bytes: &[u8]| {
        let mut file = SAMPLE.bytes.clone();
        for change in bytes.chunks_exact(4).take(CHANGES_MAX) {
            let page = SAMPLE.used[usize::from(change[0]) % SAMPLE.used.len()];
            let at = usize::from(u16::from_be_bytes([change[1], change[2]])) % PAGE_BYTES;
            if let Some(byte) = file.get_mut(page + at) {
                *byte = change[3];
            }
        }
        fs::write(SAMPLE.file(), &file).expect("a file can be written");
        if verify(&SAMPLE.file()).is_ok()
            && let Ok(store) = SAMPLE.open()
        {
            // Closing writes, and redb may find only then that the pages it writes to are damaged: nobody's answer.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(store)));
        }
    }
);

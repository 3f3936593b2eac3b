//! A disk in memory that loses power, for simulations and tests.
//!
//! # The fault model
//!
//! A [`CrashDisk`] stands below redb in the place of a file. It believes about disks what follows,
//! and a store that survives it survives disks of which this is true.
//!
//! - A disk writes *sectors* of 512 bytes, each whole or not at all. A longer write is many sectors.
//! - Until it is asked to sync, it writes sectors when it likes and in any order, or never. Of a
//!   sector written several times since the last sync it may hold any of the versions. The length of
//!   the file is one more such thing.
//! - When a sync has returned without an error, all that was written before it stays.
//! - When the *process* dies ([`CrashDisk::kill`]), the system still has every write and finishes it.
//! - When the *power* goes ([`CrashDisk::power_cut`]), what was not synced is kept or lost sector by
//!   sector, by dice. How likely a sector is to be kept is diced once per cut, from never to always.
//! - A write, a read or a sync may fail ([`Fault::Input`], [`Fault::Output`]), and the disk may be full
//!   ([`Fault::Full`]). After a failed sync nothing is known about what had been written; it counts as
//!   not synced, and a later sync that succeeds makes it safe. A fault stays until [`CrashDisk::heal`].
//! - A commit is one call and cannot be cut from outside. To lose power in the middle of one, let the
//!   writes fail after a few ([`CrashDisk::fail_after`]) and cut the power then.
//! - After a crash the disk is *frozen*: every call fails. So nobody can be told of a success that did
//!   not happen, and what redb writes when its `Database` is dropped, a clean shutdown, is not kept.
//!
//! Disks that lie about a sync, swap sectors or let bits rot are not modelled: against the first two a
//! store on one disk is helpless, the last is found by redb's checksums and healed from a peer.
//!
//! # Dice
//!
//! Dice come from the caller, one `u64` at a time. Sectors are gone through by their place, not in the
//! order in which they were written, so that the same contents and the same dice leave the same disk.
//!
//! ```
//! use muster_storage::crash::CrashDisk;
//! use redb::StorageBackend;
//!
//! let disk = CrashDisk::new();
//! disk.set_len(512).unwrap();
//! disk.write(0, b"kept").unwrap();
//! disk.sync_data().unwrap();
//! disk.write(0, b"lost").unwrap();
//! disk.power_cut(|| 0); // dice that keep nothing
//!
//! let mut found = [0; 4];
//! disk.image().read(0, &mut found).unwrap();
//! assert_eq!(&found, b"kept");
//! ```

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

/// What a disk writes at once, in bytes.
pub const SECTOR_BYTES: usize = 512;
/// In how many steps the chance of a sector to be kept goes from never to always.
const CHANCES: u64 = 4;

/// What can go wrong without a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Reads fail (`EIO`).
    Input,
    /// Writes, changes of the length and syncs fail (`EIO`).
    Output,
    /// Nothing can be written any more (`ENOSPC`); what was written can be synced.
    Full,
}

/// A disk in memory; see the module's text. Clones are handles on the same disk.
#[derive(Clone, Default)]
pub struct CrashDisk {
    state: Arc<Mutex<State>>,
}

/// How many calls a disk has served, to choose where a fault is to strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Calls {
    /// Writes and changes of the length, the failed ones too.
    pub writes: u64,
    /// Syncs, the failed ones too.
    pub syncs: u64,
}

#[derive(Default)]
struct State {
    /// What a reader sees now.
    live: Vec<u8>,
    /// What the last sync made safe.
    synced: Vec<u8>,
    /// Every version a sector had since then, the newest last, by the sector's number.
    unsynced: BTreeMap<usize, Vec<Sector>>,
    /// Every length the file had since then.
    lengths: Vec<usize>,
    frozen: bool,
    /// A fault, and how many calls that it strikes still go well.
    fault: Option<(Fault, u64)>,
    calls: Calls,
}

type Sector = Box<[u8; SECTOR_BYTES]>;

impl CrashDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The process dies: every write is kept, and the disk is frozen. Does nothing to a frozen disk.
    pub fn kill(&self) {
        let mut state = self.lock();
        if !state.frozen {
            state.sync();
            state.frozen = true;
        }
    }

    /// The power goes: what was not synced is kept or lost as the dice fall, and the disk is frozen.
    /// Does nothing to a frozen disk.
    pub fn power_cut(&self, mut dice: impl FnMut() -> u64) {
        let mut state = self.lock();
        if !state.frozen {
            state.lose(&mut dice);
            state.frozen = true;
        }
    }

    /// The disk a new process finds after a crash: a disk of its own, without faults. Of a disk that
    /// did not crash, what a crash would find if it lost everything not synced.
    pub fn image(&self) -> CrashDisk {
        let bytes = self.lock().synced.clone();
        let state = State { live: bytes.clone(), synced: bytes, ..State::default() };
        CrashDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Lets `calls` more calls of the kind that `fault` strikes go well; the ones after them fail until
    /// [`Self::heal`]. A new fault takes the place of an older one.
    pub fn fail_after(&self, calls: u64, fault: Fault) {
        self.lock().fault = Some((fault, calls));
    }

    /// Ends a fault. A crash cannot be healed, see [`Self::image`].
    pub fn heal(&self) {
        self.lock().fault = None;
    }

    /// Whether the disk crashed.
    pub fn is_frozen(&self) -> bool {
        self.lock().frozen
    }

    /// Whether a call failed, or would now, because of a fault set before.
    pub fn is_failing(&self) -> bool {
        matches!(self.lock().fault, Some((_, 0)))
    }

    /// How many calls there were.
    pub fn calls(&self) -> Calls {
        self.lock().calls
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CrashDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("CrashDisk")
            .field("bytes", &state.live.len())
            .field("unsynced_sectors", &state.unsynced.len())
            .field("frozen", &state.frozen)
            .finish()
    }
}

/// What a call does, to tell whether a fault strikes it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Look,
    Read,
    Write,
    Sync,
}

impl Fault {
    fn strikes(self, call: Call) -> bool {
        match self {
            Fault::Input => call == Call::Read,
            Fault::Output => call == Call::Write || call == Call::Sync,
            Fault::Full => call == Call::Write,
        }
    }

    fn error(self) -> io::Error {
        match self {
            Fault::Input => io::Error::other("the simulated disk could not read"),
            Fault::Output => io::Error::other("the simulated disk could not write"),
            Fault::Full => io::Error::new(io::ErrorKind::StorageFull, "the simulated disk is full"),
        }
    }
}

impl State {
    /// Counts a call and lets it fail if it has to.
    fn admit(&mut self, call: Call) -> io::Result<()> {
        match call {
            Call::Write => self.calls.writes += 1,
            Call::Sync => self.calls.syncs += 1,
            Call::Look | Call::Read => {}
        }
        if self.frozen {
            return Err(io::Error::other("the simulated machine has crashed"));
        }
        match &mut self.fault {
            Some((fault, 0)) if fault.strikes(call) => Err(fault.error()),
            Some((fault, left)) if fault.strikes(call) => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The place of `length` bytes at `offset`, if the file has them.
    fn place(&self, offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
        let start = usize::try_from(offset).ok();
        let end = start.and_then(|start| start.checked_add(length)).filter(|end| *end <= self.live.len());
        match (start, end) {
            (Some(start), Some(end)) => Ok(start..end),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "beyond the end of the simulated disk")),
        }
    }

    /// Remembers what the sectors of a range hold now as one more version that may be kept.
    fn remember(&mut self, range: std::ops::Range<usize>) {
        for number in range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES) {
            let version = self.sector(number);
            self.unsynced.entry(number).or_default().push(version);
        }
    }

    /// What a sector holds now; beyond the end, zeros.
    fn sector(&self, number: usize) -> Sector {
        let mut sector = Box::new([0; SECTOR_BYTES]);
        let start = (number * SECTOR_BYTES).min(self.live.len());
        let end = (start + SECTOR_BYTES).min(self.live.len());
        sector[..end - start].copy_from_slice(&self.live[start..end]);
        sector
    }

    fn set_len(&mut self, length: usize) {
        let before = self.live.len();
        self.live.resize(length, 0);
        self.lengths.push(length);
        if length < before {
            // What was cut off is empty if the file grows again.
            self.remember(length..before);
        }
    }

    fn sync(&mut self) {
        self.synced.resize(self.live.len(), 0);
        for number in std::mem::take(&mut self.unsynced).into_keys() {
            let sector = self.sector(number);
            put(&mut self.synced, number, &sector);
        }
        self.lengths.clear();
    }

    fn lose(&mut self, dice: &mut impl FnMut() -> u64) {
        let chance = dice() % (CHANCES + 1);
        let kept = |dice: &mut dyn FnMut() -> u64, versions: usize| {
            (dice() % CHANCES < chance && versions > 0).then(|| (dice() % versions as u64) as usize)
        };
        if let Some(version) = kept(dice, self.lengths.len()) {
            self.synced.resize(self.lengths[version], 0);
        }
        for (number, versions) in std::mem::take(&mut self.unsynced) {
            if let Some(version) = kept(dice, versions.len()) {
                put(&mut self.synced, number, &versions[version]);
            }
        }
        self.live.clone_from(&self.synced);
    }
}

/// Writes as much of a sector as lies within the file.
fn put(image: &mut [u8], number: usize, sector: &[u8; SECTOR_BYTES]) {
    let start = (number * SECTOR_BYTES).min(image.len());
    let end = (start + SECTOR_BYTES).min(image.len());
    image[start..end].copy_from_slice(&sector[..end - start]);
}

/// redb's optional byte-range locks are left unsupported: a disk in memory has no second process.
impl StorageBackend for CrashDisk {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.lock();
        state.admit(Call::Look)?;
        Ok(state.live.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.admit(Call::Read)?;
        let place = state.place(offset, out.len())?;
        out.copy_from_slice(&state.live[place]);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.admit(Call::Write)?;
        let length = usize::try_from(len).map_err(|_| Fault::Full.error())?;
        state.set_len(length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.lock();
        state.admit(Call::Sync)?;
        state.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        state.admit(Call::Write)?;
        let place = state.place(offset, data.len())?;
        state.live[place.clone()].copy_from_slice(data);
        state.remember(place);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

    use super::*;

    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("numbers");

    fn try_open(disk: &CrashDisk) -> Result<Database, redb::DatabaseError> {
        Database::builder().set_cache_size(1024 * 1024).create_with_backend(disk.clone())
    }

    fn open(disk: &CrashDisk) -> Database {
        try_open(disk).expect("the store opens")
    }

    /// A disk with a new store on it. redb cannot open a store that was cut off while it was *created*
    /// ("not a redb database"); nothing is in it yet, so whoever creates one starts again.
    fn created() -> CrashDisk {
        let disk = CrashDisk::new();
        drop(open(&disk));
        disk.image()
    }

    /// Commits a number with `bytes` bytes of its own making, as the store does: with quick repair.
    fn commit(database: &Database, number: u64, bytes: usize) -> Result<(), redb::Error> {
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        write.open_table(TABLE)?.insert(number, vec![number as u8; bytes].as_slice())?;
        write.commit()?;
        Ok(())
    }

    fn numbers(database: &Database) -> Vec<u64> {
        let Ok(table) = database.begin_read().unwrap().open_table(TABLE) else { return Vec::new() };
        let rows: Vec<_> = table.iter().unwrap().collect::<Result<_, _>>().unwrap();
        for (key, value) in &rows {
            assert!(value.value().iter().all(|byte| *byte == key.value() as u8), "a torn row");
        }
        rows.into_iter().map(|(key, _)| key.value()).collect()
    }

    #[test]
    fn power_cuts_never_lose_a_committed_transaction() {
        let (mut kept_unacknowledged, mut cut_while_opening) = (0, 0);
        for seed in 0..120 {
            let mut dice = ChaCha8Rng::seed_from_u64(seed);
            let mut disk = created();
            let mut committed = 0;
            for _ in 0..5 {
                let calls = dice.random_range(0..150);
                if dice.random_ratio(1, 3) {
                    disk.fail_after(calls % 8, Fault::Output); // the power goes while a crash is repaired
                }
                if let Ok(database) = try_open(&disk) {
                    let found = numbers(&database).len() as u64;
                    assert!(found >= committed, "seed {seed}: {committed} were committed, {found} are there");
                    assert!(numbers(&database).into_iter().eq(0..found), "seed {seed} left a hole");
                    kept_unacknowledged += found - committed;
                    committed = found;
                    disk.fail_after(calls, Fault::Output);
                    while commit(&database, committed, dice.random_range(0..9000)).is_ok() {
                        committed += 1;
                    }
                    disk.power_cut(|| dice.next_u64());
                } else {
                    cut_while_opening += 1;
                    disk.power_cut(|| dice.next_u64());
                }
                disk = disk.image();
            }
            assert!(numbers(&open(&disk)).len() as u64 >= committed, "seed {seed} at the end");
        }
        assert!(kept_unacknowledged > 0, "no cut ever struck between a write and its answer");
        assert!(cut_while_opening > 0, "no cut ever struck while the store opened");
    }

    #[test]
    fn a_killed_process_loses_nothing_it_wrote() {
        let disk = CrashDisk::new();
        disk.set_len(1024).unwrap();
        disk.write(500, b"across two sectors").unwrap();
        disk.kill();
        let mut found = [0; 18];
        disk.image().read(500, &mut found).unwrap();
        assert_eq!(&found, b"across two sectors");
    }

    #[test]
    fn a_sector_may_come_back_as_any_of_its_versions() {
        let found: Vec<u8> = (0..100)
            .map(|seed| {
                let mut dice = ChaCha8Rng::seed_from_u64(seed);
                let disk = CrashDisk::new();
                disk.set_len(512).unwrap();
                disk.sync_data().unwrap();
                for version in 1..=3 {
                    disk.write(0, &[version]).unwrap();
                }
                disk.power_cut(|| dice.next_u64());
                let mut byte = [9];
                disk.image().read(0, &mut byte).unwrap();
                byte[0]
            })
            .collect();
        assert!((0..=3).all(|version| found.contains(&version)) && found.iter().all(|byte| *byte <= 3));
    }

    #[test]
    fn a_full_disk_is_an_error_and_costs_nothing_committed() {
        let disk = CrashDisk::new();
        let database = open(&disk);
        commit(&database, 0, 100).unwrap();
        disk.fail_after(3, Fault::Full);
        let error = (1..).find_map(|number| commit(&database, number, 100_000).err()).unwrap();
        let redb::Error::Io(cause) = &error else { panic!("{error:?}") };
        assert_eq!(cause.kind(), io::ErrorKind::StorageFull);
        drop(database);

        disk.heal();
        assert_eq!(numbers(&open(&disk)), [0]);
    }

    #[test]
    fn a_failing_disk_is_an_error_both_ways_until_it_is_healed() {
        let disk = CrashDisk::new();
        disk.set_len(512).unwrap();
        disk.fail_after(1, Fault::Input);
        assert!(disk.read(0, &mut [0]).is_ok());
        assert!(disk.read(0, &mut [0]).is_err() && disk.is_failing());
        assert!(disk.write(0, &[1]).is_ok() && disk.sync_data().is_ok());
        disk.fail_after(0, Fault::Output);
        assert!(disk.read(0, &mut [0]).is_ok());
        assert!(disk.write(0, &[1]).is_err() && disk.sync_data().is_err() && disk.set_len(1).is_err());
        disk.heal();
        assert!(disk.write(0, &[1]).is_ok());
    }

    #[test]
    fn a_frozen_disk_ignores_what_the_drop_writes() {
        let disk = CrashDisk::new();
        let database = open(&disk);
        commit(&database, 0, 100).unwrap();
        disk.kill();
        let before = disk.image().lock().live.clone();
        let writes = disk.calls().writes;
        drop(database);
        assert!(
            disk.calls().writes > writes,
            "redb no longer writes when dropped: this module can be simpler"
        );
        let after = disk.image();
        assert!(after.lock().live == before, "the drop changed a crashed disk");
        assert_eq!(numbers(&open(&after)), [0]);
    }

    #[test]
    fn nothing_succeeds_after_a_crash() {
        let disk = CrashDisk::new();
        let database = open(&disk);
        disk.power_cut(|| 0);
        assert!(commit(&database, 0, 1).is_err(), "a dead node acknowledged a write");
    }

    #[test]
    fn the_same_history_and_the_same_dice_leave_the_same_disk() {
        let history = || {
            let mut dice = ChaCha8Rng::seed_from_u64(7);
            let disk = CrashDisk::new();
            let database = open(&disk);
            disk.fail_after(200, Fault::Output);
            let failed = (0..).find(|number| commit(&database, *number, 3000).is_err());
            disk.power_cut(|| dice.next_u64());
            (failed, disk.image().lock().live.clone())
        };
        assert!(history() == history());
    }

    #[test]
    fn reading_beyond_the_end_is_an_error() {
        let disk = CrashDisk::new();
        disk.set_len(10).unwrap();
        assert!(disk.read(5, &mut [0; 6]).is_err());
        assert!(disk.write(u64::MAX, &[0]).is_err());
    }
}

//! The scenario of one database and many power cuts: what redb promises is not taken on trust.

use muster_storage::crash::{CrashDisk, Fault};
use rand::{Rng, RngExt};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    dice::{self, Dice},
    scenario::Outcome,
    trace::Trace,
};

const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
/// The page cache of the database: small, so that it really reads and writes.
const CACHE_BYTES: usize = 1024 * 1024;

/// What happens to the disk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// How many crashes.
    pub cuts: u64,
    /// How many writes of the disk go well between two crashes at most.
    pub writes_max: u64,
    /// Largest row in bytes.
    pub row_bytes_max: usize,
}

/// Plays one seed.
pub fn play(seed: u64, plan: &Plan) -> Outcome {
    let mut dice = dice::dice(seed, "disks", &[]);
    let trace = Trace::new();
    let mut outcome = Outcome { faults: plan.cuts, ..Outcome::default() };
    let mut disk = CrashDisk::new();
    let mut acknowledged = 0;
    // A store is created in peace: cut off in the middle, its file is not yet a database.
    drop(open(&disk));
    for life in 0..=plan.cuts {
        disk = disk.image();
        if life < plan.cuts && dice.random_ratio(1, 4) {
            disk.fail_after(dice.random_range(0..8), Fault::Output); // strikes while it recovers
        }
        match open(&disk).and_then(|database| Ok((rows(&database)?, database))) {
            Ok((found, database)) => {
                if found < acknowledged {
                    outcome.violations.push(format!("life {life}: {acknowledged} written, {found} found"));
                }
                acknowledged = found;
                if life < plan.cuts {
                    disk.fail_after(dice.random_range(0..=plan.writes_max), Fault::Output);
                    acknowledged += write(&database, found, plan, &mut dice);
                }
                crash(&disk, &mut dice);
            }
            Err(error) if !disk.is_failing() => {
                outcome.violations.push(format!("life {life}: cannot be read: {error}"));
                break;
            }
            Err(_) => crash(&disk, &mut dice),
        }
        trace.record(life, "life", &[&acknowledged.to_be_bytes()]);
    }
    outcome.ops = acknowledged;
    outcome.trace = trace.digest();
    outcome
}

fn crash(disk: &CrashDisk, dice: &mut Dice) {
    if dice.random_ratio(1, 4) { disk.kill() } else { disk.power_cut(|| dice.next_u64()) }
}

fn open(disk: &CrashDisk) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(disk.clone())?)
}

/// What belongs into a row: bytes that only this row has, so that a mixture of two is noticed.
fn content(number: u64, bytes: usize) -> Vec<u8> {
    let hash = Sha256::digest(number.to_be_bytes());
    hash.iter().copied().cycle().take(bytes).collect()
}

/// Commits rows until the disk fails; how many commits were acknowledged.
fn write(database: &Database, first: u64, plan: &Plan, dice: &mut Dice) -> u64 {
    let commit = |number: u64, bytes: usize| -> Result<(), redb::Error> {
        let mut write = database.begin_write()?;
        write.set_quick_repair(true);
        write.open_table(ROWS)?.insert(number, content(number, bytes).as_slice())?;
        Ok(write.commit()?)
    };
    let mut done = 0;
    while commit(first + done, dice.random_range(0..=plan.row_bytes_max)).is_ok() {
        done += 1;
    }
    done
}

/// How many rows there are; all of them whole, without a hole.
fn rows(database: &Database) -> Result<u64, redb::Error> {
    let table = match database.begin_read()?.open_table(ROWS) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut count = 0;
    for row in table.iter()? {
        let (number, bytes) = row?;
        if number.value() != count || bytes.value() != content(count, bytes.value().len()) {
            return Err(redb::Error::Corrupted(format!("row {count} is missing or mixed up")));
        }
        count += 1;
    }
    Ok(count)
}

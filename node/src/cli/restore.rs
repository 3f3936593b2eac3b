//! `muster restore`: a backup becomes the store of a node that does not run.
//!
//! The backup is read before anything is touched, and never changed: from end to end, but of an earlier schema only its
//! checksums and its owner. What it takes the place of stays beside it under another name. The node that starts on it
//! knows that it is a copy (see ARCHITECTURE.md).

use std::path::{Path, PathBuf};

use muster_actors::ports::Clock as _;
use muster_storage::{Findings, RestoreError, SCHEMA_VERSION, put_in_place, refuse_own, verify};
use serde_json::{Value, json};

use super::{
    CliError, Output,
    args::RestoreArgs,
    output::{field, items, plain, print},
};
use crate::{
    data_folder::{DataFolder, FolderError, Visit, identity_in},
    system::SystemClock,
};

/// Restores, or says what restoring would do.
pub(super) fn restore(folder: &Path, args: &RestoreArgs, output: Output) -> Result<(), CliError> {
    let visit = Visit::of(folder)?;
    if visit.alive {
        let pid = visit.run.map(|run| run.pid);
        return Err(FolderError::InUse { path: folder.to_owned(), pid }.into());
    }
    let file = std::path::absolute(&args.file).unwrap_or_else(|_| args.file.clone());
    let store = folder.join("store.redb");
    let refused = refuse_own(&file, &store).err();
    if let (Some(error), false) = (&refused, args.dry_run) {
        return Err(not_restored(error.to_string()));
    }
    let findings = verify(&file)
        .map_err(|error| not_restored(format!("{} cannot be restored: {error}", file.display())))?;
    belongs_here(folder, &findings)?;
    // From here on no node can start, so that what is replaced is what was looked at.
    let held = if args.dry_run { None } else { Some(DataFolder::open(folder)?) };
    let replaced = (refused.is_none() && store.exists()).then(|| replaced_name(&store));
    let lost = replaced.is_some().then(|| lost(&store, &findings));
    let kept = kept_before(folder);
    if held.is_some() {
        put_in_place(&file, &store, replaced.as_deref())
            .map_err(|error| not_restored(why_not(&error, replaced.as_deref())))?;
    }
    let mut told = told(&file, &findings, lost.as_ref(), replaced.as_deref());
    told["refused"] = refused.map(|error| error.to_string()).into();
    told["kept_before"] = kept.into();
    told["restored"] = held.is_some().into();
    print(output, &told, text)
}

/// No command is suggested: one that is followed blindly might replace the only copy of another node's key.
fn not_restored(what: String) -> CliError {
    CliError::Restore { what, command: None }
}

fn why_not(error: &RestoreError, replaced: Option<&Path>) -> String {
    match (error, replaced) {
        (RestoreError::Unconfirmed(_), Some(replaced)) => {
            format!("{error} (the former store is kept as {})", replaced.display())
        }
        _ => error.to_string(),
    }
}

/// Only the node whose store it is may go on with it.
fn belongs_here(folder: &Path, findings: &Findings) -> Result<(), CliError> {
    let wrong = |what| Err(not_restored(what));
    match identity_in(folder)?.map(|identity| identity.node()) {
        Some(node) if node == findings.node => Ok(()),
        Some(node) => wrong(format!(
            "the backup belongs to {}, and the key in {} is that of {node}; put the right node.key there, or name \
             another folder with --data DIR",
            findings.node,
            folder.display()
        )),
        None => wrong(format!(
            "there is no node.key in {}: a backup is worth nothing without the key of its node, {}; make the folder \
             (mode 700), copy the node.key that was kept into it (mode 600), and restore again",
            folder.display(),
            findings.node
        )),
    }
}

/// What the store that is there holds and the backup does not.
enum Lost {
    Operations(u64),
    Unreadable(String),
}

fn lost(store: &Path, backup: &Findings) -> Lost {
    match verify(store) {
        Ok(now) if now.schema != backup.schema => {
            Lost::Unreadable(format!("it has schema {}, the backup {}", now.schema, backup.schema))
        }
        Ok(now) => {
            let beyond = now
                .heights
                .iter()
                .map(|(log, seq)| seq.saturating_sub(backup.heights.get(log).copied().unwrap_or_default()));
            Lost::Operations(beyond.sum())
        }
        Err(error) => Lost::Unreadable(error.to_string()),
    }
}

/// What former stores are called, before the time when they were replaced.
const REPLACED: &str = "store.redb.replaced-";

/// A free name for the store that is replaced now.
fn replaced_name(store: &Path) -> PathBuf {
    let named = |second| store.with_file_name(format!("{REPLACED}{second}"));
    let mut second = SystemClock::new().wall_ms() / 1000;
    while named(second).exists() {
        second += 1;
    }
    named(second)
}

/// Stores that were replaced before. Nothing but their owner ever deletes them.
fn kept_before(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let former = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(REPLACED));
    let mut paths: Vec<_> = former.map(|entry| entry.path().display().to_string()).collect();
    paths.sort();
    paths
}

fn told(file: &Path, findings: &Findings, lost: Option<&Lost>, replaced: Option<&Path>) -> Value {
    let workspaces = findings.workspaces.iter().map(|found| {
        json!({
            "id": found.id, "name": found.name, "members": found.members, "entries": found.entries,
            "operations": found.operations,
        })
    });
    let (operations, unreadable) = match lost {
        Some(Lost::Operations(operations)) => (Some(*operations), None),
        Some(Lost::Unreadable(why)) => (None, Some(why.clone())),
        None => (None, None),
    };
    json!({
        "file": file.display().to_string(),
        "peer_id": findings.node.to_string(),
        "schema": findings.schema,
        "migrates": findings.schema < SCHEMA_VERSION,
        "checked": if findings.schema < SCHEMA_VERSION { "checksums_and_owner" } else { "everything" },
        "marked_as_copy": findings.is_marked,
        "bytes": findings.bytes,
        "workspaces": workspaces.collect::<Vec<_>>(),
        "replaced": replaced.map(|path| path.display().to_string()),
        "only_in_replaced": operations,
        "replaced_unreadable": unreadable,
    })
}

fn text(told: &Value) -> String {
    let restored = told["restored"] == true;
    let checked = if told["migrates"] == true {
        "of an earlier schema: its checksums and its owner were checked; what it holds is read when the next `muster up` \
         brings it up to date"
    } else {
        "read from end to end and found whole"
    };
    let mut lines = vec![
        format!("{}: {} bytes, {checked}", field(told, "file"), field(told, "bytes")),
        format!("the store of {}", field(told, "peer_id")),
    ];
    lines.extend(items(told, "workspaces").iter().map(|one| {
        let [name, members, operations] = ["name", "members", "operations"].map(|name| field(one, name));
        format!("  {name}: {members} members, {operations} operations")
    }));
    if let Some(replaced) = told["replaced"].as_str() {
        let holds = match (told["only_in_replaced"].as_u64(), told["replaced_unreadable"].as_str()) {
            (Some(0), _) => "holds nothing beyond it".to_owned(),
            (Some(more), _) => {
                format!("holds {more} operations beyond it; what members have of them comes back from them")
            }
            (None, why) => format!("cannot be compared ({})", why.unwrap_or("it is damaged")),
        };
        let (was, fate) = if restored { ("was", "is kept as") } else { ("is", "would be kept as") };
        lines.push(format!(
            "the store that {was} there {holds}; it {fate} {replaced}: back to it with `muster restore` (never by renaming: it \
             would not know that it is a copy), and yours to delete when you need it no more"
        ));
    }
    let kept: Vec<_> = items(told, "kept_before").iter().filter_map(Value::as_str).collect();
    if !kept.is_empty() {
        lines.push(format!("kept from earlier restores, and yours to delete: {}", kept.join(", ")));
    }
    lines.push(match told["refused"].as_str() {
        Some(why) => format!("nothing was changed, and it would not be restored: {why}"),
        None if restored => {
            "restored; start the node with: muster up. Attachments are not part of a backup.".to_owned()
        }
        None => "nothing was changed; leave out --dry-run to restore it".to_owned(),
    });
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

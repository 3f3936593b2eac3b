//! `muster restore`: a backup becomes the store of a node that does not run.
//!
//! The backup is read from end to end before anything is touched, and never changed. What it takes the place of stays
//! beside it under another name. The node that starts on it knows that it is a copy (see ARCHITECTURE.md).

use std::path::{Path, PathBuf};

use muster_actors::ports::Clock as _;
use muster_storage::{Findings, SCHEMA_VERSION, put_in_place, verify};
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
    let findings = verify(&file).map_err(|error| CliError::Restore {
        what: format!("{} cannot be restored: {error}", file.display()),
        command: None,
    })?;
    belongs_here(folder, &findings)?;
    // From here on no node can start, so that what is replaced is what was looked at.
    let held = if args.dry_run { None } else { Some(DataFolder::open(folder)?) };
    let store = folder.join("store.redb");
    let lost = if store.exists() { Some(lost(&store, &findings)) } else { None };
    let replaced = lost.is_some().then(|| replaced_name(&store));
    if let Some(held) = held {
        put_in_place(&file, &held.store_path(), replaced.as_deref()).map_err(|error| CliError::Restore {
            what: format!("the backup could not be put in place, and the store is as it was: {error}"),
            command: None,
        })?;
    }
    let told = told(&file, &findings, lost.as_ref(), replaced.as_deref(), args.dry_run);
    print(output, &told, text)
}

/// Only the node whose store it is may go on with it.
fn belongs_here(folder: &Path, findings: &Findings) -> Result<(), CliError> {
    let wrong = |what: String| {
        Err(CliError::Restore {
            what,
            // No command: one that is followed blindly might replace the only copy of another node's key.
            command: None,
        })
    };
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

fn replaced_name(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(format!(".replaced-{}", SystemClock::new().wall_ms() / 1000));
    name.into()
}

fn told(
    file: &Path,
    findings: &Findings,
    lost: Option<&Lost>,
    replaced: Option<&Path>,
    dry_run: bool,
) -> Value {
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
        "marked_as_copy": findings.is_marked,
        "bytes": findings.bytes,
        "workspaces": workspaces.collect::<Vec<_>>(),
        "replaced": replaced.map(|path| path.display().to_string()),
        "only_in_replaced": operations,
        "replaced_unreadable": unreadable,
        "restored": !dry_run,
    })
}

fn text(told: &Value) -> String {
    let restored = told["restored"] == true;
    let mut lines = vec![
        format!(
            "{}: {} bytes, read from end to end and found whole",
            field(told, "file"),
            field(told, "bytes")
        ),
        format!("the store of {}", field(told, "peer_id")),
    ];
    lines.extend(items(told, "workspaces").iter().map(|one| {
        let [name, members, operations] = ["name", "members", "operations"].map(|name| field(one, name));
        format!("  {name}: {members} members, {operations} operations")
    }));
    if told["migrates"] == true {
        lines.push(
            "it is of an earlier schema: the next `muster up` reads it and brings it up to date".to_owned(),
        );
    }
    if let Some(replaced) = told["replaced"].as_str() {
        let holds = match (told["only_in_replaced"].as_u64(), told["replaced_unreadable"].as_str()) {
            (Some(0), _) => "holds nothing beyond it".to_owned(),
            (Some(more), _) => {
                format!("holds {more} operations beyond it; what members have of them comes back from them")
            }
            (None, why) => format!("cannot be compared ({})", why.unwrap_or("it is damaged")),
        };
        let fate = if restored { "is kept as" } else { "would be kept as" };
        lines.push(format!(
            "the store that is there {holds}; it {fate} {replaced} (back to it with `muster restore`, never by renaming: it \
             would not know that it is a copy)"
        ));
    }
    lines.push(if restored {
        "restored; start the node with: muster up. Attachments are not part of a backup.".to_owned()
    } else {
        "nothing was changed; leave out --dry-run to restore it".to_owned()
    });
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

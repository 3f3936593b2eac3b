//! The home finds the first villain out, in the midst of everything, and removes it.

use std::{sync::Arc, time::Duration};

use muster_actors::{Node, RemoveMemberError, ports::Clock};
use rand::RngExt;

use super::{Person, waited_for};
use crate::{
    dice,
    world::{Machine, person::Asker},
};

/// Lets the home remove the first villain at some time after it joined; whoever waits for all people waits for this.
#[expect(clippy::disallowed_methods, reason = "whoever removes is a task of the world")]
pub(in crate::world) fn remove_one(home: &Arc<Machine>) -> Option<Person> {
    let shared = Arc::clone(home.shared());
    let villain = *shared.den.ids().first()?;
    let mut asker = Asker::another(home, "removal", &[]);
    let mut dice = dice::dice(shared.seed, "when a villain is removed", &[]);
    let at_ms = shared.plan.world.duration_ms / 10 * dice.random_range(3..8);
    Some(waited_for(tokio::spawn(async move {
        shared.clock().sleep(Duration::from_millis(at_ms)).await;
        while !shared.den.has_joined(villain) {
            if shared.ledger.is_calm() {
                return; // it never came
            }
            asker.pause(1_000).await;
        }
        let Some(workspace) = shared.ledger.workspace() else { return };
        let again = |error: &RemoveMemberError| matches!(error, RemoveMemberError::Unavailable(_));
        let removed = asker
            .insist(again, async |node: Node| match node.remove_member(workspace, villain).await {
                // Its answer was lost.
                Ok(()) | Err(RemoveMemberError::UnknownMember) => {
                    let space = node.store().space_of(workspace);
                    let control = space.and_then(|space| node.store().control(space));
                    Ok(control.and_then(|control| control.removed_at(villain)))
                }
                Err(error) => Err(error),
            })
            .await;
        if let Some(Some(height)) = removed {
            shared.den.removed(villain, height);
            shared.record("villain removed", &[&height.to_be_bytes()]);
        } else {
            shared.ledger.wrong("a villain that was removed is none that was removed".to_owned());
        }
    })))
}

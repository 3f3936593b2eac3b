//! People who talk in private: one at each machine, who opens a private channel with some of the others, speaks in those
//! in which they take part, and now and then lets somebody in or puts somebody out.

use std::{sync::Arc, time::Duration};

use muster_actors::{NewStream, NewUser, Node, PostError, PrincipalError, StreamError, ports::Clock};
use muster_protocol::{
    ids::{StreamId, WorkspaceId},
    principal::Principal,
};
use muster_storage::{NewPost, NotPosted, StoreError};
use rand::{RngExt, seq::IndexedRandom};

use super::{
    Machine,
    ledger::Confided,
    person::{Asker, PAUSE_MS_MAX, Person},
};

/// When everybody who is there wishes for a slug, in milliseconds.
const WISH_MS: u64 = 5_000;
/// Of so many things that a confidant does, one changes who takes part.
const CHANGES_ONE_IN: u32 = 4;

/// Puts somebody at a machine who confides things to some of the others.
#[expect(clippy::disallowed_methods, reason = "a person is a task of its world")]
pub(super) fn confide(machine: &Arc<Machine>) -> Person {
    let asker = Asker::another(machine, "confidences", &[&machine.index().to_be_bytes()]);
    Person::of(tokio::spawn(async move { Confidant { asker }.live().await.unwrap_or_default() }))
}

struct Confidant {
    asker: Asker,
}

/// Why a stream is not opened or changed, and whether that passes.
fn passes(error: &StreamError) -> bool {
    matches!(error, StreamError::Unavailable(_) | StreamError::NotAllowed | StreamError::UnknownMember)
}

impl Confidant {
    async fn live(&mut self) -> Option<()> {
        let confidences = self.asker.shared.plan.confidences;
        if confidences == 0 {
            return None;
        }
        let workspace = self.workspace().await;
        // Most wish for their slug at the same moment, so that the home has to choose.
        let early_ms = WISH_MS.saturating_sub(self.asker.shared.beginning.elapsed_ms());
        self.asker.shared.clock().sleep(Duration::from_millis(early_ms)).await;
        let me = self.become_somebody(workspace).await?;
        self.asker.shared.ledger.became(self.asker.machine.index(), me);
        let pause_ms = 2 * self.asker.shared.plan.world.duration_ms / (confidences as u64 + 1);
        self.asker.pause(pause_ms).await;
        self.open(workspace, me).await?;
        for number in 0..confidences {
            self.asker.pause(pause_ms).await;
            let Some(stream) = self.choose_stream(workspace, me) else { continue };
            if self.asker.dice.random_ratio(1, CHANGES_ONE_IN) {
                self.change(workspace, stream).await?;
            } else {
                self.speak(workspace, stream, me, number).await;
            }
        }
        Some(())
    }

    /// The workspace, once this machine is in it.
    async fn workspace(&mut self) -> WorkspaceId {
        loop {
            let known = self.asker.shared.ledger.workspace();
            let here = |workspace| {
                self.asker.machine.node().is_some_and(|node| node.store().space_of(workspace).is_some())
            };
            match known.filter(|workspace| here(*workspace)) {
                Some(workspace) => return workspace,
                None => self.asker.pause(PAUSE_MS_MAX).await,
            }
        }
    }

    /// A person of this machine: everybody wishes for the same slug, and the home gives it to one.
    async fn become_somebody(&mut self, workspace: WorkspaceId) -> Option<Principal> {
        let index = self.asker.machine.index();
        let again = |error: &PrincipalError| {
            // The slug may be theirs already: the home gave it, and the answer was lost.
            let passes = [PrincipalError::NotAllowed, PrincipalError::SlugTaken].contains(error);
            passes || matches!(error, PrincipalError::Unavailable(_))
        };
        let email = &format!("{index}@example.org");
        let wish = |slug: Option<String>| NewUser {
            name: format!("Person {index}"),
            email: email.clone(),
            slug,
            role: "member".to_owned(),
        };
        let wish = &wish;
        self.asker
            .insist(again, async |node: Node| {
                if let Some(known) = person(&node, workspace, email).map_err(|_| UNREADABLE)? {
                    return Ok(known);
                }
                match node.create_user(workspace, wish(Some("somebody".to_owned()))).await {
                    Err(PrincipalError::SlugTaken) => {
                        Ok(node.create_user(workspace, wish(Some(format!("somebody-{index}")))).await?.id)
                    }
                    made => Ok(made?.id),
                }
            })
            .await
    }

    /// Everybody known so far.
    fn others(&self, me: Principal) -> Vec<Principal> {
        let people = self.asker.shared.ledger.people().into_values();
        people.filter(|person| *person != me).collect()
    }

    async fn open(&mut self, workspace: WorkspaceId, me: Principal) -> Option<()> {
        let mut members = self.others(me);
        members.retain(|_| self.asker.dice.random_ratio(1, 2));
        members.insert(0, me);
        let slug = format!("plans-{}", self.asker.machine.index());
        let new = &NewStream { slug: Some(slug), members, ..NewStream::default() };
        self.asker
            .insist(passes, async |node: Node| {
                match node.open_private_channel(workspace, new.clone()).await {
                    Ok(_) | Err(StreamError::Exists) => Ok(()), // asked again after a lost answer
                    Err(error) => Err(error),
                }
            })
            .await
    }

    fn choose_stream(&mut self, workspace: WorkspaceId, me: Principal) -> Option<StreamId> {
        let node = self.asker.machine.node()?;
        let view = node.store().view().ok()?;
        let row = view.workspace(&workspace.to_string()).ok()??;
        view.parts_of(&row, me).ok()?.choose(&mut self.asker.dice).copied()
    }

    /// Lets somebody in, or puts somebody out.
    async fn change(&mut self, workspace: WorkspaceId, stream: StreamId) -> Option<()> {
        let people: Vec<_> = self.asker.shared.ledger.people().into_values().collect();
        let who = people.choose(&mut self.asker.dice).copied()?;
        let joined = self.asker.dice.random_ratio(2, 3);
        self.asker
            .insist(passes, async |node: Node| match node.set_part(workspace, stream, who, joined).await {
                // They did not take part; or this person was put out meanwhile, or everything was forgotten.
                Err(StreamError::UnknownMember | StreamError::UnknownStream | StreamError::NotAllowed) => {
                    Ok(())
                }
                other => other,
            })
            .await
    }

    /// Says something until it is known whether it is taken.
    async fn speak(&mut self, workspace: WorkspaceId, stream: StreamId, me: Principal, number: usize) {
        let index = self.asker.machine.index();
        let text = format!("{number} of {index}");
        let random: [u8; 5] = self.asker.dice.random();
        let new = NewPost {
            stream,
            author: me,
            text: text.clone(),
            client_id: format!("c-{index}-{number}"), // a name for it is unique in its stream (W-49)
            metadata: Vec::new(),
            sent_via: String::new(),
            attachments: Vec::new(),
            random,
        };
        let lives = self.asker.shared.ledger.lives(index);
        loop {
            if self.asker.shared.ledger.lives(index) != lives {
                return; // it may stand there from before the copy: said again it might stand there twice
            }
            if let Some(node) = self.asker.machine.node() {
                match self.asker.hear(node.post(workspace, new.clone())).await {
                    Some(Ok(_)) => {
                        let confided = Confided { node: index, stream, text };
                        return self.asker.shared.ledger.confide(confided);
                    }
                    None | Some(Err(PostError::Unavailable(_))) => {}
                    // It may not know yet that it was let in, or was put out.
                    Some(Err(PostError::UnknownWorkspace)) => {}
                    Some(Err(PostError::Refused(
                        NotPosted::UnknownStream | NotPosted::NotAMember | NotPosted::NotAllowed,
                    ))) => return,
                    Some(Err(error)) => {
                        return self.asker.machine.wrong(&format!("a confidence is refused: {error:?}"));
                    }
                }
            }
            self.asker.pause(PAUSE_MS_MAX).await;
        }
    }
}

const UNREADABLE: PrincipalError = PrincipalError::Unavailable(muster_actors::Unavailable::Storage);

fn person(node: &Node, workspace: WorkspaceId, email: &str) -> Result<Option<Principal>, StoreError> {
    let view = node.store().view()?;
    let Some(row) = view.workspace(&workspace.to_string())? else { return Ok(None) };
    let found = view.people(&row, None, |person| person.card.email == email, 1)?;
    Ok(found.first().map(|person| person.id))
}

//! What happens in the demonstration.

use std::{collections::BTreeSet, path::Path, time::Instant};

use muster_protocol::{control::Role, ids::WorkspaceId};
use serde::Serialize;

use super::cast::{CHANNEL, Player};
use crate::cli::Output;

/// What the story came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Outcome {
    /// Nodes that took part.
    nodes: usize,
    /// Messages that were said and acknowledged.
    messages: usize,
    /// Of those, how many stand on every node.
    delivered: usize,
    /// Of those, how many are missing on some node.
    lost: usize,
    /// Messages that stand on some node more than once.
    duplicated: usize,
    /// Messages that stand on every node with a signature that holds.
    verified: usize,
    /// How long the story took.
    seconds: f64,
}

impl Outcome {
    /// Whether everything promised was kept.
    pub(super) fn is_whole(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.verified == self.messages
    }
}

/// A story that was told, its nodes still up.
pub(super) struct Told {
    players: Vec<Player>,
    workspace: WorkspaceId,
    outcome: Outcome,
}

struct Teller {
    output: Output,
    said: Vec<String>,
}

impl Teller {
    /// A line for people; scripts get the outcome alone.
    fn tell(&self, line: &str) {
        if matches!(self.output, Output::Human) {
            println!("{line}");
        }
    }

    fn scene(&self, title: &str) {
        self.tell(&format!("\n── {title}"));
    }

    async fn says(
        &mut self,
        player: &Player,
        workspace: WorkspaceId,
        thread: &str,
        text: &str,
    ) -> anyhow::Result<()> {
        let id = player.say(workspace, thread, text).await?;
        self.tell(&format!("   {:8} {text}", player.agent));
        self.said.push(id);
        Ok(())
    }
}

/// Plays the story in folders below `folder`.
pub(super) async fn play(folder: &Path, output: Output) -> anyhow::Result<Told> {
    #[expect(clippy::disallowed_methods, reason = "a stopwatch for the reader; nothing depends on it")]
    let begun = Instant::now();
    let mut teller = Teller { output, said: Vec::new() };
    teller.tell("Three nodes, no server. Each has its own key, its own store and its own API.");

    teller.scene("ada founds a workspace; bob and cleo join it with a ticket");
    let mut ada = Player::enter(folder, "ada", "planner").await?;
    let mut bob = Player::enter(folder, "bob", "coder").await?;
    let mut cleo = Player::enter(folder, "cleo", "reviewer").await?;
    for player in [&ada, &bob, &cleo] {
        let running = player.running()?;
        teller.tell(&format!("   {:8} {}  API http://{}", player.name, running.node.id(), running.http));
    }
    let workspace = ada.running()?.node.create_workspace("Workshop".to_owned(), None).await?.id;
    let invite = ada.running()?.node.create_invite(workspace, Role::Member, 3600, 2).await?;
    for player in [&bob, &cleo] {
        let row = player.running()?.node.join(&invite.ticket).await?;
        let role = row.role.map_or("nobody", Role::as_str);
        teller.tell(&format!("   {:8} joined {} as {role}", player.name, row.name));
    }

    teller.scene(&format!("an agent on each node enters the channel {CHANNEL}"));
    for player in [&mut ada, &mut bob, &mut cleo] {
        player.bring_agent(workspace).await?;
    }
    for player in [&ada, &bob, &cleo] {
        player.sees(workspace, 3).await?;
        teller.tell(&format!("   {:8} sees planner, coder and reviewer", player.name));
    }

    teller.scene("they talk, each answering what came from another node");
    let thread = "thread_release_check";
    let talk = [
        (&ada, "Release 0.1 is due. Who runs the smoke test?"),
        (&bob, "I do. It takes two minutes."),
        (&cleo, "Then I read the changelog meanwhile."),
        (&bob, "Smoke test is green."),
        (&cleo, "Changelog reads well; one typo, mended."),
        (&ada, "Good. Tagging."),
    ];
    for (at, (player, text)) in talk.into_iter().enumerate() {
        player.hears(workspace, thread, at).await?; // nobody answers before having heard
        teller.says(player, workspace, thread, text).await?;
    }
    for player in [&ada, &bob, &cleo] {
        player.hears(workspace, thread, talk.len()).await?;
    }

    teller.scene("cleo's node goes to sleep; ada and bob talk on");
    cleo.stop().await;
    let late = "thread_while_away";
    let talk = [
        (&ada, "Tagged. Does the install page point at it?"),
        (&bob, "It does now."),
        (&ada, "Then we tell people tomorrow."),
        (&bob, "I write the draft tonight."),
    ];
    for (at, (player, text)) in talk.into_iter().enumerate() {
        player.hears(workspace, late, at).await?;
        teller.says(player, workspace, late, text).await?;
    }

    teller.scene("cleo's node wakes up and catches up");
    cleo.start(folder).await?;
    cleo.hears(workspace, late, talk.len()).await?;
    for (_, text) in cleo.thread(workspace, late)? {
        teller.tell(&format!("   {:8} reads: {text}", cleo.agent));
    }
    teller.says(&cleo, workspace, late, "Read everything. Draft is fine with me.").await?;
    for player in [&ada, &bob] {
        player.hears(workspace, late, talk.len() + 1).await?;
    }

    let players = vec![ada, bob, cleo];
    let outcome = count(&players, workspace, &[thread, late], &teller.said, begun.elapsed().as_secs_f64())?;
    teller.scene("the reckoning");
    teller.tell(&format!(
        "   {} messages, on all {} nodes: {}; lost {}, duplicated {}, signature verified {}",
        outcome.messages,
        outcome.nodes,
        outcome.delivered,
        outcome.lost,
        outcome.duplicated,
        outcome.verified
    ));
    Ok(Told { players, workspace, outcome })
}

/// Looks for every acknowledged message on every node.
fn count(
    players: &[Player],
    workspace: WorkspaceId,
    threads: &[&str],
    said: &[String],
    seconds: f64,
) -> anyhow::Result<Outcome> {
    let mut everywhere: BTreeSet<&String> = said.iter().collect();
    let (mut duplicated, mut verified) = (0, said.len());
    for player in players {
        let mut here = Vec::new();
        for thread in threads {
            here.extend(player.thread(workspace, thread)?.into_iter().map(|(id, _)| id));
        }
        let distinct: BTreeSet<_> = here.iter().collect();
        duplicated += here.len() - distinct.len();
        everywhere.retain(|id| distinct.contains(id));
        verified = verified.min(player.verified(workspace)?);
    }
    let (messages, delivered) = (said.len(), everywhere.len());
    let seconds = (seconds * 1000.0).round() / 1000.0;
    Ok(Outcome {
        nodes: players.len(),
        messages,
        delivered,
        lost: messages - delivered,
        duplicated,
        verified,
        seconds,
    })
}

impl Told {
    /// Leaves the nodes up, with addresses to try, until Ctrl-C.
    pub(super) async fn stay(&self, output: Output) -> anyhow::Result<()> {
        if matches!(output, Output::Human) {
            println!("\nThe nodes stay up until Ctrl-C. Look around, on any of them:");
            for player in &self.players {
                let http = player.running()?.http;
                println!(
                    "   curl http://{http}/api/workspaces/{}/network/channels/{CHANNEL}/threads",
                    self.workspace
                );
            }
            if let Some(player) = self.players.first() {
                println!("   open http://{}/docs", player.running()?.http);
            }
        }
        Ok(tokio::signal::ctrl_c().await?)
    }

    /// Ends all nodes.
    pub(super) async fn end(mut self) -> Outcome {
        for player in &mut self.players {
            player.stop().await;
        }
        self.outcome
    }
}

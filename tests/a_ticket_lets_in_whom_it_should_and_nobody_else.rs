//! A ticket lets in whom it should, as often as it should, as long as it should, and nobody else.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests of real processes in real time")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use muster_protocol::{control::Role, identity::Identity, ticket::SignedTicket};
use serde_json::json;
use support::{Node, Place, workspace};

mod support;

/// The home of a workspace, and somebody who is not in it.
struct Two {
    _places: [Place; 2],
    home: Node,
    guest: Node,
    workspace: String,
}

async fn two() -> Two {
    let places = [Place::new("ada"), Place::new("bob")];
    let (home, guest) = tokio::join!(places[0].up(), places[1].up());
    let workspace = workspace(&home, &[]).await;
    Two { _places: places, home, guest, workspace }
}

impl Two {
    /// The guest is refused with this status and code, and is in no workspace.
    async fn refused(&self, ticket: &str, status: u16, code: &str) {
        let refusal = self.guest.api.join(ticket).await.expect(status);
        assert_eq!(refusal["code"], code, "{refusal}");
        assert!(refusal["detail"].is_string(), "it says why: {refusal}");
        self.is_outside().await;
    }

    async fn is_outside(&self) {
        assert!(!self.home.api.is_member(&self.workspace, &self.guest.peer_id).await);
        let joined = self.guest.api.get("/node/v1/workspaces").await.expect(200);
        assert_eq!(joined["workspaces"], json!([]));
    }

    async fn invite(&self, wish: serde_json::Value) -> (String, serde_json::Value) {
        let invite = self.home.api.invite(&self.workspace, wish).await;
        (invite["ticket"].as_str().unwrap().to_owned(), invite)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ticket_nobody_comes_in() {
    let two = two().await;
    for text in ["", "let me in", "muster1", "https://example.org/invite", &two.workspace] {
        two.refused(text, 400, "not_a_ticket").await;
    }
    // Who merely knows where the home is and what the workspace is called gets nothing from either.
    let foreign = two.guest.api.get(&format!("/node/v1/workspaces/{}", two.workspace)).await;
    foreign.expect(404);
    let inside = format!("/api/workspaces/{}/network/channels/builders/threads", two.workspace);
    two.guest.api.get(&inside).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_was_altered_is_no_ticket() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({})).await;
    let middle = ticket.len() / 2;
    let other = if ticket.as_bytes()[middle] == b'a' { "b" } else { "a" };
    let flipped = format!("{}{other}{}", &ticket[..middle], &ticket[middle + 1..]);
    two.refused(&flipped, 400, "not_a_ticket").await;
    two.refused(&ticket[..ticket.len() - 8], 400, "not_a_ticket").await;
    two.refused(&format!("{ticket}aaaaaaaa"), 400, "not_a_ticket").await;
    two.guest.api.join(&ticket).await.expect(200); // and whole it still opens
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_signed_by_nobody_who_may_invite_opens_nothing() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({})).await;
    let genuine: SignedTicket = ticket.parse().unwrap();
    let forger = Identity::from_seed([66; 32]);
    let mut forged = genuine.ticket().clone();
    forged.issuer = forger.node();
    forged.role = Role::Admin.code();
    two.refused(&forged.sign(&forger).to_string(), 403, "ticket_not_valid").await;
    let mut invented = genuine.ticket().clone();
    invented.issuer = forger.node();
    invented.invite.0 = [9; 16];
    two.refused(&invented.sign(&forger).to_string(), 403, "ticket_not_valid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_ticket_opens_nothing() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({ "expires_in_seconds": 1 })).await;
    let ends_ms = ticket.parse::<SignedTicket>().unwrap().ticket().not_after_ms;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    tokio::time::sleep(Duration::from_millis(ends_ms.saturating_sub(now_ms) + 20)).await;
    two.refused(&ticket, 403, "ticket_not_valid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_ticket_opens_nothing() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({ "max_uses": 1 })).await;
    let at_eve = Place::new("eve");
    let eve = at_eve.up().await;
    eve.api.join(&ticket).await.expect(200);
    two.refused(&ticket, 403, "ticket_not_valid").await;
    eve.api.join(&ticket).await.expect(200); // whose answer was lost may ask again
    let members = two.home.api.members(&two.workspace).await;
    assert_eq!(members.len(), 2, "{members:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_ticket_opens_nothing() {
    let two = two().await;
    let (ticket, invite) = two.invite(json!({ "max_uses": 5 })).await;
    let invite = invite["invite_id"].as_str().unwrap();
    let path = format!("/node/v1/workspaces/{}/invites/{invite}", two.workspace);
    two.home.api.delete(&path).await.expect(204);
    two.refused(&ticket, 403, "ticket_not_valid").await;
    let unknown = format!("/node/v1/workspaces/{}/invites/inv_01ARZ3NDEKTSV4RRFFQ69G5FAV", two.workspace);
    two.home.api.delete(&unknown).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_home_cannot_be_reached_that_is_what_is_said() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({})).await;
    let Two { home, guest, .. } = two;
    home.kill().await;
    let refusal = guest.api.join(&ticket).await.expect(504);
    assert_eq!(refusal["code"], "inviter_unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_neither_invites_nor_removes() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({ "role": "member" })).await;
    let joined = two.guest.api.join(&ticket).await.expect(200);
    assert_eq!(joined["role"], "member");
    let invites = format!("/node/v1/workspaces/{}/invites", two.workspace);
    two.guest.api.post(&invites, json!({})).await.expect(403);
    two.guest.api.remove(&two.workspace, &two.home.peer_id).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_reads_and_does_not_write() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({ "role": "guest" })).await;
    two.guest.api.join(&ticket).await.expect(200);
    let asker = two.home.api.session(&two.workspace, "asker", "builders").await;
    let said = [two.home.api.say(&two.workspace, &asker, "thread_open", "welcome").await];
    two.guest.api.until_thread_holds(&two.workspace, "builders", "thread_open", &said).await;
    let agents = format!("/node/v1/workspaces/{}/agents", two.workspace);
    two.guest.api.post(&agents, json!({ "name": "talker" })).await.expect(201);
    let sessions = format!("/node/v1/workspaces/{}/sessions", two.workspace);
    let wish = json!({ "agent_name": "talker", "channel": "builders" });
    two.guest.api.post(&sessions, wish).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_elsewhere_invites_and_removes_through_the_home() {
    let two = two().await;
    let (ticket, _) = two.invite(json!({ "role": "admin" })).await;
    two.guest.api.join(&ticket).await.expect(200);
    let ticket = two.guest.api.ticket(&two.workspace).await;
    let at_eve = Place::new("eve");
    let eve = at_eve.up().await;
    eve.api.join(&ticket).await.expect(200);
    two.guest.api.remove(&two.workspace, &eve.peer_id).await.expect(204);
    assert!(!two.home.api.is_member(&two.workspace, &eve.peer_id).await);
}

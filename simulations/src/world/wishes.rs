//! What a session may want: to talk in threads and rooms, to open, carry on and end work, to know who is there, and
//! now and then something that no node may grant.

use muster_actors::SendRequest;
use muster_protocol::{
    ids::WorkspaceId,
    network::{ChannelName, DirectId, Pair, PeerName, WorkId, WorkspaceRef},
};
use muster_storage::MessagePage;
use rand::{RngExt, seq::IndexedRandom};
use serde_json::{Value, json};

use super::{
    Machine,
    ledger::{Errand, Session},
};
use crate::dice::{self, Dice};

/// Works of its own that a session still has in mind: few, so that both sides speak about the same one.
const IN_MIND: usize = 2;
/// Ids of a channel under which everybody opens work, so that some open two at once.
const COMMON_WORKS: u32 = 2;
/// The first wishes of a session.
const EARLY: usize = 6;

/// One thing that a session wants.
#[derive(Debug, Clone)]
pub(super) enum Wish {
    /// To send this.
    Say(SendRequest),
    /// To send this, which must be refused whatever the node knows.
    Wrong(SendRequest),
    /// To see its room with a peer.
    Resolve(PeerName),
}

/// Makes up one wish.
pub(super) struct Mind<'a> {
    pub(super) machine: &'a Machine,
    pub(super) workspace: WorkspaceId,
    pub(super) session: &'a Session,
    pub(super) dice: &'a mut Dice,
    /// How its text begins.
    pub(super) text: String,
}

impl Mind<'_> {
    /// The `number`th wish of its session.
    pub(super) fn wish(mut self, number: usize) -> Wish {
        let bytes_max = self.machine.shared().plan.text_bytes_max;
        let length = dice::exponential(self.dice, bytes_max as u64 / 8) as usize;
        self.text.extend(std::iter::repeat_n('x', length.min(bytes_max)));
        let wish = match self.dice.random_range(0..16) {
            // Early, so that many rooms are opened from both sides before anything is said in them.
            _ if number <= EARLY && self.dice.random_ratio(1, 2) => self.visible_peer().map(Wish::Resolve),
            0..=2 => self.say_in_room(),
            3 => self.visible_peer().map(Wish::Resolve),
            4 => self.open_work(number),
            5..=9 => self.carry_on(),
            10 => Some(self.ask_who()),
            11 if self.dice.random_ratio(1, 2) => Some(Wish::Wrong(self.wrong(number))),
            _ => None,
        };
        wish.unwrap_or_else(|| self.say_in_thread())
    }

    // ---- talk ----------------------------------------------------------------------------------

    fn say_in_thread(&mut self) -> Wish {
        let thread = self.thread();
        let read = self.machine.seen.newest(&self.session.channel, &thread);
        let answers = self.dice.random_ratio(1, 3);
        let to = if self.dice.random_ratio(1, 6) { self.visible_peer() } else { None };
        Wish::Say(SendRequest {
            to: to.map(|peer| peer.as_str().to_owned()),
            reply_to: read.filter(|_| answers).map(|(_, id)| id),
            ..self.said(Some(&thread), None)
        })
    }

    fn say_in_room(&mut self) -> Option<Wish> {
        let peer = self.visible_peer()?;
        let answers = self.dice.random_ratio(1, 3);
        let newest = if answers { self.newest_with(&peer) } else { None };
        Some(Wish::Say(SendRequest { reply_to: newest, ..self.said(None, Some(peer.as_str())) }))
    }

    fn ask_who(&mut self) -> Wish {
        let directed = self.dice.random_ratio(1, 2);
        let to = if directed { self.visible_peer() } else { None };
        let query = ["agent-0", "", "nobody-is-called-that"].choose(self.dice).copied();
        let query = query.filter(|query| !query.is_empty());
        let rich = self.dice.random_ratio(1, 2);
        let ext = json!({ "agh.include": ["capability_catalog"] }).as_object().cloned();
        Wish::Say(SendRequest {
            kind: "whois".to_owned(),
            to: to.map(|peer| peer.as_str().to_owned()),
            body: query
                .map_or(json!({ "type": "request" }), |query| json!({ "type": "request", "query": query })),
            ext: ext.filter(|_| rich),
            ..SendRequest::default()
        })
    }

    // ---- work ----------------------------------------------------------------------------------

    fn open_work(&mut self, number: usize) -> Option<Wish> {
        let target = self.visible_peer()?.as_str().to_owned();
        let work = if self.dice.random_ratio(1, 3) {
            format!("work_of_all_{}_{}", self.session.channel, self.dice.random_range(0..COMMON_WORKS))
        } else {
            format!("work_{number}_of_{}", self.session.peer)
        };
        let thread = if self.dice.random_ratio(1, 2) { Some(self.thread()) } else { None };
        let request = SendRequest {
            to: Some(target.clone()),
            work_id: Some(work.clone()),
            ..self.said(thread.as_deref(), Some(&target))
        };
        let (channel, opener) = (self.session.channel.clone(), self.session.peer.clone());
        self.machine.shared().ledger.give(Errand { work, channel, thread, opener, target });
        Some(Wish::Say(request))
    }

    /// Something about a work that was given: mostly by one of the two who may, mostly where it belongs.
    fn carry_on(&mut self) -> Option<Wish> {
        let (me, given) = (&self.session.peer, self.machine.shared().ledger.errands(&self.session.channel));
        let mine: Vec<_> = given
            .iter()
            .rev()
            .filter(|work| work.opener == *me || work.target == *me)
            .take(IN_MIND)
            .collect();
        let interferes = self.dice.random_ratio(1, 8);
        let errand =
            if interferes { given.choose(self.dice)? } else { mine.choose(self.dice).copied()? }.clone();
        if self.has_ended(&errand) && self.dice.random_ratio(3, 4) {
            return None;
        }
        let other = if errand.opener == self.session.peer { &errand.target } else { &errand.opener };
        if *other == self.session.peer {
            return None;
        }
        let elsewhere = self.dice.random_ratio(1, 16);
        let thread = if elsewhere { Some(self.thread()) } else { errand.thread.clone() };
        let body = self.progress();
        let (kind, body) = body.unwrap_or_else(|| ("say", json!({ "text": self.text })));
        let silent = thread.is_some() && kind != "say" && self.dice.random_ratio(1, 4);
        Some(Wish::Say(SendRequest {
            kind: kind.to_owned(),
            body,
            to: Some(other.clone()).filter(|_| !silent),
            work_id: Some(errand.work.clone()),
            ..self.said(thread.as_deref(), Some(other))
        }))
    }

    /// A trace or receipt; `None` for talk.
    fn progress(&mut self) -> Option<(&'static str, Value)> {
        let trace = |state: &str| Some(("trace", json!({ "state": state, "message": self.text })));
        let receipt = |status: &str, reason: Option<&str>| {
            let mut body = json!({ "for_id": "msg-1", "status": status, "detail": self.text });
            if let Some(reason) = reason {
                body["reason_code"] = reason.into();
            }
            Some(("receipt", body))
        };
        match self.dice.random_range(0..16) {
            0..=2 => trace("working"),
            3..=4 => trace("needs_input"),
            5..=6 => trace("completed"),
            7 => trace("failed"),
            8 => trace("canceled"),
            9..=10 => receipt("accepted", None),
            11 => receipt("rejected", Some("busy")),
            12 => receipt("canceled", None),
            _ => None,
        }
    }

    fn has_ended(&self, errand: &Errand) -> bool {
        let record = || {
            let view = self.machine.node()?.store().view().ok()?;
            let row = view.workspace(&self.workspace.to_string()).ok()??;
            view.work(&row, &WorkId::parse(&errand.work).ok()?).ok()?
        };
        record().is_some_and(|record| record.state.is_terminal())
    }

    // ---- what must be refused ------------------------------------------------------------------

    fn wrong(&mut self, number: usize) -> SendRequest {
        let peer = self.visible_peer();
        let to = peer.as_ref().map_or(self.session.peer.as_str(), PeerName::as_str).to_owned();
        let thread = self.thread();
        match self.dice.random_range(0..5) {
            // Another room than that of the two (N-42).
            0 => {
                SendRequest { direct_id: Some(format!("direct_{number:032x}")), ..self.said(None, Some(&to)) }
            }
            // A room, and nobody in it (N-42).
            1 => SendRequest { to: None, ..self.said(None, Some(&to)) },
            // A room with oneself (N-35).
            2 => SendRequest { to: Some(self.session.peer.clone()), ..self.said(None, Some(&to)) },
            // Work that nobody opened (N-43).
            3 => SendRequest {
                kind: "trace".to_owned(),
                body: json!({ "state": "completed" }),
                work_id: Some(format!("work_of_nobody_{number}")),
                ..self.said(Some(&thread), None)
            },
            // Back to the beginning (N-45).
            _ => {
                let given = self.machine.shared().ledger.errands(&self.session.channel);
                let work = given.last().map_or("work_of_nobody".to_owned(), |errand| errand.work.clone());
                SendRequest {
                    kind: "trace".to_owned(),
                    body: json!({ "state": "submitted" }),
                    work_id: Some(work),
                    ..self.said(Some(&thread), None)
                }
            }
        }
    }

    // ---- pieces --------------------------------------------------------------------------------

    /// A say in a thread or, without one, in the room with a peer.
    fn said(&self, thread: Option<&str>, peer: Option<&str>) -> SendRequest {
        let talk = SendRequest {
            kind: "say".to_owned(),
            body: json!({ "text": self.text }),
            ..SendRequest::default()
        };
        match (thread, peer) {
            (Some(thread), _) => {
                SendRequest { surface: Some("thread".to_owned()), thread_id: Some(thread.to_owned()), ..talk }
            }
            (None, Some(peer)) => SendRequest {
                surface: Some("direct".to_owned()),
                direct_id: self.room(peer).map(|room| room.as_str().to_owned()),
                to: Some(peer.to_owned()),
                ..talk
            },
            (None, None) => talk,
        }
    }

    fn thread(&mut self) -> String {
        format!("thread_{:03}", self.dice.random_range(0..self.machine.shared().plan.threads))
    }

    /// The room with a peer.
    fn room(&self, peer: &str) -> Option<DirectId> {
        let (me, peer) = (PeerName::parse(&self.session.peer).ok()?, PeerName::parse(peer).ok()?);
        let workspace = WorkspaceRef::parse(&self.workspace.to_string()).ok()?;
        Some(Pair::of(&me, &peer).ok()?.room(&workspace, &ChannelName::parse(&self.session.channel).ok()?))
    }

    /// The id of the newest message in the room with a peer.
    fn newest_with(&self, peer: &PeerName) -> Option<String> {
        let (room, channel) = (self.room(peer.as_str())?, ChannelName::parse(&self.session.channel).ok()?);
        let view = self.machine.node()?.store().view().ok()?;
        let row = view.workspace(&self.workspace.to_string()).ok()??;
        let page = MessagePage { limit: usize::MAX, ..MessagePage::default() };
        let messages = view.room_messages(&row, &channel, &room, &page).ok()?.ok()?;
        messages.last().map(|message| message.envelope.id.as_str().to_owned())
    }

    /// Somebody else in the same channel.
    fn visible_peer(&mut self) -> Option<PeerName> {
        let channel = ChannelName::parse(&self.session.channel).ok()?;
        let peers = self.machine.node()?.peers(self.machine.workspace()?, Some(&channel)).ok()?;
        let others: Vec<_> = peers.iter().filter(|peer| peer.peer.as_str() != self.session.peer).collect();
        others.choose(self.dice).map(|peer| peer.peer.clone())
    }
}

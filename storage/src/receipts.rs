//! Automatic receipts: what this node answers in the name of one of its peers when a message to that peer is
//! rejected (N-91).
//!
//! They are signed and stored in the same transaction that rejects, so a crash loses none, and their id is made of the
//! rejected operation, so none is sent twice.

use muster_protocol::{
    content::Void,
    identity::NodeId,
    ids::{OpId, SpaceId, hash},
    network::{
        Container, Envelope, MessageId, Offender, Pair, PeerName, ReasonCode, Refusal, Rejection, proof,
    },
    operation::Operation,
    session,
};

use crate::{StoreError, batch::Batch, changes::RejectedChange};

impl Batch<'_> {
    /// Records that a readable message of another node was rejected, and answers it if that is due.
    pub(crate) fn reject(
        &mut self,
        space: SpaceId,
        op: &Operation,
        envelope: &Envelope,
        rejection: &Rejection,
    ) -> Result<(), StoreError> {
        if op.header().author == self.me() {
            return Ok(());
        }
        let workspace = self.workspace_of(space);
        let addressed = envelope.to.as_ref().filter(|to| {
            self.local_peers(workspace, &envelope.channel).iter().any(|local| local.peer == **to)
        });
        if let Some(to) = addressed {
            self.note_rejected(workspace, envelope.id.as_str(), to, rejection.reason())?;
            let to = to.clone();
            self.changes.rejected.push(RejectedChange { space: workspace, kind: Some(envelope.kind), to });
        }
        match Offender::of(envelope) {
            Some(offender) => {
                self.answer_rejected(workspace, op.header().author, op.id(), &offender, rejection)
            }
            None => Ok(()),
        }
    }

    /// The same for an operation whose envelope is void.
    pub(crate) fn reject_void(
        &mut self,
        space: SpaceId,
        op: &Operation,
        void: Void,
    ) -> Result<(), StoreError> {
        let author = op.header().author;
        if void != Void::Malformed || author == self.me() {
            return Ok(());
        }
        let Some(body) = op.body() else { return Ok(()) };
        let (Err(refusal), Some(offender)) = (Envelope::parse(body), Offender::read(body)) else {
            return Ok(());
        };
        let workspace = self.workspace_of(space);
        let rejection = Rejection::Refused(refusal);
        if self.local_peers(workspace, &offender.channel).iter().any(|local| local.peer == offender.to) {
            self.note_rejected(workspace, offender.id.as_str(), &offender.to, rejection.reason())?;
            let to = offender.to.clone();
            self.changes.rejected.push(RejectedChange { space: workspace, kind: None, to });
        }
        self.answer_rejected(workspace, author, op.id(), &offender, &rejection)
    }

    fn note_rejected(
        &mut self,
        workspace: SpaceId,
        message: &str,
        to: &PeerName,
        reason: ReasonCode,
    ) -> Result<(), StoreError> {
        let data = serde_json::json!({
            "message_id": message, "peer_id": to.as_str(), "session_id": session::session_of(to),
            "outcome": "rejected", "reason": reason.as_str(),
        });
        self.note(workspace, "delivery", &data)
    }

    fn answer_rejected(
        &mut self,
        workspace: SpaceId,
        author: NodeId,
        op: OpId,
        offender: &Offender,
        rejection: &Rejection,
    ) -> Result<(), StoreError> {
        let here =
            self.local_peers(workspace, &offender.channel).iter().any(|local| local.peer == offender.to);
        let control = self.control_state(workspace);
        let this = control
            .as_ref()
            .is_some_and(|control| control.genesis().workspace.to_string() == offender.workspace_id.as_str());
        if !here || !this || !self.may_write(workspace) || !session::may_speak_as(author, &offender.from) {
            return Ok(());
        }
        let space = match &offender.container {
            Container::Thread(_) => workspace,
            Container::Direct(room) => {
                let pair = Pair::of(&offender.from, &offender.to);
                if !pair.is_ok_and(|pair| pair.room(&offender.workspace_id, &offender.channel) == *room) {
                    return Ok(()); // there is no such room to answer in
                }
                self.begin_pair(workspace, author)?.unwrap_or(workspace)
            }
        };
        let random = hash("muster/receipt/v1", &[&op.0]);
        let [a, b, c, d, e, f, g, h, ..] = random;
        let id = MessageId::from_entropy([a, b, c, d, e, f, g, h]);
        let Some(mut receipt) = offender.answer(rejection, id, self.now_s()) else { return Ok(()) };
        if self.sent_before(workspace, &receipt)?.is_some() {
            return Ok(());
        }
        let Some(control) = self.control_state(space) else { return Ok(()) };
        let signed = proof::sign(&mut receipt, self.memory.identity.signing_key());
        let json = signed.map_err(|_| ()).and_then(|_| receipt.to_json().map_err(|_: Refusal| ()));
        match json {
            Ok(json) => self.say(&control, &receipt, json).map(drop),
            // What was rejected is so large that even its links do not fit.
            Err(()) => Ok(()),
        }
    }
}

//! Automatic receipts: what this node answers in the name of one of its peers when a message to that peer is
//! rejected (N-91).
//!
//! They are signed and stored in the same transaction that rejects, so a crash loses none, and their id is made of the
//! rejected operation, so none is sent twice.

use muster_protocol::{
    content::Void,
    ids::{SpaceId, hash},
    network::{
        Container, Envelope, Kind, MessageId, Offender, Pair, PeerName, ReasonCode, Refusal, Rejection, proof,
    },
    operation::{self, Operation},
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
        if let Some(to) = &envelope.to {
            self.note_rejected(workspace, &envelope.id, Some(envelope.kind), to, rejection.reason())?;
        }
        match Offender::of(envelope) {
            Some(offender) => self.answer_rejected(space, op, &offender, rejection),
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
        // Only of an envelope is it known that its author signed it.
        if void != Void::Malformed || op.header().kind != operation::Kind::ENVELOPE || author == self.me() {
            return Ok(());
        }
        let Some(body) = op.body() else { return Ok(()) };
        let (Err(refusal), Some(offender)) = (Envelope::parse(body), Offender::read(body)) else {
            return Ok(());
        };
        let workspace = self.workspace_of(space);
        let rejection = Rejection::Refused(refusal);
        self.note_rejected(workspace, &offender.id, None, &offender.to, rejection.reason())?;
        self.answer_rejected(space, op, &offender, &rejection)
    }

    /// Records a rejection when it concerns a peer of this node, also one that is not there any more (N-93). The kind
    /// of a message that cannot be read is not known.
    fn note_rejected(
        &mut self,
        workspace: SpaceId,
        id: &MessageId,
        kind: Option<Kind>,
        to: &PeerName,
        reason: ReasonCode,
    ) -> Result<(), StoreError> {
        if !session::may_speak_as(self.me(), to) {
            return Ok(());
        }
        self.changes.rejected.push(RejectedChange { space: workspace, kind, to: to.clone() });
        let data = serde_json::json!({
            "message_id": id.as_str(), "peer_id": to.as_str(), "session_id": session::session_of(to),
            "outcome": "rejected", "reason": reason.as_str(),
        });
        self.note(workspace, "delivery", &data)
    }

    fn answer_rejected(
        &mut self,
        space: SpaceId,
        op: &Operation,
        offender: &Offender,
        rejection: &Rejection,
    ) -> Result<(), StoreError> {
        let (workspace, author) = (self.workspace_of(space), op.header().author);
        let here =
            self.local_peers(workspace, &offender.channel).iter().any(|local| local.peer == offender.to);
        let Some(control) = self.control_state(space) else { return Ok(()) };
        let this = control.genesis().workspace.to_string() == offender.workspace_id.as_str();
        if !here || !this || !self.may_write(workspace) || !session::may_speak_as(author, &offender.from) {
            return Ok(());
        }
        // The answer goes where the message stood, and a message that stood where it may not has none.
        let in_place = match &offender.container {
            Container::Thread(_) => space == workspace,
            Container::Direct(room) => {
                let pair = Pair::of(&offender.from, &offender.to);
                space == SpaceId::pair(workspace, self.me(), author)
                    && pair.is_ok_and(|pair| pair.room(&offender.workspace_id, &offender.channel) == *room)
            }
        };
        // A receipt speaks for its work: about work of others, the answer to an outsider would end it (N-94).
        if !in_place || !self.is_between(space, &offender.work_id, &offender.from, &offender.to)? {
            return Ok(());
        }
        let random = hash("muster/receipt/v1", &[&op.id().0]);
        let [a, b, c, d, e, f, g, h, ..] = random;
        let id = MessageId::from_entropy([a, b, c, d, e, f, g, h]);
        let Some(mut receipt) = offender.answer(rejection, id, self.now_s()) else { return Ok(()) };
        if self.sent_before(workspace, &receipt)?.is_some() {
            return Ok(());
        }
        let signed = proof::sign(&mut receipt, self.memory.identity.signing_key());
        let json = signed.map_err(|_| ()).and_then(|_| receipt.to_json().map_err(|_: Refusal| ()));
        match json {
            Ok(json) => self.say(&control, &receipt, json).map(drop),
            // What was rejected is so large that even its links do not fit.
            Err(()) => Ok(()),
        }
    }
}

//! Questions outside a link: to join, what an admin asks the home to decide, and what a runtime asks a bot's home.
//!
//! Each question is signed by the node that asks, beside the transport's own authentication, because the
//! home keeps it in the control log as evidence: anybody can see later who asked for what. It names
//! the home, so one home's evidence is worthless to another.

pub mod work;

use serde_tuple::{Deserialize_tuple, Serialize_tuple};

use crate::{
    cbor::{self, Bytes, Bytes16, Bytes64, CborError},
    identity::{Domain, Identity, NodeId},
    ids::SpaceId,
    limits,
    ticket::JoinRefusal,
};

use work::{WorkAnswer, WorkRequest};

/// Asks to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct JoinRequest {
    /// The ticket, signed, as [`crate::ticket::SignedTicket::encode`] gives it.
    pub ticket: Bytes,
    /// Whom it asks.
    pub home: NodeId,
    /// Who asks.
    pub node: NodeId,
    /// The name it wants to be known by.
    pub name: String,
    /// When it asks, in Unix milliseconds of its clock.
    pub at_ms: u64,
}

/// Asks the home to decide something; the asker is an admin elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct AdminRequest {
    /// In which space.
    pub space: SpaceId,
    /// Whom it asks.
    pub home: NodeId,
    /// Who asks.
    pub node: NodeId,
    /// When, in Unix milliseconds of its clock.
    pub at_ms: u64,
    /// What: a control entry without evidence, as kind and body.
    pub kind: crate::operation::Kind,
    /// See `kind`.
    pub body: Bytes,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// See [`JoinRequest`].
    Join(JoinRequest),
    /// See [`AdminRequest`].
    Admin(AdminRequest),
    /// See [`WorkRequest`].
    Work(WorkRequest),
}

/// A question as it came: with the exact bytes and signature that serve as evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedQuestion {
    /// What is asked.
    pub question: Question,
    /// The bytes it came in.
    pub evidence: Vec<u8>,
}

/// Why bytes are not a question that its sender signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// Not of a known shape.
    #[error("not a question this node understands: {0}")]
    Shape(#[from] CborError),
    /// Signed by somebody else than it names or than sent it.
    #[error("the question is not signed by the node that sent it")]
    Signature,
}

const JOIN: u8 = 1;
const ADMIN: u8 = 2;
const WORK: u8 = 3;

impl Question {
    /// Signs it.
    pub fn sign(&self, identity: &Identity) -> Vec<u8> {
        let (tag, domain, bytes) = match self {
            Question::Join(request) => (JOIN, Domain::Join, cbor::encode(request)),
            Question::Admin(request) => (ADMIN, Domain::Admin, cbor::encode(request)),
            Question::Work(request) => (WORK, Domain::Work, cbor::encode(request)),
        };
        let signature = identity.sign(domain, &bytes);
        cbor::encode(&(tag, Bytes(bytes), Bytes64(signature)))
    }
}

impl SignedQuestion {
    /// Reads a question of `from` to `me`.
    pub fn decode(bytes: &[u8], from: NodeId, me: NodeId) -> Result<Self, QuestionError> {
        let (tag, inner, signature): (u8, Bytes, Bytes64) = cbor::decode(bytes, limits::REQUEST_BYTES_MAX)?;
        let (question, domain, node, home) = match tag {
            JOIN => {
                let request: JoinRequest = cbor::decode(&inner.0, limits::REQUEST_BYTES_MAX)?;
                let (node, home) = (request.node, request.home);
                (Question::Join(request), Domain::Join, node, home)
            }
            ADMIN => {
                let request: AdminRequest = cbor::decode(&inner.0, limits::REQUEST_BYTES_MAX)?;
                let (node, home) = (request.node, request.home);
                (Question::Admin(request), Domain::Admin, node, home)
            }
            WORK => {
                let request: WorkRequest = cbor::decode(&inner.0, limits::REQUEST_BYTES_MAX)?;
                let (node, home) = (request.node, request.home);
                (Question::Work(request), Domain::Work, node, home)
            }
            _ => return Err(CborError::Shape.into()),
        };
        if node != from || home != me || !node.verify(domain, &inner.0, &signature.0) {
            return Err(QuestionError::Signature);
        }
        Ok(Self { question, evidence: bytes.to_vec() })
    }
}

/// Why the home does not do what an admin asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminRefusal {
    /// No workspace of this home, or the asker is no member.
    #[error("the home knows no such workspace")]
    Unknown,
    /// The asker's role does not allow it.
    #[error("the role of this node does not allow it")]
    NotAllowed,
    /// Whom or what it is about does not exist.
    #[error("there is no such member or invite")]
    NoSuchThing,
    /// A number or a time is outside its limits.
    #[error("a limit of the workspace forbids it")]
    Limit,
    /// The home is stopping or overloaded.
    #[error("the home is busy; try again")]
    Busy,
    /// The home's store is a copy, and it has not heard from all members yet.
    #[error("the home was restored from a copy and decides nothing before it has heard from every member")]
    Unsettled,
    /// The home has to be an admin.
    #[error("the home has to be an admin or the owner")]
    NotAnAdmin,
    /// Whoever decides can neither be removed nor lose its role.
    #[error("that node is the workspace's home; move the home first")]
    IsHome,
    /// A workspace whose home does not know yet that it is, has none.
    #[error("the new home is not connected to the present one")]
    Away,
    /// The home contradicted itself, and decides nothing any more.
    #[error(
        "the workspace's home decided two different things at once, and nothing it decides counts any more"
    )]
    Forked,
    /// A slug names one person or bot for good.
    #[error("somebody else has that slug; take another one")]
    SlugTaken,
}

impl AdminRefusal {
    const ALL: [AdminRefusal; 11] = [
        AdminRefusal::Unknown,
        AdminRefusal::NotAllowed,
        AdminRefusal::NoSuchThing,
        AdminRefusal::Limit,
        AdminRefusal::Busy,
        AdminRefusal::Unsettled,
        AdminRefusal::NotAnAdmin,
        AdminRefusal::IsHome,
        AdminRefusal::Away,
        AdminRefusal::Forked,
        AdminRefusal::SlugTaken,
    ];

    fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(AdminRefusal::Unknown)
    }
}

/// A home, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize_tuple, Deserialize_tuple)]
pub struct HomeAt {
    /// Which node.
    pub home: NodeId,
    /// Where it was last reachable: multiaddrs as text, at most [`limits::ADDRESSES_PER_NODE_MAX`].
    pub addresses: Vec<String>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Welcome: the first operation of the control log, encoded. The rest comes over the link.
    Joined(Vec<u8>),
    /// Not with this ticket.
    NotJoined(JoinRefusal),
    /// Decided, at this height of the control log.
    Decided(u64),
    /// Not decided.
    NotDecided(AdminRefusal),
    /// Another node is the home now. The question has to be signed anew, as it names whom it asks.
    Moved(HomeAt),
    /// What became of what a runtime asked.
    Work(WorkAnswer),
}

impl Answer {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Answer::Joined(genesis) => cbor::encode(&(1u8, Bytes(genesis.clone()))),
            Answer::NotJoined(refusal) => cbor::encode(&(2u8, Bytes(vec![refusal.code()]))),
            Answer::Decided(height) => cbor::encode(&(3u8, Bytes(height.to_be_bytes().to_vec()))),
            Answer::NotDecided(refusal) => cbor::encode(&(4u8, Bytes(vec![*refusal as u8]))),
            Answer::Moved(moved) => cbor::encode(&(5u8, Bytes(cbor::encode(moved)))),
            Answer::Work(answer) => cbor::encode(&(6u8, Bytes(answer.encode()))),
        }
    }

    /// Reads [`Self::encode`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let (tag, inner): (u8, Bytes) = cbor::decode(bytes, limits::REQUEST_BYTES_MAX)?;
        let code = || inner.0.first().copied().filter(|_| inner.0.len() == 1).ok_or(CborError::Shape);
        Ok(match tag {
            1 => Answer::Joined(inner.0),
            2 => Answer::NotJoined(JoinRefusal::from_code(code()?)),
            3 => {
                let height = inner.0.as_slice().try_into().map_err(|_| CborError::Shape)?;
                Answer::Decided(u64::from_be_bytes(height))
            }
            4 => Answer::NotDecided(AdminRefusal::from_code(code()?)),
            5 => {
                let moved: HomeAt = cbor::decode(&inner.0, limits::REQUEST_BYTES_MAX)?;
                let fits = moved.addresses.len() <= limits::ADDRESSES_PER_NODE_MAX
                    && moved.addresses.iter().all(|address| address.len() <= limits::ADDRESS_BYTES_MAX);
                if !fits {
                    return Err(CborError::Shape);
                }
                Answer::Moved(moved)
            }
            6 => Answer::Work(WorkAnswer::decode(&inner.0)?),
            _ => return Err(CborError::Shape),
        })
    }
}

/// The id of an invite as people see it: `inv_` and a ULID.
pub fn invite_text(invite: &Bytes16) -> String {
    format!("inv_{}", ulid::Ulid::from_bytes(invite.0))
}

/// Reads [`invite_text`].
pub fn parse_invite(text: &str) -> Option<Bytes16> {
    let ulid = ulid::Ulid::from_string(text.strip_prefix("inv_")?).ok()?;
    Some(Bytes16(ulid.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cbor::Bytes32, operation::Kind};

    fn asker() -> Identity {
        Identity::from_seed([2; 32])
    }

    fn node(seed: u8) -> NodeId {
        Identity::from_seed([seed; 32]).node()
    }

    fn questions() -> Vec<Question> {
        let (home, node) = (node(1), asker().node());
        let work = work::tests::acts().into_iter().map(|act| {
            let (act, body) = act.encode();
            let (space, at_ms, key) = (SpaceId([8; 32]), 1_700_000_000_000, Bytes32([6; 32]));
            Question::Work(WorkRequest { space, home, node, at_ms, key, act, body })
        });
        let mut questions = vec![
            Question::Join(JoinRequest {
                ticket: Bytes(vec![1, 2, 3]),
                home,
                node,
                name: "bob".into(),
                at_ms: 1_700_000_000_000,
            }),
            Question::Admin(AdminRequest {
                space: SpaceId([8; 32]),
                home,
                node,
                at_ms: 1_700_000_000_000,
                kind: Kind::MEMBER_REMOVED,
                body: Bytes(vec![4, 5]),
            }),
        ];
        questions.extend(work);
        questions
    }

    fn answers() -> Vec<Answer> {
        let mut answers = vec![Answer::Joined(vec![1, 2, 3]), Answer::Decided(0), Answer::Decided(u64::MAX)];
        answers.extend((0..9).map(|code| Answer::NotJoined(JoinRefusal::from_code(code))));
        answers.extend(AdminRefusal::ALL.map(Answer::NotDecided));
        let address = || "/ip4/192.0.2.7/udp/4001/quic-v1".to_owned();
        let moved = |addresses| Answer::Moved(HomeAt { home: node(4), addresses });
        answers.extend([moved(Vec::new()), moved(vec![address(); limits::ADDRESSES_PER_NODE_MAX])]);
        answers.extend(work::tests::answers().into_iter().map(Answer::Work));
        answers
    }

    #[test]
    fn a_question_reads_back_with_its_evidence() {
        for question in questions() {
            let bytes = question.sign(&asker());
            let read = SignedQuestion::decode(&bytes, asker().node(), node(1));
            assert_eq!(read, Ok(SignedQuestion { question, evidence: bytes }));
        }
    }

    #[test]
    fn a_question_to_another_home_or_from_another_node_is_refused() {
        for question in questions() {
            let bytes = question.sign(&asker());
            let wrong = Err(QuestionError::Signature);
            assert_eq!(SignedQuestion::decode(&bytes, asker().node(), node(3)), wrong);
            assert_eq!(SignedQuestion::decode(&bytes, node(3), node(1)), wrong);
            let forged = question.sign(&Identity::from_seed([3; 32]));
            assert_eq!(SignedQuestion::decode(&forged, asker().node(), node(1)), wrong);
        }
    }

    #[test]
    fn no_bit_of_a_question_can_be_flipped() {
        for question in questions() {
            let bytes = question.sign(&asker());
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(SignedQuestion::decode(&flipped, asker().node(), node(1)).is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_signature_to_join_is_none_to_decide() {
        let join = questions().remove(0);
        let (_, inner, signature): (u8, Bytes, Bytes64) =
            cbor::decode(&join.sign(&asker()), limits::REQUEST_BYTES_MAX).unwrap();
        let turned = cbor::encode(&(ADMIN, inner, signature));
        assert!(SignedQuestion::decode(&turned, asker().node(), node(1)).is_err());
    }

    #[test]
    fn every_answer_reads_back() {
        for answer in answers() {
            assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }

    #[test]
    fn codes_of_a_newer_node_are_understood_as_no_and_other_shapes_are_refused() {
        let answer = |tag: u8, inner: &[u8]| Answer::decode(&cbor::encode(&(tag, Bytes(inner.to_vec()))));
        assert_eq!(answer(2, &[99]), Ok(Answer::NotJoined(JoinRefusal::Unknown)));
        assert_eq!(answer(4, &[99]), Ok(Answer::NotDecided(AdminRefusal::Unknown)));
        for (tag, inner) in
            [(0, &[0][..]), (5, &[0]), (6, &[0]), (2, &[]), (2, &[0, 0]), (3, &[0; 7]), (4, &[])]
        {
            assert!(answer(tag, inner).is_err(), "({tag}, {inner:?})");
        }
    }

    #[test]
    fn no_answer_leads_to_more_addresses_than_a_node_may_have() {
        let one_more = vec!["/ip4/192.0.2.7".to_owned(); limits::ADDRESSES_PER_NODE_MAX + 1];
        for addresses in [one_more, vec!["a".repeat(limits::ADDRESS_BYTES_MAX + 1)]] {
            let answer = Answer::Moved(HomeAt { home: node(4), addresses });
            assert_eq!(Answer::decode(&answer.encode()), Err(CborError::Shape));
        }
    }

    #[test]
    fn the_bytes_of_questions_and_answers_never_change() {
        let questions = questions().into_iter().map(|question| question.sign(&asker()));
        let all = questions.chain(answers().into_iter().map(|answer| answer.encode()));
        let lines: Vec<_> = all.map(|bytes| data_encoding::HEXLOWER.encode(&bytes)).collect();
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn an_invite_reads_back_from_its_text() {
        let invite = Bytes16([7; 16]);
        assert_eq!(parse_invite(&invite_text(&invite)), Some(invite));
        for text in ["", "inv_", "inv_short", "ws_01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            assert_eq!(parse_invite(text), None);
        }
    }
}

//! The rules of a log: store or refuse, from the operation's bytes and the control log alone.
//!
//! Nothing here depends on wall time but the clock rule, which only ever delays; so all nodes store the
//! same operations in the end. An operation that is signed and in place is never dropped, even if it
//! means nothing: a hole would be asked for again for ever.

use crate::{
    clock::Hlc,
    control::{ControlState, Standing},
    ids::OpId,
    mutants::{self, Mutant},
    operation::Operation,
};

/// The newest operation of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: OpId,
    /// Its time.
    pub hlc: Hlc,
    /// The control height it cites.
    pub control_height: u64,
}

impl Head {
    /// The head after `op`.
    pub fn of(op: &Operation) -> Self {
        let header = op.header();
        Self { seq: header.seq, id: op.id(), hlc: header.hlc, control_height: header.control_height }
    }
}

/// What to do with an operation that its author signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is the next one: store it.
    Store,
    /// Its place is taken: by itself, or the log forks. The caller compares.
    Taken,
    /// Something before it is missing.
    Gap,
    /// Its control height is ahead of ours.
    ControlAhead,
    /// Its time is too far ahead; it may come again when our clock has caught up.
    ClockAhead,
    /// It does not belong here, now or ever.
    Refuse(Refused),
}

/// Why an operation is never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Its author was no member.
    #[error("its author was not a member when it was written")]
    Stranger,
    /// It was written after its author's removal.
    #[error("it was written after its author's removal")]
    CutOff,
    /// It does not continue the log: its `prev` is not the operation before it.
    #[error("it does not continue the log it stands in")]
    Chain,
    /// Its time or its control height goes back.
    #[error("its time or control height goes back")]
    Backwards,
    /// A control operation in a member's log, or one that claims the log of the control operations.
    #[error("control operations belong into the control log")]
    Control,
}

/// Judges an operation against the control log and the head of its log.
pub fn admit(control: &ControlState, head: Option<&Head>, op: &Operation, now_ms: u64) -> Admission {
    let header = op.header();
    if header.kind.is_control() || header.incarnation == 0 {
        return Admission::Refuse(Refused::Control);
    }
    let next = head.map_or(1, |head| head.seq + 1);
    if header.seq < next {
        return Admission::Taken;
    }
    match control.standing(&header.log(), header.seq, header.control_height) {
        Standing::Member => {}
        Standing::Ahead => return Admission::ControlAhead,
        Standing::Stranger => return Admission::Refuse(Refused::Stranger),
        Standing::CutOff => return Admission::Refuse(Refused::CutOff),
    }
    if header.seq > next {
        return Admission::Gap;
    }
    if let Some(head) = head
        && control.standing(&header.log(), head.seq, head.control_height) != Standing::Member
    {
        // What it continues was cut off after we stored it. Who lacks that will never store this.
        return Admission::Refuse(Refused::CutOff);
    }
    let continues = header.prev == head.map_or(OpId::NONE, |head| head.id);
    if !continues && !mutants::is(Mutant::UncheckedPrev) {
        return Admission::Refuse(Refused::Chain);
    }
    if let Some(head) = head
        && (header.hlc <= head.hlc || header.control_height < head.control_height)
    {
        return Admission::Refuse(Refused::Backwards);
    }
    if header.hlc.is_ahead(now_ms) { Admission::ClockAhead } else { Admission::Store }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{Role, tests::Home},
        identity::Identity,
        ids::StreamId,
        limits,
        operation::{Draft, Kind, Place},
    };

    const NOW_MS: u64 = 1_700_000_000_000;

    fn bob() -> Identity {
        Identity::from_seed([2; 32])
    }

    /// A home with bob as a member from height 2 on.
    fn home() -> Home {
        let mut home = Home::new();
        home.add(bob().node(), Role::Member);
        home
    }

    fn place(home: &Home, seq: u64, prev: OpId) -> Place {
        let hlc = Hlc::from_ms(NOW_MS + seq % 1_000);
        Place { space: home.state.space(), incarnation: 7, seq, prev, hlc, control_height: 2 }
    }

    fn op(place: Place) -> Operation {
        let draft = Draft { kind: Kind::ENVELOPE, stream: StreamId::SPACE, body: b"x".to_vec() };
        Operation::sign(&bob(), place, draft)
    }

    #[test]
    fn a_log_is_stored_one_after_the_other() {
        let home = home();
        let mut head = None;
        for seq in 1..=3 {
            let next = op(place(&home, seq, head.map_or(OpId::NONE, |head: Head| head.id)));
            assert_eq!(admit(&home.state, head.as_ref(), &next, NOW_MS), Admission::Store);
            head = Some(Head::of(&next));
        }
        let first = op(place(&home, 1, OpId::NONE));
        assert_eq!(admit(&home.state, head.as_ref(), &first, NOW_MS), Admission::Taken);
    }

    #[test]
    fn what_comes_too_early_waits() {
        let home = home();
        let judge = |place| admit(&home.state, None, &op(place), NOW_MS);
        let first = place(&home, 1, OpId::NONE);
        assert_eq!(judge(place(&home, 2, OpId([1; 32]))), Admission::Gap);
        assert_eq!(judge(place(&home, u64::MAX, OpId([1; 32]))), Admission::Gap);
        assert_eq!(judge(Place { control_height: 3, ..first }), Admission::ControlAhead);
        let latest = Hlc::from_ms(NOW_MS + limits::CLOCK_AHEAD_MS_MAX);
        assert_eq!(judge(Place { hlc: latest, ..first }), Admission::Store);
        let later = Hlc::from_ms(NOW_MS + limits::CLOCK_AHEAD_MS_MAX + 1);
        assert_eq!(judge(Place { hlc: later, ..first }), Admission::ClockAhead);
        assert_eq!(judge(Place { hlc: Hlc(u64::MAX), ..first }), Admission::ClockAhead);
        assert_eq!(
            judge(Place { hlc: Hlc::from_ms(0), ..first }),
            Admission::Store,
            "late is never too late"
        );
    }

    #[test]
    fn what_does_not_belong_here_is_refused() {
        let home = home();
        let one = op(place(&home, 1, OpId::NONE));
        let head = Head::of(&one);
        let judge = |place| admit(&home.state, Some(&head), &op(place), NOW_MS);
        let next = place(&home, 2, one.id());
        assert_eq!(judge(next), Admission::Store);
        assert_eq!(judge(Place { prev: OpId([1; 32]), ..next }), Admission::Refuse(Refused::Chain));
        assert_eq!(judge(Place { hlc: head.hlc, ..next }), Admission::Refuse(Refused::Backwards));
        assert_eq!(judge(Place { control_height: 1, ..next }), Admission::Refuse(Refused::Stranger));
        assert_eq!(judge(Place { incarnation: 0, ..next }), Admission::Refuse(Refused::Control));
        let orphan = Place { prev: OpId([1; 32]), ..place(&home, 1, OpId::NONE) };
        assert_eq!(admit(&home.state, None, &op(orphan), NOW_MS), Admission::Refuse(Refused::Chain));
        let body = vec![0x80];
        let draft = Draft { kind: Kind::CONTROL_LAST, stream: StreamId::SPACE, body };
        let control = Operation::sign(&bob(), next, draft);
        assert_eq!(admit(&home.state, Some(&head), &control, NOW_MS), Admission::Refuse(Refused::Control));
    }

    #[test]
    fn a_control_height_never_falls_inside_a_log() {
        let mut home = home();
        home.set_role(bob().node(), Role::Admin, &[(7, 0)]);
        let one = op(Place { control_height: 3, ..place(&home, 1, OpId::NONE) });
        let two = op(place(&home, 2, one.id()));
        assert_eq!(
            admit(&home.state, Some(&Head::of(&one)), &two, NOW_MS),
            Admission::Refuse(Refused::Backwards)
        );
    }

    #[test]
    fn after_a_removal_nothing_is_stored_whatever_height_it_cites() {
        let mut home = home();
        let one = op(place(&home, 1, OpId::NONE));
        let head = Head::of(&one);
        home.remove(bob().node(), &[(7, 1)]);
        let judge = |home: &Home, place| admit(&home.state, Some(&head), &op(place), NOW_MS);
        let two = place(&home, 2, one.id());
        assert_eq!(judge(&home, two), Admission::Refuse(Refused::CutOff));
        assert_eq!(judge(&home, Place { control_height: 3, ..two }), Admission::Refuse(Refused::CutOff));
        assert_eq!(admit(&home.state, None, &one, NOW_MS), Admission::Store, "what came before still counts");
        home.add(bob().node(), Role::Member);
        assert_eq!(judge(&home, Place { control_height: 4, ..two }), Admission::Refuse(Refused::CutOff));
        let fresh = Place { incarnation: 8, control_height: 4, ..place(&home, 1, OpId::NONE) };
        assert_eq!(admit(&home.state, None, &op(fresh), NOW_MS), Admission::Store);
    }

    #[test]
    fn a_log_the_home_never_saw_is_not_continued_after_its_author_came_back() {
        let mut home = home();
        let one = op(place(&home, 1, OpId::NONE));
        home.remove(bob().node(), &[]);
        home.add(bob().node(), Role::Member);
        let two = op(Place { control_height: 4, ..place(&home, 2, one.id()) });
        // Who stored the first one and who never will come to the same verdict.
        assert_eq!(admit(&home.state, None, &one, NOW_MS), Admission::Refuse(Refused::CutOff));
        assert_eq!(
            admit(&home.state, Some(&Head::of(&one)), &two, NOW_MS),
            Admission::Refuse(Refused::CutOff)
        );
    }
}

//! The rules of one invocation, one by one and against a model.

use proptest::prelude::*;

use super::*;

const START_MS: u64 = 1_800_000_000_000;

fn granted(invocation: &mut Invocation, now_ms: u64, instance: &str, dice: u8) -> String {
    match invocation.handle(now_ms, Input::Claim { instance, seconds: 60, random: [dice; 32] }) {
        Ok(Output::Granted { token, .. }) => token,
        other => panic!("{other:?}"),
    }
}

fn holder<'a>(instance: &'a str, token: &'a str) -> Holder<'a> {
    Holder { instance, token }
}

#[test]
fn a_claim_lasts_as_long_as_it_asks_for_and_no_longer_w136_w144() {
    let mut work = Invocation::default();
    let claim = Input::Claim { instance: "a", seconds: 15, random: [1; 32] };
    let Ok(Output::Granted { token, until_ms }) = work.handle(START_MS, claim) else { panic!("not granted") };
    assert_eq!(until_ms, START_MS + 15_000);
    assert_eq!(work.handle(until_ms - 1, Input::Step(holder("a", &token))), Ok(Output::Stepped));
    assert_eq!(work.handle(until_ms, Input::Renew(holder("a", &token), 60)), Err(NotHeld));
    assert_eq!(work.status(), Status::Pending);
}

#[test]
fn renewing_counts_from_now_and_may_shorten_w143() {
    let mut work = Invocation::default();
    let token = granted(&mut work, START_MS, "a", 1);
    let renewed = work.handle(START_MS + 1000, Input::Renew(holder("a", &token), 15));
    assert_eq!(renewed, Ok(Output::Renewed(START_MS + 16_000)));
    assert_eq!(work.claimed_until_ms(), Some(START_MS + 16_000));
}

#[test]
fn only_who_holds_the_live_claim_is_heard_w142() {
    let mut work = Invocation::default();
    assert_eq!(work.handle(START_MS, Input::Complete(holder("", ""))), Err(NotHeld), "nobody claimed it");
    let token = granted(&mut work, START_MS, "a", 1);
    for wrong in [holder("b", &token), holder("a", "1.x"), holder("a", "")] {
        for input in [Input::Renew(wrong, 60), Input::Step(wrong), Input::Complete(wrong), Input::Fail(wrong)]
        {
            assert_eq!(work.handle(START_MS + 1, input), Err(NotHeld));
        }
    }
    assert_eq!(work.status(), Status::Claimed);
}

#[test]
fn an_old_token_is_dead_once_somebody_else_holds_the_work_w137() {
    let mut work = Invocation::default();
    let old = granted(&mut work, START_MS, "a", 1);
    let new = granted(&mut work, START_MS + 60_000, "a", 2);
    assert_ne!(old, new);
    assert_eq!(work.handle(START_MS + 60_001, Input::Complete(holder("a", &old))), Err(NotHeld));
    assert_eq!(work.handle(START_MS + 60_001, Input::Complete(holder("a", &new))), Ok(Output::Completed));
}

#[test]
fn tokens_differ_even_when_the_dice_do_not_w136() {
    let mut work = Invocation::default();
    let old = granted(&mut work, START_MS, "a", 1);
    assert_ne!(old, granted(&mut work, START_MS + 60_000, "a", 1));
}

#[test]
fn the_fifth_lapse_parks_it_for_good_w137() {
    let mut work = Invocation::default();
    for attempt in 0..u64::from(limits::INVOCATION_ATTEMPTS_MAX) {
        granted(&mut work, START_MS + attempt * 60_000, "a", 1);
    }
    let end_ms = START_MS + u64::from(limits::INVOCATION_ATTEMPTS_MAX) * 60_000;
    assert_eq!(work.handle(end_ms - 1, Input::Look), Ok(Output::Looked));
    assert_eq!(work.status(), Status::Claimed);
    assert_eq!(work.handle(end_ms, Input::Look), Ok(Output::Looked));
    assert_eq!(work.status(), Status::Parked);
    let claim = Input::Claim { instance: "a", seconds: 60, random: [9; 32] };
    assert_eq!(work.handle(end_ms, claim), Err(NotHeld));
}

#[test]
fn completing_again_answers_the_same_and_nothing_else_is_heard_w51_w152() {
    let mut work = Invocation::default();
    let token = granted(&mut work, START_MS, "a", 1);
    let me = holder("a", &token);
    assert_eq!(work.handle(START_MS, Input::Complete(me)), Ok(Output::Completed));
    let long_after = START_MS + 3_600_000;
    assert_eq!(work.handle(long_after, Input::Complete(me)), Ok(Output::Replayed));
    assert_eq!(work.handle(long_after, Input::Complete(holder("b", &token))), Err(NotHeld));
    for input in [Input::Renew(me, 60), Input::Step(me), Input::Fail(me)] {
        assert_eq!(work.handle(long_after, input), Err(NotHeld));
    }
}

#[test]
fn what_failed_is_not_offered_again_nor_completed_w154_w155() {
    for fail in [Input::Fail as fn(Holder<'static>) -> Input<'static>, Input::Forbid] {
        let mut work = Invocation::default();
        let token: &'static str = granted(&mut work, START_MS, "a", 1).leak();
        assert_eq!(work.handle(START_MS, fail(holder("a", token))), Ok(Output::Failed));
        let claim = Input::Claim { instance: "a", seconds: 60, random: [9; 32] };
        assert_eq!(work.handle(START_MS, claim), Err(NotHeld));
        assert_eq!(work.handle(START_MS, Input::Complete(holder("a", token))), Err(NotHeld));
    }
}

#[test]
fn what_is_cancelled_is_over_for_its_holder_too_w131() {
    let mut work = Invocation::default();
    let token = granted(&mut work, START_MS, "a", 1);
    assert_eq!(work.handle(START_MS, Input::Cancel), Ok(Output::Looked));
    assert_eq!(work.handle(START_MS, Input::Complete(holder("a", &token))), Err(NotHeld));
    assert_eq!(work.status(), Status::Cancelled);
}

#[test]
fn only_what_waits_expires_w131() {
    let mut work = Invocation::default();
    granted(&mut work, START_MS, "a", 1);
    work.handle(START_MS, Input::Expire).unwrap();
    assert_eq!(work.status(), Status::Claimed);
    work.handle(START_MS + 60_000, Input::Expire).unwrap();
    assert_eq!(work.status(), Status::Expired);
}

#[test]
fn what_a_former_life_ended_stays_ended_and_what_it_left_open_stays_open() {
    let mut work = Invocation::default();
    work.handle(START_MS, Input::Recall(Status::Claimed)).unwrap();
    assert_eq!(work.status(), Status::Pending);
    work.handle(START_MS, Input::Recall(Status::Completed)).unwrap();
    work.handle(START_MS, Input::Recall(Status::Failed)).unwrap();
    assert_eq!(work.status(), Status::Completed);
    assert_eq!(
        work.handle(START_MS, Input::Complete(holder("", ""))),
        Err(NotHeld),
        "nobody of this life held it"
    );
}

#[test]
fn an_invocation_reads_back_and_its_bytes_never_change() {
    let mut work = Invocation::default();
    granted(&mut work, START_MS, "a", 1);
    let bytes = crate::cbor::encode(&work);
    assert_eq!(crate::cbor::decode(&bytes, 1000), Ok(work));
    insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&bytes));
}

/// What may happen: who does it, and how long after the input before.
#[derive(Debug, Clone)]
enum Deed {
    Claim(u8, u64),
    /// With the token of this grant, counted from the newest.
    Say(u8, usize, u8),
    Cancel,
    Expire,
    Look,
}

fn deeds() -> impl Strategy<Value = Vec<(u64, Deed)>> {
    let deed = prop_oneof![
        4 => (0..3u8, 15..90u64).prop_map(|(who, seconds)| Deed::Claim(who, seconds)),
        6 => (0..3u8, 0..3usize, 0..4u8).prop_map(|(who, grant, what)| Deed::Say(who, grant, what)),
        1 => Just(Deed::Cancel),
        1 => Just(Deed::Expire),
        2 => Just(Deed::Look),
    ];
    prop::collection::vec((0..40_000u64, deed), 1..80)
}

proptest! {
    /// Against a model that knows only the newest grant: nobody else is ever heard, attempts are bounded, and what has
    /// ended stays so.
    #[test]
    fn there_is_one_live_claim_at_most_and_only_its_holder_is_heard_w135_w137_w142(deeds in deeds()) {
        let mut work = Invocation::default();
        let mut now_ms = START_MS;
        let mut grants: Vec<(String, String)> = Vec::new();
        let mut until_ms = 0;
        for (pause_ms, deed) in deeds {
            now_ms += pause_ms;
            let before = work.clone();
            let lives = before.status() == Status::Claimed && now_ms < until_ms;
            match deed {
                Deed::Claim(who, seconds) => {
                    let instance = format!("i{who}");
                    let claim = Input::Claim { instance: &instance, seconds, random: [who; 32] };
                    if let Ok(Output::Granted { token, until_ms: until }) = work.handle(now_ms, claim) {
                        prop_assert!(!lives, "a live claim was given away");
                        prop_assert!(!before.status().is_final());
                        prop_assert_eq!(until, now_ms + seconds * 1000);
                        prop_assert!(grants.iter().all(|(_, known)| *known != token));
                        grants.push((instance, token));
                        until_ms = until;
                    }
                }
                Deed::Say(who, back, what) => {
                    let Some(index) = grants.len().checked_sub(back + 1) else { continue };
                    let (instance, token) = (format!("i{who}"), grants[index].1.clone());
                    let me = holder(&instance, &token);
                    let input = match what {
                        0 => Input::Renew(me, 15),
                        1 => Input::Step(me),
                        2 => Input::Complete(me),
                        _ => Input::Fail(me),
                    };
                    let is_newest = back == 0 && grants[index].0 == instance;
                    match work.handle(now_ms, input) {
                        Ok(Output::Replayed) => {
                            prop_assert!(is_newest && before.status() == Status::Completed && what == 2);
                        }
                        Ok(output) => {
                            prop_assert!(is_newest && lives, "an old fence was heard: {:?}", output);
                            if let Output::Renewed(until) = output {
                                prop_assert_eq!(until, now_ms + 15_000);
                                until_ms = until;
                            }
                        }
                        Err(NotHeld) => prop_assert!(!(is_newest && lives), "the holder was not heard"),
                    }
                }
                Deed::Cancel => drop(work.handle(now_ms, Input::Cancel)),
                Deed::Expire => drop(work.handle(now_ms, Input::Expire)),
                Deed::Look => drop(work.handle(now_ms, Input::Look)),
            }
            prop_assert!(work.fence() <= limits::INVOCATION_ATTEMPTS_MAX);
            prop_assert_eq!(usize::from(work.fence()), grants.len());
            if before.status().is_final() {
                prop_assert_eq!(&before, &work, "what has ended changed");
            }
        }
    }
}

//! Which spaces are shared on a link, and how their control logs travel. A pair space has none: both ends
//! derive it and what its control log would say.

use std::{collections::btree_map::Entry, sync::Arc};

use super::{
    ANTI_ENTROPY_MS, COMPARE_PAUSE_MS, Machine, PULL_DELAY_MS, PULL_STALE_MS,
    shared::{Comparing, Pull, Shared},
};
use crate::{
    cbor::{Bytes, Bytes32},
    control::{ControlState, Role},
    ids::SpaceId,
    limits,
    mutants::{self, Mutant},
    sync::{Frame, Height, Output, Report, View, digest},
};

impl Machine {
    /// Shares exactly the spaces of which both of us are members, as far as our control logs say, and the
    /// pair space of us two in each workspace in which both of us may write; a group only while that holds of its
    /// workspace, too. Of a space whose control log does not reach to our own admission yet, members are asked for
    /// the rest.
    pub(super) fn review<V: View>(&mut self, now_ms: u64, view: &V) -> Result<(), V::Error> {
        if !self.greeted {
            return Ok(());
        }
        let mut ours = Vec::new();
        for space in view.spaces()? {
            let Some(control) = view.control(space)? else { continue };
            let is_open = mutants::is(Mutant::OpenGroup) && control.group_stream().is_some();
            if !is_open && control.role(self.peer).is_none() || !self.may_share(&control, view)? {
                continue;
            }
            if control.role(self.me).is_some() {
                let pair = self.pair_in(&control);
                ours.push((space, control, pair));
            } else if self.controls.entry(space).or_default().asked < control.height() {
                self.ask_control(space, &control);
            }
        }
        self.shared.retain(|shared, _| {
            ours.iter().any(|(space, _, pair)| space == shared || pair.as_ref() == Some(shared))
        });
        for (space, control, pair) in ours {
            if let Entry::Vacant(new) = self.shared.entry(space) {
                new.insert(Shared::default());
                self.send(&Frame::ControlHeight(space, control.height()));
                self.send_control(now_ms, space, view)?;
                self.send_digest(space, &control, view)?;
                self.tell_fork(space, &control);
                if !control.is_private() {
                    self.out.push(Output::Shared(space));
                }
            }
            if let Some(pair) = pair
                && let Entry::Vacant(new) = self.shared.entry(pair)
            {
                let control = Arc::new(ControlState::pair(&control, self.me, self.peer));
                new.insert(Shared { pair: Some(control.clone()), ..Shared::default() });
                self.send_digest(pair, &control, view)?;
            }
        }
        Ok(())
    }

    /// Whether what is for some of a workspace may flow here, if the space is for some: not to or from a node that the
    /// workspace let go.
    fn may_share<V: View>(&self, control: &ControlState, view: &V) -> Result<bool, V::Error> {
        if !control.is_private() {
            return Ok(true);
        }
        let workspace = view.control(control.genesis().space())?;
        Ok(workspace.is_some_and(|workspace| self.both_write(&workspace)))
    }

    fn both_write(&self, workspace: &ControlState) -> bool {
        [self.me, self.peer].iter().all(|node| workspace.role(*node).is_some_and(Role::writes))
    }

    /// The pair space of us two in a workspace, while both of us may write there. That of a node with itself
    /// stays where it is, also between two lives of that node. A group is no workspace.
    fn pair_in(&self, workspace: &ControlState) -> Option<SpaceId> {
        let fits = !workspace.is_private() && self.me != self.peer && self.both_write(workspace);
        fits.then(|| SpaceId::pair(workspace.space(), self.me, self.peer))
    }

    /// The control state of a space: of a pair space that is shared, or as the view knows it.
    pub(super) fn control<V: View>(
        &self,
        space: SpaceId,
        view: &V,
    ) -> Result<Option<Arc<ControlState>>, V::Error> {
        match self.shared.get(&space).and_then(|shared| shared.pair.clone()) {
            Some(pair) => Ok(Some(pair)),
            None => view.control(space),
        }
    }

    pub(super) fn send_digest<V: View>(
        &mut self,
        space: SpaceId,
        control: &ControlState,
        view: &V,
    ) -> Result<(), V::Error> {
        let digest = digest(control, &view.held(space)?);
        self.send(&Frame::Digest(space, Bytes32(digest)));
        Ok(())
    }

    pub(super) fn ask_control(&mut self, space: SpaceId, control: &ControlState) {
        self.controls.entry(space).or_default().asked = control.height();
        self.send(&Frame::ControlHeight(space, control.height()));
    }

    pub(super) fn control_height<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        theirs: u64,
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else {
            if self.named.len() < limits::NAMED_SPACES_MAX {
                self.named.insert(space, theirs);
            }
            return Ok(());
        };
        let known = self.controls.entry(space).or_default();
        known.peer = known.peer.max(theirs);
        if theirs < known.sent && now_ms >= known.sent_at_ms + PULL_STALE_MS {
            known.sent = theirs; // what was sent has had its time: it was not taken
        }
        self.send_control(now_ms, space, view)?;
        if theirs > control.height() && control.forked().is_none() {
            self.ask_control(space, &control);
        }
        self.control_level(&control, view)
    }

    /// Tells when the peer is known to hold no more than we do of the control log of a workspace and of its groups, as
    /// far as it named them: what it says of a workspace comes last.
    pub(super) fn control_level<V: View>(&mut self, of: &ControlState, view: &V) -> Result<(), V::Error> {
        let workspace = of.genesis().space();
        let theirs = self.controls.get(&workspace).map_or(0, |known| known.peer);
        let Some(ours) = view.control(workspace)?.filter(|_| theirs > 0) else { return Ok(()) };
        if theirs > ours.height() || !self.shared.contains_key(&workspace) {
            return Ok(());
        }
        for (space, known) in &self.controls {
            let Some(held) = view.control(*space)?.filter(|held| known.peer > held.height()) else {
                continue;
            };
            if held.genesis().space() == workspace {
                return Ok(());
            }
        }
        self.out.push(Output::ControlLevel(workspace));
        Ok(())
    }

    /// Sends a page of entries to a member. The next one follows when it tells its new height.
    fn send_control<V: View>(&mut self, now_ms: u64, space: SpaceId, view: &V) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let known = self.controls.entry(space).or_default();
        let from = known.sent.max(known.peer).saturating_add(1);
        if !self.shared.contains_key(&space) || from > control.height() || known.peer == 0 {
            return Ok(()); // not for it, nothing new, or it did not say yet what it has
        }
        let mut entries = view.control_entries(space, from, limits::OPS_FRAME_BYTES)?;
        entries.truncate(limits::OPS_PER_FRAME_MAX);
        (known.sent, known.sent_at_ms) = (from + entries.len() as u64 - 1, now_ms);
        self.send(&Frame::ControlEntries(space, entries.into_iter().map(Bytes).collect()));
        Ok(())
    }

    /// Passes on, once, the proof that a control log forks.
    fn tell_fork(&mut self, space: SpaceId, control: &ControlState) {
        let Some(proof) = control.forked().filter(|_| self.shared.contains_key(&space)) else { return };
        if !std::mem::replace(&mut self.controls.entry(space).or_default().told_fork, true) {
            self.send(&Frame::Fork(Bytes(proof.encode())));
        }
    }

    /// Begins to compare the peer's entries of a control log with ours: all of them, or those from a height on.
    pub(super) fn compare_control(&mut self, now_ms: u64, space: SpaceId, from: Option<u64>) {
        if self.shared.get(&space).is_none_or(|shared| shared.pair.is_some()) {
            return;
        }
        let known = self.controls.entry(space).or_default();
        let all = from.is_none();
        if known.comparing.is_none_or(|comparing| all && !comparing.all) {
            let from = from.unwrap_or(2); // its genesis is ours
            known.comparing = Some(Comparing { from, all, at_ms: now_ms });
        }
    }

    /// Asks for the page of entries that is to be compared next, once it is time.
    pub(super) fn ask_to_compare<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let Some(known) = self.controls.get_mut(&space) else { return Ok(()) };
        let Some(comparing) = &mut known.comparing else { return Ok(()) };
        if comparing.from > control.height().min(known.peer) || control.forked().is_some() {
            known.comparing = None;
        } else if now_ms >= comparing.at_ms {
            let from = Height { author: control.home(), incarnation: 0, seq: comparing.from };
            comparing.at_ms = now_ms + ANTI_ENTROPY_MS; // a peer that does not answer is asked no more often
            self.send(&Frame::Want(space, vec![from]));
        }
        Ok(())
    }

    /// What became of entries that the peer sent, for what is being compared.
    pub(super) fn compared(&mut self, now_ms: u64, space: SpaceId, report: &Report) {
        if report.control_elsewhere {
            self.compare_control(now_ms, space, None);
        }
        let Some(known) = self.controls.get_mut(&space) else { return };
        if let Some(comparing) = &mut known.comparing
            && report.control_same > 0
            && report.control_same >= comparing.from
        {
            (comparing.from, comparing.at_ms) = (report.control_same + 1, now_ms + COMPARE_PAUSE_MS);
        }
    }

    /// Serves a page of entries that the peer wants to compare with its own, as often as it may ask.
    pub(super) fn serve_control<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        from: u64,
        view: &V,
    ) -> Result<(), V::Error> {
        let Some(control) = view.control(space)? else { return Ok(()) };
        let known = self.controls.entry(space).or_default();
        if from == 0 || from > control.height() || now_ms < known.serve_at_ms {
            return Ok(());
        }
        known.serve_at_ms = now_ms + COMPARE_PAUSE_MS / 2;
        let mut entries = view.control_entries(space, from, limits::OPS_FRAME_BYTES)?;
        entries.truncate(limits::OPS_PER_FRAME_MAX);
        self.send(&Frame::ControlEntries(space, entries.into_iter().map(Bytes).collect()));
        Ok(())
    }

    /// Membership may have changed: share anew, pass the entries on, and look again at what the peer
    /// holds, since logs of members we did not know were not asked for.
    pub(super) fn control_changed<V: View>(
        &mut self,
        now_ms: u64,
        space: SpaceId,
        view: &V,
    ) -> Result<(), V::Error> {
        self.review(now_ms, view)?;
        if let Some(theirs) = self.named.remove(&space) {
            // A home that forgot a group learns of it after those who hold it named it.
            self.control_height(now_ms, space, theirs, view)?;
        }
        self.send_control(now_ms, space, view)?;
        if let Some(control) = view.control(space)? {
            self.tell_fork(space, &control);
        }
        let Some(shared) = self.shared.get_mut(&space) else { return Ok(()) };
        for pull in shared.pulls.values_mut() {
            *pull = Pull::new(pull.ours, pull.at_ms.min(now_ms + PULL_DELAY_MS));
        }
        let logs: Vec<_> = shared.peer.keys().copied().collect();
        self.plan_pulls(now_ms, space, &logs, view)
    }
}

//! Questions and answers outside a link.

use std::collections::BTreeMap;

use muster_actors::ports::{Event, RequestError};
use muster_protocol::{
    identity::NodeId,
    limits::{REQUEST_BYTES_MAX, REQUEST_TIMEOUT},
};
use tokio::sync::oneshot;

use super::mesh::{Action, Mesh};

/// What a question comes to.
pub(super) type Outcome = Result<Vec<u8>, RequestError>;

/// How long a dial into nothing takes until it is given up, in milliseconds.
const DIAL_TIMEOUT_MS: u64 = 5_000;

/// The questions under way.
#[derive(Default)]
pub(super) struct Exchanges {
    open: BTreeMap<u64, Exchange>,
    /// Questions handed to a process; a task has to wait for what it answers.
    handed: Vec<(u64, oneshot::Receiver<Vec<u8>>)>,
}

struct Exchange {
    from: NodeId,
    to: NodeId,
    /// Which life of `to` was asked, once it was.
    asked_boot: u64,
    question: Vec<u8>,
    outcome: oneshot::Sender<Outcome>,
}

impl Exchanges {
    pub(super) fn settle(&mut self, exchange: u64, outcome: Outcome) {
        if let Some(exchange) = self.open.remove(&exchange) {
            drop(exchange.outcome.send(outcome)); // whoever asked may be gone
        }
    }

    pub(super) fn take_handed(&mut self) -> Vec<(u64, oneshot::Receiver<Vec<u8>>)> {
        std::mem::take(&mut self.handed)
    }
}

impl Mesh {
    pub(super) fn request(
        &mut self,
        now: u64,
        from: NodeId,
        to: NodeId,
        addresses: &[String],
        question: Vec<u8>,
    ) -> oneshot::Receiver<Outcome> {
        let (outcome, answer) = oneshot::channel();
        if question.len() > REQUEST_BYTES_MAX {
            self.complaints.push(format!("{from} asked {} bytes", question.len()));
        }
        let number = self.number();
        let exchange = Exchange { from, to, asked_boot: 0, question, outcome };
        self.exchanges.open.insert(number, exchange);
        let late = now + REQUEST_TIMEOUT.as_millis() as u64;
        self.plan(late, Action::Settle { exchange: number, outcome: Err(RequestError::Timeout) });
        if self.is_connected(from, to) {
            let at = now + self.paths.latency(from, to);
            self.plan(at, Action::Ask { exchange: number });
        } else if self.is_address(to, addresses) {
            let at = now + self.dial_time(from, to);
            self.plan(at, Action::Ask { exchange: number });
        } else {
            let at = now + self.paths.latency(from, to);
            self.plan(at, Action::Settle { exchange: number, outcome: Err(RequestError::Unreachable) });
        }
        answer
    }

    pub(super) fn on_ask(&mut self, now: u64, number: u64) {
        let Some(exchange) = self.exchanges.open.get_mut(&number) else { return };
        let (from, to) = (exchange.from, exchange.to);
        let question = std::mem::take(&mut exchange.question);
        if !self.is_up(from) {
            return;
        }
        if !self.connect(now, from, to) {
            let silent = !self.paths.is_open_both_ways(from, to);
            let at = now + if silent { DIAL_TIMEOUT_MS } else { 0 };
            return self
                .plan(at, Action::Settle { exchange: number, outcome: Err(RequestError::Unreachable) });
        }
        if self.paths.is_blocked(from, to) {
            return; // lost; the time runs out
        }
        let (answer, answered) = oneshot::channel();
        let boot = self.hosts.get(&to).map_or(0, |host| host.boot);
        if let Some(exchange) = self.exchanges.open.get_mut(&number) {
            exchange.asked_boot = boot;
        }
        self.push(to, Event::Request { from, question, answer });
        self.exchanges.handed.push((number, answered));
    }

    /// The asked process answered, or dropped the question.
    pub(super) fn answered(&mut self, now: u64, number: u64, answer: Option<Vec<u8>>) {
        let Some(exchange) = self.exchanges.open.get(&number) else { return };
        let (from, to, boot) = (exchange.from, exchange.to, exchange.asked_boot);
        if self.host(to, boot).is_none() || self.paths.is_blocked(to, from) {
            return; // lost; the time runs out
        }
        let outcome = answer.ok_or(RequestError::Refused);
        if outcome.as_ref().is_ok_and(|bytes| bytes.len() > REQUEST_BYTES_MAX) {
            self.complaints.push(format!("{to} answered too many bytes"));
        }
        let at = now + self.paths.latency(to, from);
        self.plan(at, Action::Settle { exchange: number, outcome });
    }
}

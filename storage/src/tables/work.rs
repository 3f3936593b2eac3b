//! Keys of what bots do: runtimes, links, invocations and their traces.

use std::ops::RangeInclusive;

use ulid::Ulid;

use super::Short;

/// Key of a runtime of a bot by its instance, or of a link by kind, instance and session.
pub(crate) fn bot_key(space: u32, bot: Ulid, name: Short) -> [u8; 36] {
    key!(36: space.to_be_bytes(), bot.to_bytes(), name)
}

/// The keys between which all of a bot stand.
pub(crate) fn bot_range(space: u32, bot: Ulid) -> RangeInclusive<[u8; 36]> {
    bot_key(space, bot, [0; 16])..=bot_key(space, bot, [0xff; 16])
}

pub(crate) fn queue_key(space: u32, bot: Ulid, created_ms: u64, id: Ulid) -> [u8; 44] {
    key!(44: space.to_be_bytes(), bot.to_bytes(), created_ms.to_be_bytes(), id.to_bytes())
}

/// The keys between which all that waits for a bot stands.
pub(crate) fn queue_range(space: u32, bot: Ulid) -> RangeInclusive<[u8; 44]> {
    let highest = Ulid::from_bytes([0xff; 16]);
    queue_key(space, bot, 0, Ulid::nil())..=queue_key(space, bot, u64::MAX, highest)
}

/// The key in `invocations` of what an entry of the queue is for.
pub(crate) fn queued(entry: &[u8; 44]) -> [u8; 20] {
    key!(20: &entry[..4], &entry[28..])
}

/// When the invocation with this key has to be looked at.
pub(crate) fn time_key(at_ms: u64, invocation: &[u8; 20]) -> [u8; 28] {
    key!(28: at_ms.to_be_bytes(), invocation)
}

/// The key in `invocations` of what an entry of the times is for.
pub(crate) fn timed(entry: &[u8; 28]) -> [u8; 20] {
    key!(20: &entry[8..])
}

/// The number of the space in a key of [`id_key`].
pub(crate) fn space_in(key: &[u8; 20]) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&key[..4]);
    u32::from_be_bytes(number)
}

pub(crate) fn source_key(space: u32, message: [u8; 16], invocation: [u8; 16]) -> [u8; 36] {
    key!(36: space.to_be_bytes(), message, invocation)
}

/// The key in `invocations` of what an entry of the sources is for.
pub(crate) fn summoned_by(entry: &[u8; 36]) -> [u8; 20] {
    key!(20: &entry[..4], &entry[20..])
}

pub(crate) fn step_key(invocation: &[u8; 20], number: u32) -> [u8; 24] {
    key!(24: invocation, number.to_be_bytes())
}

//! One direct room: what its two peers say to each other, as far as they are of this node.

use muster_protocol::{content::Room, identity::NodeId};
use muster_storage::RoomRow;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::{
    compose::{Place, SendRequest, Sent, answer},
    context::lock,
    error::{ResolveRoomError, SendError, Unavailable},
    rest::Rest,
};

/// What a direct room is told.
pub(crate) enum DirectRoomMessage {
    /// Send as a session of this room's channel.
    Send(Box<SendRequest>, RpcReplyPort<Result<Sent, SendError>>),
    /// Open the room, whose other peer is of this node, unless it exists (N-39).
    Resolve(NodeId, RpcReplyPort<Result<RoomRow, ResolveRoomError>>),
    /// Rest, if nothing happened since this moment (monotonic milliseconds).
    Idle(u64),
}

/// The actor. Its arguments are its channel and the room.
pub(crate) struct DirectRoom;

pub(crate) struct State {
    place: Place,
    room: Room,
    rest: Rest,
}

impl Actor for DirectRoom {
    type Msg = DirectRoomMessage;
    type State = State;
    type Arguments = (Place, Room);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (place, room): Self::Arguments,
    ) -> Result<State, ActorProcessingErr> {
        let rest = Rest::begin(&place.context, &myself, DirectRoomMessage::Idle);
        Ok(State { place, room, rest })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        if let DirectRoomMessage::Idle(since_ms) = message {
            if state.rest.is_due(since_ms, &state.place.context, &myself, DirectRoomMessage::Idle) {
                state.forget(&myself);
                myself.drain()?; // what came in the meantime is still handled
            }
            return Ok(());
        }
        state.rest.disturb(&state.place.context);
        match message {
            DirectRoomMessage::Send(request, reply) => state.place.send(*request, reply),
            DirectRoomMessage::Resolve(other, reply) => state.resolve(other, reply),
            DirectRoomMessage::Idle(_) => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        myself: ActorRef<Self::Msg>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        state.forget(&myself);
        Ok(())
    }
}

impl State {
    fn forget(&self, myself: &ActorRef<DirectRoomMessage>) {
        let mut rooms = lock(&self.place.context.rooms);
        let key = (self.place.space, self.room.id.clone());
        if rooms.get(&key).is_some_and(|actor| actor.get_id() == myself.get_id()) {
            rooms.remove(&key);
        }
    }

    fn resolve(&self, other: NodeId, reply: RpcReplyPort<Result<RoomRow, ResolveRoomError>>) {
        let (space, room, place, asked) =
            (self.place.space, self.room.clone(), self.place.clone(), self.room.clone());
        let taken = self.place.context.store.write(
            self.place.context.wall_ms(),
            move |batch| batch.resolve_room(space, other, &room),
            move |opened| {
                let result = match opened {
                    true => read_room(&place, &asked)
                        .and_then(|row| row.ok_or(ResolveRoomError::Unavailable(Unavailable::Storage))),
                    false => Err(ResolveRoomError::NotAMember),
                };
                answer(reply, result);
            },
        );
        if let Err(error) = taken {
            tracing::warn!(%error, "a direct room was not opened");
        }
    }
}

/// A room as it is stored.
pub(crate) fn read_room(place: &Place, room: &Room) -> Result<Option<RoomRow>, ResolveRoomError> {
    let view = place.context.store.view()?;
    let workspace =
        view.workspace(&place.workspace.to_string())?.ok_or(ResolveRoomError::UnknownWorkspace)?;
    Ok(view.room(&workspace, &room.channel, &room.id)?)
}

//! From the mesh to the actors.

use std::sync::Arc;

use crate::{
    context::{Context, lock},
    links::LinksMessage,
    peer_link::PeerLinkMessage,
    ports::{Event, Events},
    presence::PresenceMessage,
    supervisor::CALL,
    workspaces::WorkspacesMessage,
};

/// Hands what happens in the mesh to the actors, in order, and no faster than they take it.
pub(super) async fn pump(context: Arc<Context>, mut events: Events) {
    while let Some(event) = events.recv().await {
        match event {
            Event::LinkUp { link, .. } => {
                let links = lock(&context.fronts).links.clone();
                let up = match links {
                    Some(links) => links.call(|up| LinksMessage::Up(link, up), CALL).await.is_ok(),
                    None => false,
                };
                if !up {
                    context.ports.network.close(link, crate::ports::Closing::Polite);
                }
            }
            Event::Frame { link, bytes } => {
                let Some(entry) = context.link(link) else { continue };
                let Ok(room) = entry.room.acquire_owned().await else { continue };
                if entry.actor.cast(PeerLinkMessage::Frame(bytes, room)).is_err() {
                    tracing::debug!("a frame came for a link that is gone");
                }
            }
            Event::LinkWritable { link } => {
                if let Some(entry) = context.link(link)
                    && entry.actor.cast(PeerLinkMessage::Writable).is_err()
                {
                    tracing::debug!("a link that is gone could take frames");
                }
            }
            Event::LinkDown { link } => context.tell_links(LinksMessage::Down(link)),
            Event::Request { from, question, answer } => {
                let workspaces = lock(&context.fronts).workspaces.clone();
                let message = WorkspacesMessage::Question { from, bytes: question, answer };
                if let Some(workspaces) = workspaces
                    && workspaces.cast(message).is_err()
                {
                    tracing::debug!("a question came while the node stops");
                }
            }
            Event::Gossip { bytes, .. } => context.tell_presence(PresenceMessage::Heard(bytes)),
            Event::Discovered { node, addresses } => context.tell_links(LinksMessage::Heard(node, addresses)),
            Event::Listening { .. } => context.tell_presence(PresenceMessage::Announce),
        }
    }
}

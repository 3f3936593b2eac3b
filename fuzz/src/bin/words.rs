//! Names and ids as text, and the search for secrets in text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_protocol::{
    control::Role,
    identity::NodeId,
    ids::WorkspaceId,
    network::{ChannelName, DirectId, MessageId, PeerName, ThreadId, WorkId, WorkspaceRef, secrets},
};

macro_rules! same {
    ($text:ident: $($name:ident),+) => {
        $(if let Ok(parsed) = $name::parse($text) {
            assert_eq!($name::parse(parsed.as_str()).as_ref(), Ok(&parsed));
        })+
    };
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    same!(text: ChannelName, DirectId, MessageId, PeerName, ThreadId, WorkId, WorkspaceRef);
    let _ = (text.parse::<Role>(), text.parse::<NodeId>().is_ok(), text.parse::<WorkspaceId>().is_ok());
    let _ = secrets::check_text(text);
});

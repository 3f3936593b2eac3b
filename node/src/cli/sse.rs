//! Server-sent events, read from bytes as they come.

/// Longest event, in bytes: above the largest body a node takes (4 MiB), escaped as JSON. A stream that
/// goes beyond is not that of a node.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// The last id the stream told, to resume after.
    pub id: Option<String>,
    /// Its kind; `message` when the stream names none.
    pub kind: String,
    /// Its payload.
    pub data: String,
}

/// The stream holds an event longer than any a node sends.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
pub(super) struct TooLong;

/// Turns bytes into events. Lines may end in LF or CRLF.
#[derive(Debug, Default)]
pub(super) struct SseReader {
    rest: Vec<u8>,
    id: Option<String>,
    last_id: Option<String>,
    kind: Option<String>,
    data: Option<String>,
}

impl SseReader {
    /// The last id told, by an event or by an id that stands alone: what to resume after.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes the next bytes, and gives the events that are whole now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<SseEvent>, TooLong> {
        let mut events = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if self.rest.ends_with(b"\n") {
                let line = std::mem::take(&mut self.rest);
                let line = String::from_utf8_lossy(&line[..line.len() - 1]);
                events.extend(self.line(line.strip_suffix('\r').unwrap_or(&line)));
            }
        }
        let held = self.rest.len() + self.data.as_ref().map_or(0, String::len);
        if held > EVENT_BYTES_MAX { Err(TooLong) } else { Ok(events) }
    }

    fn line(&mut self, line: &str) -> Option<SseEvent> {
        if line.is_empty() {
            self.last_id.clone_from(&self.id);
            let kind = self.kind.take();
            let data = self.data.take()?;
            return Some(SseEvent {
                id: self.id.clone(),
                kind: kind.unwrap_or_else(|| "message".to_owned()),
                data,
            });
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "event" => self.kind = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {} // comments, and fields a node does not use
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let stream =
            ": hello\n\nid: 7\nevent: say\ndata: {\"text\":\ndata: \"grüß\"}\n\ndata:x\r\n\r\nid: 9\n\n";
        let whole = SseReader::default().push(stream.as_bytes()).unwrap();
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].id.as_deref(), Some("7"));
        assert_eq!((whole[0].kind.as_str(), whole[0].data.as_str()), ("say", "{\"text\":\n\"grüß\"}"));
        assert_eq!((whole[1].kind.as_str(), whole[1].data.as_str()), ("message", "x"));
        assert_eq!(whole[1].id.as_deref(), Some("7"), "an id counts until the next one");

        let mut reader = SseReader::default();
        let bytewise: Vec<SseEvent> =
            stream.as_bytes().chunks(1).flat_map(|byte| reader.push(byte).unwrap()).collect();
        assert_eq!(bytewise, whole);
        assert_eq!(reader.last_id(), Some("9"), "an id may stand alone, before there is any event");
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = SseReader::default();
        let result = (0..=EVENT_BYTES_MAX / 1024).try_for_each(|_| reader.push(&[b'x'; 1024]).map(drop));
        assert_eq!(result, Err(TooLong));
    }
}

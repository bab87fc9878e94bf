//! Counts the websocket frames that a client sends (RFC 6455, section 5.2). Socket.IO reports
//! events only, but a ping or a packet of another namespace costs as much as an event.

use httparse::{EMPTY_HEADER, Status};

/// The largest request line and headers together; browsers with many cookies send a few KiB.
pub(crate) const MAX_HEADER_BYTES: usize = 16 * 1024;
/// As many as hyper accepts.
const MAX_HEADERS: usize = 100;
/// Each 4 KiB of frames count like one more frame.
const FRAME_SHARE: usize = 4 * 1024;

/// What a connection is reading.
pub(crate) enum FrameCounter {
    /// The head of a request, as far as it has arrived.
    Head(Vec<u8>),
    Frames(Frames),
    /// Data arrived before the upgrade response; frame boundaries are unknown.
    Desynchronised,
}

/// Frames that arrive in pieces of any size.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Frames {
    /// The beginning of a frame, up to its length.
    head: [u8; 10],
    head_len: usize,
    /// Bytes of the frame that are still to come.
    rest: u64,
    /// Bytes that have not been counted yet.
    bytes: usize,
}

impl FrameCounter {
    pub fn new() -> Self {
        FrameCounter::Head(Vec::new())
    }

    /// How many frames these bytes count as.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        match self {
            FrameCounter::Frames(frames) => return frames.read(bytes),
            FrameCounter::Head(head) if head.len() + bytes.len() <= MAX_HEADER_BYTES => {
                head.extend_from_slice(bytes);
            }
            _ => *self = FrameCounter::Desynchronised,
        }
        0
    }

    /// The server acts on a request: frames follow if it asks for a websocket, otherwise another
    /// request. False: it is unknown what follows, and a websocket must be refused.
    pub fn serve(&mut self, websocket: bool) -> bool {
        let in_sync = matches!(self, FrameCounter::Head(head) if is_one_head(head));
        *self = match (in_sync, websocket) {
            (true, true) => FrameCounter::Frames(Frames::default()),
            (true, false) => FrameCounter::new(),
            (false, _) => FrameCounter::Desynchronised,
        };
        in_sync
    }

    /// The websocket is refused, and another request may follow. False: data arrived meanwhile.
    pub fn refuse(&mut self) -> bool {
        let untouched =
            matches!(self, FrameCounter::Frames(frames) if *frames == Frames::default());
        *self = if untouched { FrameCounter::new() } else { FrameCounter::Desynchronised };
        untouched
    }
}

/// Whether this is the head of a request and nothing more. hyper parses with the same crate.
fn is_one_head(bytes: &[u8]) -> bool {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    httparse::Request::new(&mut headers).parse(bytes) == Ok(Status::Complete(bytes.len()))
}

impl Frames {
    fn read(&mut self, mut bytes: &[u8]) -> usize {
        self.bytes += bytes.len();
        let mut count = self.bytes / FRAME_SHARE;
        self.bytes %= FRAME_SHARE;
        loop {
            let skipped = bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            self.rest -= skipped as u64;
            let Some((byte, rest)) = bytes[skipped..].split_first() else {
                return count;
            };
            bytes = rest;
            self.head[self.head_len] = *byte;
            self.head_len += 1;
            if let Some(length) = self.length() {
                count += 1;
                // A client's frames have a mask of four bytes; one without ends the connection.
                self.rest = length.saturating_add(4);
                self.head_len = 0;
            }
        }
    }

    /// The length of the frame, once it has been read.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.head_len];
        match head.get(1)? & 0x7f {
            126 => Some(u16::from_be_bytes(head.get(2..4)?.try_into().ok()?).into()),
            127 => Some(u64::from_be_bytes(head.get(2..10)?.try_into().ok()?)),
            short => Some(short.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";

    fn upgraded() -> FrameCounter {
        let mut reading = FrameCounter::new();
        assert_eq!(reading.read(ASKED), 0);
        assert!(reading.serve(true));
        reading
    }

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        // Its content looks like frames, each of which would be a text.
        frame.resize(frame.len() + 4 + length, 0x81);
        frame
    }

    proptest! {
        #[test]
        fn frames_are_counted_in_whatever_pieces_they_come(
            frames in vec((0_u8..16, prop_oneof![0_usize..200, 65_500_usize..65_600]), 0..20),
            piece in 1_usize..2000,
        ) {
            let mut reading = upgraded();
            let bytes: Vec<u8> = frames.iter().flat_map(|(code, length)| frame(*code, *length)).collect();
            let counted: usize = bytes.chunks(piece).map(|piece| reading.read(piece)).sum();
            prop_assert_eq!(counted, frames.len() + bytes.len() / FRAME_SHARE);
        }
    }

    #[test]
    fn the_longest_frame_of_all_is_no_end_of_it() {
        let mut reading = upgraded();
        let endless = [&[0x81, 0xff][..], &[0xff; 8], &[0; 100]].concat();
        assert_eq!(reading.read(&endless), 1);
        assert_eq!(reading.read(&[0x81; 100]), 0);
    }

    #[test]
    fn requests_before_the_upgrade_are_no_frames() {
        let mut reading = FrameCounter::new();
        for head in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\r\n\r\nGET / HTTP/1.1\nA: b\n\n", ASKED] {
            for piece in head.chunks(3) {
                assert_eq!(reading.read(piece), 0);
            }
            assert!(reading.serve(false), "{head:?}");
        }
        assert_eq!(reading.read(ASKED), 0);
        assert!(reading.serve(true));
        assert_eq!(reading.read(&frame(1, 5)), 1);
    }

    #[test]
    fn after_a_refused_websocket_another_request_may_follow_but_no_data_before_the_refusal() {
        let mut reading = upgraded();
        assert!(reading.refuse());
        reading.read(ASKED);
        assert!(reading.serve(true));
        for early in [vec![0x81], frame(1, 5), frame(1, 4090)] {
            let mut reading = upgraded();
            reading.read(&early);
            assert!(!reading.refuse() && !reading.serve(true), "{early:?}");
        }
    }

    #[test]
    fn data_before_the_upgrade_is_served_desynchronises() {
        for early in [
            &[ASKED, b"\x81"][..],
            &[ASKED, ASKED],
            &[b"\r\n\r\n", ASKED, b"\r\n"],
            &[b"\n\n", b"GET / HTTP/1.1\nA: b\n"],
        ] {
            let mut reading = FrameCounter::new();
            assert_eq!(early.iter().map(|bytes| reading.read(bytes)).sum::<usize>(), 0);
            assert!(!reading.serve(true), "{early:?}");
        }
        // For good: what came in between may be anything.
        let mut reading = FrameCounter::new();
        reading.read(&[ASKED, ASKED].concat());
        assert!(!reading.serve(false));
        reading.read(b"\x81\xfe\n\n");
        assert!(!reading.serve(true));
    }
}

//! Counts what a client says on its websocket, frame by frame (RFC 6455, section 5.2), while it is read. Socket.IO
//! tells of events only; a ping, an answer or another namespace costs as much as one.

/// The opcodes of what an event begins with, and of the attachment that may come with it and counts with it. A second
/// one counts for itself.
const TEXT: u8 = 1;
const ATTACHMENT: u8 = 2;
/// So many bytes count like one more.
const MUCH: usize = 4 * 1024;

/// What is being read on a connection.
pub(crate) enum FrameCounter {
    /// The head of a request; what its last byte was.
    Head(Last),
    /// A whole head, which the server has not acted on yet.
    Request,
    /// Data came before the server had acted on the request: it is unknown where the next request or frame begins.
    Desynchronised,
    Frames(Frames),
}

/// Where in the lines of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// Before the first one. Empty lines may stand there.
    Nothing,
    Text,
    /// The end of a line, or of one and the `\r` of the next.
    End,
}

/// Frames that are read in pieces of any size.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct Frames {
    /// The beginning of one, up to its length.
    head: [u8; 10],
    have: usize,
    /// The rest of it, which nobody looks at here.
    rest: u64,
    /// A text has come, and no attachment yet.
    alone: bool,
    /// What has not been counted yet.
    bytes: usize,
}

impl FrameCounter {
    pub fn new() -> Self {
        FrameCounter::Head(Last::Nothing)
    }

    /// Counts the frames whose heads end in this, and what is large.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        if let FrameCounter::Frames(frames) = self {
            return frames.read(bytes);
        }
        for byte in bytes {
            *self = match self {
                FrameCounter::Head(last) => {
                    last.and(*byte).map_or(FrameCounter::Request, FrameCounter::Head)
                }
                _ => FrameCounter::Desynchronised,
            };
        }
        0
    }

    /// The server acts on a request: what follows are frames if it asks for a websocket, and another request if not.
    /// False: nobody knows what follows, and a websocket must be refused.
    pub fn serve(&mut self, websocket: bool) -> bool {
        let known = matches!(self, FrameCounter::Request);
        *self = match (known, websocket) {
            (true, true) => FrameCounter::Frames(Frames::default()),
            (true, false) => FrameCounter::new(),
            (false, _) => FrameCounter::Desynchronised,
        };
        known
    }

    /// The websocket that was asked for is refused, and another request may follow. False: data came meanwhile.
    pub fn refuse(&mut self) -> bool {
        let untouched =
            matches!(self, FrameCounter::Frames(frames) if *frames == Frames::default());
        *self = if untouched { FrameCounter::new() } else { FrameCounter::Desynchronised };
        untouched
    }
}

impl Last {
    /// After one more byte; `None` if the head ends with it, as it does with an empty line, also one without `\r`.
    fn and(self, byte: u8) -> Option<Last> {
        match (self, byte) {
            (Last::Nothing, b'\r' | b'\n') => Some(Last::Nothing),
            (Last::End, b'\n') => None,
            (Last::End, b'\r') | (_, b'\n') => Some(Last::End),
            _ => Some(Last::Text),
        }
    }
}

impl Frames {
    fn read(&mut self, mut bytes: &[u8]) -> usize {
        self.bytes += bytes.len();
        let mut count = self.bytes / MUCH;
        self.bytes %= MUCH;
        loop {
            let skipped = bytes.len().min(usize::try_from(self.rest).unwrap_or(usize::MAX));
            self.rest -= skipped as u64;
            let Some((byte, rest)) = bytes[skipped..].split_first() else {
                return count;
            };
            bytes = rest;
            self.head[self.have] = *byte;
            self.have += 1;
            if let Some(length) = self.length() {
                count += usize::from(self.counts(self.head[0] & 0xf));
                // A client's frames have a mask of four bytes; who sends one without is not read any further.
                self.rest = length.saturating_add(4);
                self.have = 0;
            }
        }
    }

    fn counts(&mut self, opcode: u8) -> bool {
        match opcode {
            ATTACHMENT => !std::mem::take(&mut self.alone),
            _ => {
                self.alone |= opcode == TEXT;
                true
            }
        }
    }

    /// How long it is, if that has been read.
    fn length(&self) -> Option<u64> {
        let head = &self.head[..self.have];
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
            let mut alone = false;
            let counts = frames.iter().filter(|(code, _)| {
                let free = *code == ATTACHMENT && alone;
                alone = *code == TEXT || (alone && *code != ATTACHMENT);
                !free
            });
            prop_assert_eq!(counted, counts.count() + bytes.len() / MUCH);
        }
    }

    #[test]
    fn one_attachment_of_an_event_counts_for_nothing() {
        let count = |codes: &[u8]| {
            let bytes: Vec<u8> = codes.iter().flat_map(|code| frame(*code, 20)).collect();
            upgraded().read(&bytes)
        };
        assert_eq!(count(&[TEXT, ATTACHMENT, TEXT, ATTACHMENT, TEXT]), 3);
        // With a ping in between.
        assert_eq!(count(&[TEXT, 9, ATTACHMENT]), 2);
        assert_eq!(count(&[TEXT, ATTACHMENT, ATTACHMENT, ATTACHMENT]), 3);
        assert_eq!(count(&[ATTACHMENT, ATTACHMENT]), 2);
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
                assert!(matches!(reading, FrameCounter::Head(_)));
                assert_eq!(reading.read(piece), 0);
            }
            assert!(matches!(reading, FrameCounter::Request), "{head:?}");
            assert!(reading.serve(false));
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

//! Counts the websocket frames (RFC 6455, section 5.2) that a client sends, as they are read.
//! Socket.IO reports events only, but a ping or a packet for another namespace costs as much as an
//! event, and a thousand of them fit into a few KiB.
//!
//! The counter has to know where the first frame begins: one that is off by a byte would take a
//! flood of pings for the payload of a single frame. So it counts the ends of request heads. When
//! the server acts on a request and no byte has followed its head, frames begin with the next byte.

/// Each 4 KiB that are read count as one more frame.
const BYTES_PER_FRAME: usize = 4 * 1024;
/// A client masks its frames. The server ends a connection that does not.
const MASKING_KEY_BYTES: usize = 4;

/// What a client sends on one connection: request heads, and frames after an upgrade.
#[derive(Default)]
pub(crate) struct FrameCounter {
    /// Requests that the server has acted on.
    served: usize,
    /// Ends of heads that were read. Empty lines elsewhere count too, and then no websocket is
    /// accepted.
    heads: usize,
    /// The last four bytes of a head.
    last: u32,
    /// `Some` after the request for a websocket.
    frames: Option<Frames>,
}

/// Frames, read in pieces of any size.
#[derive(Default, PartialEq, Eq)]
struct Frames {
    /// The part of a frame's header that was read so far.
    header: Vec<u8>,
    /// The bytes until the next header.
    skip: usize,
    /// Bytes that did not count yet.
    bytes: usize,
}

impl FrameCounter {
    /// The number of frames whose headers end in `bytes`, more if they are large.
    pub fn read(&mut self, bytes: &[u8]) -> usize {
        if let Some(frames) = &mut self.frames {
            return frames.read(bytes);
        }
        for byte in bytes {
            self.last = self.last << 8 | u32::from(*byte);
            self.heads += usize::from(self.is_end_of_head());
        }
        0
    }

    /// Notes that the server acts on a request, for a websocket or not. Returns `false` if the
    /// client has sent more than the request's head: then a websocket must be refused.
    pub fn on_request(&mut self, websocket: bool) -> bool {
        self.served += 1;
        let in_sync = self.served == self.heads && self.is_end_of_head();
        self.frames = (in_sync && websocket).then(Frames::default);
        in_sync
    }

    /// Notes that the response is not a websocket. Returns `false` if the client has sent data for
    /// one meanwhile: then the connection must be closed.
    pub fn on_response(&mut self) -> bool {
        self.frames.take().is_none_or(|frames| frames == Frames::default())
    }

    /// A head ends with an empty line. Lines may end without `\r`.
    fn is_end_of_head(&self) -> bool {
        let last = self.last.to_be_bytes();
        last.ends_with(b"\n\r\n") || last.ends_with(b"\n\n")
    }
}

impl Frames {
    fn read(&mut self, mut bytes: &[u8]) -> usize {
        self.bytes += bytes.len();
        let mut count = self.bytes / BYTES_PER_FRAME;
        self.bytes %= BYTES_PER_FRAME;
        loop {
            let skipped = bytes.len().min(self.skip);
            self.skip -= skipped;
            let Some((byte, rest)) = bytes[skipped..].split_first() else { return count };
            bytes = rest;
            self.header.push(*byte);
            if let Some(length) = self.payload_length() {
                count += 1;
                self.skip = length.saturating_add(MASKING_KEY_BYTES);
                self.header.clear();
            }
        }
    }

    /// `None`: the header is not complete.
    fn payload_length(&self) -> Option<usize> {
        let length = match self.header.get(1)? & 0x7f {
            126 => self.header.get(2..4)?,
            127 => self.header.get(2..10)?,
            short => return Some(short.into()),
        };
        let length = length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte));
        Some(usize::try_from(length).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const HEAD: &[u8] = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
    const TEXT: u8 = 1;

    fn upgraded() -> FrameCounter {
        let mut counter = FrameCounter::default();
        assert_eq!(counter.read(HEAD), 0);
        assert!(counter.on_request(true));
        counter
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
        // The payload looks like frames of text.
        frame.resize(frame.len() + 4 + length, 0x81);
        frame
    }

    proptest! {
        #[test]
        fn frames_are_counted_in_pieces_of_any_size(
            frames in vec((0_u8..16, prop_oneof![0_usize..200, 65_500_usize..65_600]), 0..20),
            piece in 1_usize..2000,
        ) {
            let mut counter = upgraded();
            let bytes: Vec<u8> = frames.iter().flat_map(|(code, length)| frame(*code, *length)).collect();
            let counted: usize = bytes.chunks(piece).map(|piece| counter.read(piece)).sum();
            prop_assert_eq!(counted, frames.len() + bytes.len() / BYTES_PER_FRAME);
        }
    }

    #[test]
    fn the_longest_frame_of_all_does_not_end() {
        let mut counter = upgraded();
        let endless = [&[0x81, 0xff][..], &[0xff; 8], &[0; 100]].concat();
        assert_eq!(counter.read(&endless), 1);
        assert_eq!(counter.read(&[0x81; 100]), 0);
    }

    #[test]
    fn requests_before_the_upgrade_are_not_frames() {
        let mut counter = FrameCounter::default();
        for head in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"GET / HTTP/1.1\nA: b\n\n", HEAD] {
            let served = counter.heads;
            for piece in head.chunks(3) {
                assert_eq!((counter.heads, counter.read(piece)), (served, 0));
            }
            assert!(counter.on_request(false), "{head:?}");
        }
        assert_eq!(counter.read(HEAD), 0);
        assert!(counter.on_request(true));
        assert_eq!(counter.read(&frame(TEXT, 5)), 1);
    }

    #[test]
    fn after_a_refused_websocket_another_request_may_follow_but_no_data_before_the_refusal() {
        let mut counter = upgraded();
        assert!(counter.on_response());
        counter.read(HEAD);
        assert!(counter.on_request(true));
        for early in [vec![0x81], frame(TEXT, 5), frame(TEXT, 4090)] {
            let mut counter = upgraded();
            counter.read(&early);
            assert!(!counter.on_response() && !counter.on_request(true), "{early:?}");
        }
    }

    #[test]
    fn a_websocket_is_refused_if_data_came_before_its_request_was_served() {
        for early in [
            &[HEAD, b"\x81"][..],
            &[HEAD, HEAD],
            &[b"\r\n\r\n", HEAD, b"\r\n"],
            &[b"\n\n", b"GET / HTTP/1.1\nA: b\n"],
            &[HEAD, b"\x81\xfe\r\n\r\n"],
        ] {
            let mut counter = FrameCounter::default();
            assert_eq!(early.iter().map(|bytes| counter.read(bytes)).sum::<usize>(), 0);
            assert!(!counter.on_request(true), "{early:?}");
        }
        // For good: what came in between may be anything.
        let mut counter = FrameCounter::default();
        counter.read(&[HEAD, HEAD].concat());
        assert!(!counter.on_request(false));
        counter.read(b"\x81\xfe\n\n");
        assert!(!counter.on_request(true));
    }
}

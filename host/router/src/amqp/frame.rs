//! Frames (parts 2 and 5 of the specification): a length, a type, a channel, a performative and a payload.

use super::codec::DecodeError;

/// The header of the plain protocol, and of its security layer, which goes first.
pub(crate) const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
pub(crate) const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";

/// The smallest limit of a frame's size that the specification lets a peer set.
pub(crate) const MIN_MAX_FRAME: u32 = 512;

/// Bytes of a frame's header without an extended one.
pub(crate) const HEADER: usize = 8;

/// A frame as it came: performative and payload aren't told apart yet.
#[derive(Debug, PartialEq)]
pub(crate) struct Frame<'a> {
    pub(crate) sasl: bool,
    pub(crate) channel: u16,
    pub(crate) body: &'a [u8],
}

/// The frame that `bytes` start with and how many of them it takes.
///
/// # Errors
/// `Truncated` until the whole frame is there; `Malformed` for what can't become one, and for a frame that is
/// longer than `max` before its body has arrived.
pub(crate) fn split(bytes: &[u8], max: usize) -> Result<(Frame<'_>, usize), DecodeError> {
    let header: &[u8; HEADER] = bytes.first_chunk().ok_or(DecodeError::Truncated)?;
    let [a, b, c, d, offset, kind, high, low] = *header;
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    let start = usize::from(offset) * 4;
    if size > max {
        return Err(DecodeError::Malformed("a frame longer than agreed"));
    }
    if start < HEADER || start > size {
        return Err(DecodeError::Malformed("a frame whose data offset isn't in it"));
    }
    if kind > 1 {
        return Err(DecodeError::Malformed("a frame of an unknown type"));
    }
    let body = bytes.get(start..size).ok_or(DecodeError::Truncated)?;
    Ok((Frame { sasl: kind == 1, channel: u16::from_be_bytes([high, low]), body }, size))
}

/// Appends a frame's header to `out`; [`finish`] puts its length in when the performative is there.
pub(crate) fn start(out: &mut Vec<u8>, sasl: bool, channel: u16) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, 2, u8::from(sasl)]);
    out.extend_from_slice(&channel.to_be_bytes());
    at
}

/// Completes the frame that starts at `at`, after which `payload` bytes will follow that aren't in `out`.
pub(crate) fn finish(out: &mut [u8], at: usize, payload: usize) {
    let size = u32::try_from(out.len() - at + payload).unwrap_or(u32::MAX);
    if let Some(length) = out.get_mut(at..at + 4) {
        length.copy_from_slice(&size.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_frame_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), max in 8usize..2048) {
            if let Ok((frame, size)) = split(&bytes, max) {
                prop_assert!(size <= bytes.len() && size <= max && frame.body.len() <= size - HEADER);
            }
        }
    }

    #[test]
    fn a_frame_comes_back() {
        let mut out = vec![9];
        let at = start(&mut out, false, 5);
        out.extend_from_slice(b"perf");
        finish(&mut out, at, 7);
        out.extend_from_slice(b"payload");
        assert_eq!(split(&out[1..], 512), Ok((Frame { sasl: false, channel: 5, body: b"perfpayload" }, 19)));
        assert_eq!(split(&out[1..15], 512), Err(DecodeError::Truncated));
    }

    #[test]
    fn a_frame_longer_than_agreed_is_refused_at_its_header() {
        let header = [0x7f, 0, 0, 0, 2, 0, 0, 0];
        assert_eq!(split(&header, 16_384), Err(DecodeError::Malformed("a frame longer than agreed")));
    }
}

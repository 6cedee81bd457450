//! Streams of bytes cut into what can be parsed by itself: the lines of a watch, the items of a
//! list. What is whole in a chunk is not copied, and never is more than one piece kept.

use std::mem;

use thiserror::Error;

/// No object is nearly as large: etcd takes 1.5 MiB at most unless told otherwise.
const LONGEST_PIECE: usize = 16 << 20;

/// A buffer that one large piece needed is given back when it is larger than this.
const KEPT_BUFFER: usize = 64 << 10;

/// Why there is no cutting a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Uncut {
    #[error("an object of more than {} MiB", LONGEST_PIECE >> 20)]
    TooLong,
    #[error("not a list")]
    NotAList,
}

/// Cuts at line ends.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Hands over each line that the chunk completes.
    pub(super) fn push(
        &mut self,
        mut chunk: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Uncut> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            complete(&mut self.partial, line, &mut each)?;
            chunk = rest;
        }
        append(&mut self.partial, chunk)
    }

    /// Whether nothing came after the last line end.
    pub(super) fn is_between(&self) -> bool {
        self.partial.is_empty()
    }
}

/// Cuts the items out of a list: `{"metadata":{…},"items":[{…},{…}]}`.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// The list without its items.
    frame: Vec<u8>,
    partial: Vec<u8>,
    depth: usize,
    inside: bool,
    in_string: bool,
    escaped: bool,
}

/// How deep inside the list its items are: the list's brace, the bracket.
const ITEM: usize = 2;

impl Items {
    /// Hands over each item that the chunk completes.
    pub(super) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Uncut> {
        // Where the item that is being gone through starts in this chunk.
        let mut start = 0;
        for (at, byte) in chunk.iter().copied().enumerate() {
            if self.in_string {
                self.pass_string(byte);
            } else if self.inside && self.depth == ITEM {
                match byte {
                    b'{' => {
                        start = at;
                        self.depth += 1;
                    }
                    b']' => self.leave(),
                    b',' | b' ' | b'\n' | b'\r' | b'\t' => {}
                    _ => return Err(Uncut::NotAList),
                }
                continue;
            } else {
                self.pass(byte)?;
                if self.inside && self.depth == ITEM && byte == b'}' {
                    complete(&mut self.partial, &chunk[start..=at], &mut each)?;
                    continue;
                }
            }
            // Inside, that is the bracket that opens the items.
            if !self.inside || self.depth == ITEM {
                append(&mut self.frame, &[byte])?;
            }
        }
        if self.inside && self.depth > ITEM {
            append(&mut self.partial, &chunk[start..])?;
        }
        Ok(())
    }

    /// The list without its items, if all of it came.
    pub(super) fn rest(self) -> Option<Vec<u8>> {
        (self.depth == 0 && !self.in_string && !self.frame.is_empty()).then_some(self.frame)
    }

    fn pass_string(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => self.in_string = false,
            _ => {}
        }
    }

    fn pass(&mut self, byte: u8) -> Result<(), Uncut> {
        match byte {
            b'"' => self.in_string = true,
            b'{' => self.depth += 1,
            b'[' => {
                self.depth += 1;
                self.inside |= self.depth == ITEM && is_items_key(&self.frame);
            }
            b'}' | b']' => self.depth = self.depth.checked_sub(1).ok_or(Uncut::NotAList)?,
            _ => {}
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.inside = false;
        self.depth -= 1;
        self.frame.push(b']');
    }
}

/// Whether what comes next is the value of `items`.
fn is_items_key(frame: &[u8]) -> bool {
    let before = frame.trim_ascii_end();
    let key = before.strip_suffix(b":").map(<[u8]>::trim_ascii_end);
    let before = key.and_then(|key| key.strip_suffix(b"\"items\""));
    before.is_some_and(|before| matches!(before.trim_ascii_end().last(), Some(b'{' | b',')))
}

/// Hands over a piece, of which all but the end came before.
fn complete(partial: &mut Vec<u8>, end: &[u8], each: &mut impl FnMut(&[u8])) -> Result<(), Uncut> {
    if partial.is_empty() {
        each(end);
    } else {
        append(partial, end)?;
        each(partial);
        clear(partial);
    }
    Ok(())
}

fn append(buffer: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Uncut> {
    if buffer.len() + bytes.len() > LONGEST_PIECE {
        return Err(Uncut::TooLong);
    }
    buffer.extend_from_slice(bytes);
    Ok(())
}

fn clear(buffer: &mut Vec<u8>) {
    if buffer.capacity() > KEPT_BUFFER {
        mem::take(buffer);
    }
    buffer.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str]) -> (Vec<String>, bool) {
        let (mut lines, mut cut) = (Vec::new(), Lines::default());
        for chunk in chunks {
            let each = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
            cut.push(chunk.as_bytes(), each).unwrap();
        }
        (lines, cut.is_between())
    }

    fn items(text: &str, size: usize) -> Result<(Vec<String>, Option<String>), Uncut> {
        let (mut items, mut cut) = (Vec::new(), Items::default());
        for chunk in text.as_bytes().chunks(size) {
            cut.push(chunk, |item| {
                items.push(String::from_utf8_lossy(item).into_owned());
            })?;
        }
        let frame = cut.rest().map(|frame| String::from_utf8(frame).unwrap());
        Ok((items, frame))
    }

    #[test]
    fn lines_are_whole_wherever_chunks_end() {
        let all = (vec!["one".into(), "two".into()], true);
        assert_eq!(lines(&["one\ntwo\n"]), all);
        assert_eq!(lines(&["o", "ne\nt", "wo", "\n"]), all);
        assert_eq!(lines(&["one\nhal"]), (vec!["one".into()], false));
    }

    #[test]
    fn items_are_cut_out_wherever_chunks_end() {
        let text = r#"{"kind":"L", "metadata":{"items":[1,{}],"x":"\"items\":["}, "items" : [ {"a":"}]{[\\"},
            {"b":{"items":[{}]}},{"é":[]} ] ,"z":[{}]}"#;
        let frame = r#"{"kind":"L", "metadata":{"items":[1,{}],"x":"\"items\":["}, "items" : [] ,"z":[{}]}"#;
        for size in 1..=text.len() {
            let (items, rest) = items(text, size).unwrap();
            let expected = [
                r#"{"a":"}]{[\\"}"#,
                r#"{"b":{"items":[{}]}}"#,
                r#"{"é":[]}"#,
            ];
            assert_eq!(items, expected, "chunks of {size}");
            assert_eq!(rest.as_deref(), Some(frame), "chunks of {size}");
        }
    }

    #[test]
    fn half_a_list_has_no_rest() {
        let text = r#"{"metadata":{},"items":[{"a":1},{"b":2}]}"#;
        for cut in 1..text.len() {
            assert_eq!(items(&text[..cut], 7).unwrap().1, None, "{}", &text[..cut]);
        }
        assert_eq!(
            items(r#"{"items":null}"#, 3),
            Ok((vec![], Some(r#"{"items":null}"#.into())))
        );
        assert_eq!(items(r#"{"items":[1]}"#, 3), Err(Uncut::NotAList));
        assert_eq!(items("]", 1), Err(Uncut::NotAList));
    }

    #[test]
    fn nothing_is_kept_without_bounds() {
        let long = vec![b'x'; LONGEST_PIECE];
        let mut cut = Lines::default();
        assert_eq!(cut.push(&long, |_| ()), Ok(()));
        assert_eq!(cut.push(b"x", |_| ()), Err(Uncut::TooLong));
        let mut cut = Items::default();
        assert_eq!(cut.push(br#"{"items":[{"x":""#, |_| ()), Ok(()));
        assert_eq!(cut.push(&long, |_| ()), Err(Uncut::TooLong));
    }
}

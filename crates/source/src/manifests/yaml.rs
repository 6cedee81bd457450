//! The outer shape of YAML text, told from its lines without parsing it.
//!
//! Block style puts what matters here at known columns: a document starts at `---` in column 0,
//! the fields of an object stand at the indentation of its first one, and the items of a list
//! start with a dash at one indentation. Everything inside is indented further, block scalars
//! included. So a file can be cut into documents, and a list into items, before anything is
//! parsed, and a broken document can still say whose it is. Text in flow style (`{...}`) shows
//! none of this; it is left to the parser.

/// A line, with where it stands.
struct Line<'a> {
    /// Counted from 0.
    number: usize,
    /// Bytes before it.
    start: usize,
    /// Bytes before the next one.
    end: usize,
    /// Without indentation, the end of the line and white space before that.
    content: &'a str,
    /// Spaces before the content.
    indent: usize,
}

impl Line<'_> {
    fn is_blank(&self) -> bool {
        self.content.is_empty() || self.content.starts_with('#')
    }

    /// A document marker or a directive: they stand in column 0.
    fn is_frame(&self) -> bool {
        self.indent == 0
            && (self.is_marker("---") || self.is_marker("...") || self.content.starts_with('%'))
    }

    fn is_marker(&self, marker: &str) -> bool {
        let rest = self.content.strip_prefix(marker);
        self.indent == 0
            && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t']))
    }

    fn is_item(&self) -> bool {
        self.content == "-" || self.content.starts_with("- ")
    }
}

fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut end = 0;
    text.split_inclusive('\n')
        .enumerate()
        .map(move |(number, line)| {
            let trimmed = line.trim_start_matches(' ');
            let indent = line.len() - trimmed.len();
            let start = end;
            end += line.len();
            Line {
                number,
                start,
                end,
                content: trimmed.trim_end(),
                indent,
            }
        })
}

/// Cuts a file at its document markers: the documents with their first line, counted from 0.
/// Those with nothing but comments are left out.
pub(super) fn documents(file: &str) -> Vec<(usize, &str)> {
    let mut cuts = vec![(0, 0)];
    for line in lines(file) {
        if line.is_marker("---") {
            cuts.push((line.number, line.start));
        } else if line.is_marker("...") {
            cuts.push((line.number + 1, line.end));
        }
    }
    let ends = cuts
        .iter()
        .skip(1)
        .map(|&(_, start)| start)
        .chain([file.len()]);
    let pieces = cuts
        .iter()
        .zip(ends)
        .map(|(&(line, start), end)| (line, &file[start..end]));
    pieces.filter(|(_, text)| body(text).is_some()).collect()
}

/// The offset of the first line with content, and its number counted from 0.
pub(super) fn body(document: &str) -> Option<(usize, usize)> {
    for line in lines(document) {
        if line.is_marker("---") && !line.content[3..].trim_start().is_empty() {
            let rest = line.content[3..].trim_start();
            if !rest.starts_with('#') {
                return Some((line.start + line.content.len() - rest.len(), line.number));
            }
        } else if !line.is_blank() && !line.is_frame() {
            return Some((line.start, line.number));
        }
    }
    None
}

/// The plain or quoted values of some fields of the object that a document is.
pub(super) fn fields<'a, const N: usize>(
    document: &'a str,
    keys: [&str; N],
) -> [Option<&'a str>; N] {
    let mut values = [None; N];
    for line in root(document) {
        for (value, key) in values.iter_mut().zip(keys) {
            if let Some(text) = field(line.content, key) {
                *value = scalar(text);
            }
        }
    }
    values
}

/// The same for fields one level down: `fields_of(text, "metadata", ["name"])`.
pub(super) fn fields_of<'a, const N: usize>(
    document: &'a str,
    parent: &str,
    keys: [&str; N],
) -> [Option<&'a str>; N] {
    let Some(start) =
        root(document).find(|line| field(line.content, parent).map(uncommented) == Some(""))
    else {
        return [None; N];
    };
    let inside = &document[start.end..];
    let mut below = lines(inside).filter(|line| !line.is_blank());
    let length = below
        .find(|line| line.indent <= start.indent)
        .map_or(inside.len(), |line| line.start);
    fields(&inside[..length], keys)
}

/// Cuts the items of a list in block style apart, each from its dash on, with its first line
/// counted from 0. `None` when they are written in another way.
pub(super) fn items(document: &str) -> Option<Vec<(usize, &str)>> {
    let key = root(document).find(|line| field(line.content, "items").is_some())?;
    if field(key.content, "items").map(uncommented) != Some("") {
        return None;
    }
    let mut below = lines(document)
        .skip(key.number + 1)
        .filter(|line| !line.is_blank())
        .peekable();
    let indent = match below.peek() {
        Some(first) if first.is_item() && first.indent >= key.indent => first.indent,
        Some(other) if other.indent > key.indent => return None,
        _ => return Some(Vec::new()),
    };
    let mut cuts = Vec::new();
    let mut end = document.len();
    for line in below {
        if line.indent == indent && line.is_item() {
            cuts.push((line.number, line.start));
        } else if line.indent <= indent {
            end = line.start;
            break;
        }
    }
    let ends: Vec<usize> = cuts
        .iter()
        .skip(1)
        .map(|&(_, start)| start)
        .chain([end])
        .collect();
    Some(
        cuts.into_iter()
            .zip(ends)
            .map(|((line, start), end)| (line, &document[start..end]))
            .collect(),
    )
}

/// The lines that carry the fields of the outermost mapping.
fn root(document: &str) -> impl Iterator<Item = Line<'_>> {
    let mut indent = None;
    lines(document)
        .filter(|line| !line.is_blank() && !line.is_frame())
        .filter(move |line| {
            let root = *indent.get_or_insert(line.indent);
            line.indent == root
        })
}

/// What follows `key:`.
fn field<'a>(content: &'a str, key: &str) -> Option<&'a str> {
    let value = content.strip_prefix(key)?.strip_prefix(':')?;
    (value.is_empty() || value.starts_with([' ', '\t'])).then(|| value.trim_start())
}

/// A value that is the text itself, not an anchor, a tag or a block.
fn scalar(value: &str) -> Option<&str> {
    let value = uncommented(value);
    for quote in ['"', '\''] {
        if let Some(inner) = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return (!inner.contains([quote, '\\'])).then_some(inner);
        }
    }
    value
        .starts_with(|first: char| first.is_alphanumeric())
        .then_some(value)
}

fn uncommented(value: &str) -> &str {
    if value.starts_with('#') {
        return "";
    }
    value
        .split_once(" #")
        .map_or(value, |(value, _)| value)
        .trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_cut_at_markers_in_column_0() {
        let file = "# head\n%YAML 1.2\n--- # first\r\na: 1\r\ntext: |\n  ---\n  ...\n---\n\n---\n# nothing\n--- {b: 2}\n...\nc: 3\n";
        let found: Vec<_> = documents(file)
            .into_iter()
            .map(|(line, text)| (line, text.lines().next()))
            .collect();
        assert_eq!(
            found,
            [
                (2, Some("--- # first")),
                (11, Some("--- {b: 2}")),
                (13, Some("c: 3"))
            ]
        );
        assert_eq!(documents(""), []);
        assert_eq!(documents("---"), []);
    }

    #[test]
    fn fields_are_read_at_the_root_alone() {
        let text = "---\n# kind: Comment\nmetadata:\n  kind: Deep\n  name: 'web'  # the name\nkind: Service # said\nspec: {}\napiVersion: \"v1\"\nother: &anchor x\n";
        assert_eq!(
            fields(text, ["apiVersion", "kind", "spec", "other"]),
            [Some("v1"), Some("Service"), None, None]
        );
        assert_eq!(
            fields_of(text, "metadata", ["name", "namespace"]),
            [Some("web"), None]
        );
        assert_eq!(fields_of(text, "spec", ["name"]), [None]);
        assert_eq!(fields_of("metadata:\n", "metadata", ["name"]), [None]);
    }

    #[test]
    fn lists_are_cut_into_items() {
        let text = "kind: List\nitems: # these\n- a: 1\n  list:\n  - x\n\n# between\n-\n  b: 2\nmetadata: {}\n";
        let found = items(text).unwrap();
        assert_eq!(
            found,
            [
                (2, "- a: 1\n  list:\n  - x\n\n# between\n"),
                (7, "-\n  b: 2\n")
            ]
        );
        assert_eq!(items("items:\n  - a: 1\n").unwrap(), [(1, "  - a: 1\n")]);
        assert_eq!(items("items:\nkind: List\n").unwrap(), []);
        assert_eq!(items("items: [{a: 1}]\n"), None);
        assert_eq!(items("items:\n  {a: 1}\n"), None);
    }
}

//! Reads Debian's control data (deb822, policy section 5.1) without copying it.
//!
//! It knows the syntax alone, not which fields there are. Nothing is checked: a line that is no field is passed over.

/// A paragraph of fields.
#[derive(Clone, Copy, Debug)]
pub struct Stanza<'a> {
    text: &'a str,
}

impl<'a> Stanza<'a> {
    /// Returns the stanza whose lines are `text`.
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Returns a field's value without the white space around it; lines that continue it are part of it.
    ///
    /// Names are compared without regard to case; the first of several fields of one name counts.
    pub fn field(self, name: &str) -> Option<&'a str> {
        self.fields().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns all fields, in order.
    pub fn fields(self) -> Fields<'a> {
        Fields { rest: self.text }
    }
}

/// The fields of a stanza: names and values.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let (field, rest) = self.rest.split_at(end_of_field(self.rest));
            self.rest = rest;
            let named = field.split_once(':').filter(|(name, _)| !name.starts_with('#') && !name.contains('\n'));
            if let Some((name, value)) = named {
                return Some((name, value.trim()));
            }
        }
        None
    }
}

/// Returns where the first line and the lines that continue it end.
fn end_of_field(text: &str) -> usize {
    let mut end = 0;
    loop {
        end = text[end..].find('\n').map_or(text.len(), |length| end + length + 1);
        if !text[end..].starts_with([' ', '\t']) {
            return end;
        }
    }
}

/// Returns the stanzas of a file, in order.
pub fn stanzas(text: &str) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (stanza, after) = rest.split_at(end_of_stanza(rest));
            rest = after.split_once('\n').map_or("", |(_, rest)| rest);
            if !stanza.is_empty() {
                return Some(Stanza::new(stanza));
            }
        }
        None
    })
}

/// Returns where the first line without any text begins.
fn end_of_stanza(text: &str) -> usize {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        end += line.len();
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_continue_and_comments_do_not_count() {
        let stanza = Stanza::new("Package: a\n# Version: 9\nversion:1 \nDescription: b\n c\n .\n\td\nEmpty:\n");
        let fields: Vec<_> = stanza.fields().collect();
        assert_eq!(fields, [("Package", "a"), ("version", "1"), ("Description", "b\n c\n .\n\td"), ("Empty", "")]);
        assert_eq!(stanza.field("Version"), Some("1"));
        assert_eq!(stanza.field("Vers"), None);
    }

    #[test]
    fn a_line_that_is_no_field_hides_none_in_what_continues_it() {
        let stanza = Stanza::new("Package: a\nnonsense\n Version: 9\nVersion: 1\n");
        assert_eq!(stanza.fields().collect::<Vec<_>>(), [("Package", "a"), ("Version", "1")]);
    }

    #[test]
    fn stanzas_are_split_at_lines_without_text() {
        let values: Vec<_> =
            stanzas("\n\nA: 1\n\n \n\nA: 2\nB: 3\n\t\nA: 4").map(|stanza| stanza.field("A").unwrap()).collect();
        assert_eq!(values, ["1", "2", "4"]);
        assert_eq!(stanzas("").count(), 0);
    }
}

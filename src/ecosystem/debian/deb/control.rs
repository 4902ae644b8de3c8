//! The control file of a package: one paragraph of fields, as deb-control(5) describes it.

use serde::{Deserialize, Serialize};

use super::error::ArchiveError;

/// A package's control paragraph.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// The fields in the order of the file; continuation lines keep their line breaks and indentation.
    fields: Vec<(String, String)>,
}

impl Control {
    /// Reads a control file. Refuses a second paragraph, a field without a name, and a field given twice.
    pub fn parse(text: &str) -> Result<Self, ArchiveError> {
        let wrong = |problem: String| ArchiveError::Control(problem);
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.trim_end_matches('\n').split('\n') {
            if line.chars().any(|character| character.is_control() && character != '\t') {
                return Err(wrong(format!("control characters in `{}`", line.escape_default())));
            }
            if line.starts_with([' ', '\t']) {
                let (_, value) =
                    fields.last_mut().ok_or_else(|| wrong("it begins with a continuation line".to_owned()))?;
                value.push('\n');
                value.push_str(line);
                continue;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| wrong(format!("no field in `{line}`")))?;
            let sound =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()) && !name.starts_with(['-', '#']);
            if !sound || fields.iter().any(|(present, _)| present.eq_ignore_ascii_case(name)) {
                return Err(wrong(format!("`{name}` is no field name, or stands twice")));
            }
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Self { fields })
    }

    /// Returns a field's value; names are compared without case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(present, _)| present.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Returns the package's name, or nothing where the field is missing.
    pub fn package(&self) -> &str {
        self.field("Package").unwrap_or_default()
    }

    /// Returns the fields in the order of the file.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_continuation_lines_are_read() {
        let control = Control::parse("Package: a\nDescription: short\n long\n .\n more\n").unwrap();
        assert_eq!(control.package(), "a");
        assert_eq!(control.field("description"), Some("short\n long\n .\n more"));
    }

    #[test]
    fn a_second_paragraph_a_repeated_field_and_nonsense_are_refused() {
        for text in
            ["Package: a\n\nPackage: b\n", "Package: a\nPACKAGE: b\n", " x\n", "no field\n", ": x\n", "", "A: \r\n"]
        {
            assert!(Control::parse(text).is_err(), "{text:?}");
        }
    }
}

//! HTML that is put together so that no text from elsewhere can become markup.

/// A page or a part of one.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds markup, which only this program can write.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Adds a text, which may say anything; it may stand between tags and in quoted attributes.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                // What turns the direction of writing could show a text as another one.
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => self.0.push('\u{fffd}'),
                '\n' | '\t' => self.0.push(character),
                control if control.is_control() => self.0.push('\u{fffd}'),
                plain => self.0.push(plain),
            }
        }
        self
    }

    /// Adds a text in paragraphs, which are separated by empty lines.
    pub(super) fn paragraphs(&mut self, text: &str) -> &mut Self {
        for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
            self.markup("<p>").text(paragraph).markup("</p>\n");
        }
        self
    }

    /// Returns the page.
    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_never_becomes_markup() {
        let mut html = Html::default();
        html.markup("<b title=\"").text("\" onload='x'").markup("\">").text("</b><script>&\u{202e}\0").markup("</b>");
        let expected = "<b title=\"&quot; onload=&#39;x&#39;\">&lt;/b&gt;&lt;script&gt;&amp;\u{fffd}\u{fffd}</b>";
        assert_eq!(html.finish(), expected);
    }

    #[test]
    fn empty_lines_part_paragraphs() {
        let mut html = Html::default();
        html.paragraphs("one\ntwo\n\n\n\nthree");
        assert_eq!(html.finish(), "<p>one\ntwo</p>\n<p>three</p>\n");
    }
}

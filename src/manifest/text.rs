//! Showing hostile text in messages, and guessing what a misspelt word was meant to be.

/// How much of a value a message quotes, in characters.
const MAX_SHOWN: usize = 60;

/// Quotes a value for a message: in back-ticks, cut where it is long, its invisible characters spelled out.
pub(super) fn shown(value: &str) -> String {
    if value.is_empty() {
        return "an empty text".to_owned();
    }
    let mut text = String::from("`");
    for character in value.chars().take(MAX_SHOWN) {
        if is_invisible(character) {
            text.extend(character.escape_unicode());
        } else {
            text.push(character);
        }
    }
    text.push_str(if value.chars().nth(MAX_SHOWN).is_some() { "…`" } else { "`" });
    text
}

/// Whether a character would not show, or would change how the text around it shows: control characters, line
/// separators, zero-width and bidirectional marks.
pub(super) fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Replaces invisible characters by visible ones of as many bytes, so that places in the text stay right.
pub(super) fn visible(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            // At the end of a line it cannot be told from nothing; elsewhere a terminal would overwrite the line.
            '\r' => ' ',
            _ if !is_invisible(character) => character,
            _ => match character.len_utf8() {
                1 => '?',
                2 => '¿',
                3 => '\u{fffd}',
                _ => '\u{1f6ab}',
            },
        })
        .collect()
}

/// Returns the candidate that a misspelt word most likely stands for.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > MAX_SHOWN {
        return None;
    }
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + word.len().min(candidate.len()) / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Joins words for a sentence: `a`, `b` or `c`.
pub(super) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_cuts_what_it_shows() {
        assert_eq!(shown("a\u{1b}[31m\u{202e}b"), "`a\\u{1b}[31m\\u{202e}b`");
        assert_eq!(shown(&"x".repeat(100)), format!("`{}…`", "x".repeat(60)));
    }

    #[test]
    fn keeps_every_byte_in_its_place() {
        let hostile = "a\u{1b}\u{9b}\u{202e}\u{e0001}\rb\tz\r\n";
        let visible = visible(hostile);
        assert_eq!(visible.len(), hostile.len());
        assert!(!visible.replace(['\t', '\n'], "").chars().any(is_invisible));
    }

    #[test]
    fn suggests_only_what_is_near() {
        assert_eq!(nearest("verson", ["name", "version"]), Some("version"));
        assert_eq!(nearest("Name", ["name", "version"]), Some("name"));
        assert_eq!(nearest("colour", ["name", "version"]), None);
    }
}

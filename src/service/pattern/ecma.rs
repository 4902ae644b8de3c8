//! From the syntax of ECMA-262 (section 22.2.1) to that of the crate `regex`, in one pass and without recursion.
//!
//! Every literal character but letters and digits is written as its number, so that none means something to the crate alone.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::PatternError;

/// `\s` (sections 12.2 and 12.3), as the inside of a class.
const SPACE: &str = r"\t-\r \x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}";

/// A pattern in the crate's words.
pub(super) struct Translation {
    pub(super) text: String,
    /// What it asks for that the crate has not; the text is of no use then.
    pub(super) unsupported: Option<&'static str>,
}

/// Translates a pattern.
pub(super) fn translate(pattern: &str) -> Result<Translation, PatternError> {
    let mut translator = Translator { pattern: pattern.chars().collect(), ..Translator::default() };
    translator.disjunction()?;
    translator.check_references()?;
    Ok(Translation { text: translator.out, unsupported: translator.unsupported })
}

#[derive(Default)]
struct Translator {
    pattern: Vec<char>,
    at: usize,
    out: String,
    unsupported: Option<&'static str>,
    groups: u32,
    names: BTreeSet<String>,
    /// References by number and by name, with their places.
    numbers: Vec<(u32, usize)>,
    named: Vec<(String, usize)>,
}

/// What a class or range is made of.
enum Atom {
    Character(char),
    /// A set, as it stands inside a class.
    Set(String),
}

impl Translator {
    fn disjunction(&mut self) -> Result<(), PatternError> {
        // The open groups: where each begins, and whether it may be repeated.
        let mut open: Vec<(usize, bool)> = Vec::new();
        let mut repeatable = false;
        while let Some(character) = self.peek() {
            let start = self.at;
            self.at += 1;
            repeatable = match character {
                '^' | '$' | '|' => {
                    self.out.push(character);
                    false
                }
                '(' => {
                    open.push((start, self.group(start)?));
                    false
                }
                ')' => {
                    let Some((_, repeatable)) = open.pop() else {
                        return Err(syntax("`)` has no beginning", start));
                    };
                    self.out.push(')');
                    repeatable
                }
                '*' | '+' | '?' => self.repetition(repeatable, start, &character.to_string())?,
                '{' => match self.bounds(start)? {
                    Some(bounds) => self.repetition(repeatable, start, &bounds)?,
                    None => self.literal('{'),
                },
                '.' => {
                    self.out.push_str(r"[^\n\r\x{2028}\x{2029}]");
                    true
                }
                '[' => self.class(start)?,
                '\\' => self.escape(start)?,
                other => self.literal(other),
            };
        }
        open.pop().map_or(Ok(()), |(start, _)| Err(syntax("`(` has no end", start)))
    }

    fn peek(&self) -> Option<char> {
        self.pattern.get(self.at).copied()
    }

    fn take(&mut self, expected: &str) -> bool {
        let found =
            expected.chars().enumerate().all(|(at, character)| self.pattern.get(self.at + at) == Some(&character));
        self.at += if found { expected.chars().count() } else { 0 };
        found
    }

    /// Writes a character that stands for itself, and may be repeated.
    fn literal(&mut self, character: char) -> bool {
        write_literal(&mut self.out, character);
        true
    }

    fn repetition(&mut self, repeatable: bool, start: usize, bounds: &str) -> Result<bool, PatternError> {
        if !repeatable {
            return Err(syntax("nothing to repeat", start));
        }
        self.out.push_str(bounds);
        if self.take("?") {
            self.out.push('?');
        }
        Ok(false)
    }

    /// Reads `2}`, `2,}` or `2,3}`; what is none of these is no repetition.
    fn bounds(&mut self, start: usize) -> Result<Option<String>, PatternError> {
        let is_part = |character: &&char| matches!(character, '0'..='9' | ',');
        let text: String = self.pattern[self.at..].iter().take_while(is_part).collect();
        if self.pattern.get(self.at + text.len()) != Some(&'}') {
            return Ok(None);
        }
        let (least, most) = text.split_once(',').unwrap_or((&text, &text));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(least) || !(most.is_empty() || is_number(most)) {
            return Ok(None);
        }
        // What has more digits is too large either way.
        let bound = |text: &str| text.parse().unwrap_or(u32::MAX);
        if !most.is_empty() && bound(least) > bound(most) {
            return Err(syntax("the bounds of a repetition are in the wrong order", start));
        }
        self.at += text.len() + 1;
        Ok(Some(format!("{{{text}}}")))
    }

    /// Reads what stands behind `(`; returns whether the group may be repeated.
    fn group(&mut self, start: usize) -> Result<bool, PatternError> {
        self.out.push_str("(?:");
        if !self.take("?") {
            self.groups += 1;
            return Ok(true);
        }
        if self.take("=") || self.take("!") || self.take("<=") || self.take("<!") {
            self.unsupported = Some("look-around");
            return Ok(false);
        }
        if self.take("<") {
            let name = self.name().ok_or_else(|| syntax("no such kind of group", start))?;
            self.groups += 1;
            return if self.names.insert(name) { Ok(true) } else { Err(syntax("a name that two groups have", start)) };
        }
        let flags: String = self.pattern[self.at..].iter().take_while(|&&flag| flag != ':').collect();
        if !flags.chars().all(|flag| "ims-".contains(flag)) || !self.take(&format!("{flags}:")) {
            return Err(syntax("no such kind of group", start));
        }
        if flags == "i" {
            self.out.insert(self.out.len() - 1, 'i');
        } else if !flags.is_empty() {
            self.unsupported = Some("a flag other than `i`");
        }
        Ok(true)
    }

    /// Reads `name>`.
    fn name(&mut self) -> Option<String> {
        let name: String = self.pattern[self.at..].iter().take_while(|&&character| character != '>').collect();
        let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|character| character.is_alphanumeric() || matches!(character, '_' | '$'));
        (is_name && self.take(&format!("{name}>"))).then_some(name)
    }

    /// Reads what stands behind `\` outside classes; returns whether it may be repeated.
    fn escape(&mut self, start: usize) -> Result<bool, PatternError> {
        match self.peek() {
            Some(boundary @ ('b' | 'B')) => {
                self.at += 1;
                // Letters and digits of ASCII are what words consist of.
                self.out.push_str(if boundary == 'b' { r"(?-u:\b)" } else { r"(?-u:\B)" });
                Ok(false)
            }
            Some('1'..='9') => {
                let digits: String =
                    self.pattern[self.at..].iter().take_while(|digit| digit.is_ascii_digit()).collect();
                self.at += digits.len();
                self.numbers.push((digits.parse().unwrap_or(u32::MAX), start));
                self.unsupported = Some("a reference to a group");
                Ok(true)
            }
            Some('k') => {
                self.at += 1;
                let name = if self.take("<") { self.name() } else { None };
                self.named.push((name.ok_or_else(|| syntax("no such escape", start))?, start));
                self.unsupported = Some("a reference to a group");
                Ok(true)
            }
            _ => {
                match self.atom_escape(start)? {
                    Atom::Character(character) => write_literal(&mut self.out, character),
                    Atom::Set(set) => self.out.extend(["[", &set, "]"]),
                }
                Ok(true)
            }
        }
    }

    /// Reads what stands behind `\` both inside and outside classes.
    fn atom_escape(&mut self, start: usize) -> Result<Atom, PatternError> {
        let unknown = || syntax("no such escape", start);
        let character = self.peek().ok_or_else(unknown)?;
        self.at += 1;
        Ok(match character {
            'd' => Atom::Set("0-9".to_owned()),
            'D' => Atom::Set("[^0-9]".to_owned()),
            'w' => Atom::Set("0-9A-Za-z_".to_owned()),
            'W' => Atom::Set("[^0-9A-Za-z_]".to_owned()),
            's' => Atom::Set(SPACE.to_owned()),
            'S' => Atom::Set(format!("[^{SPACE}]")),
            'p' | 'P' => Atom::Set(self.property(character).ok_or_else(unknown)?),
            't' => Atom::Character('\t'),
            'n' => Atom::Character('\n'),
            'v' => Atom::Character('\u{b}'),
            'f' => Atom::Character('\u{c}'),
            'r' => Atom::Character('\r'),
            '0' if !self.peek().is_some_and(|next| next.is_ascii_digit()) => Atom::Character('\0'),
            'c' => {
                let letter = self.peek().filter(char::is_ascii_alphabetic).ok_or_else(unknown)?;
                self.at += 1;
                Atom::Character(char::from(letter as u8 % 32))
            }
            'x' => Atom::Character(self.hexadecimal(2).and_then(char::from_u32).ok_or_else(unknown)?),
            'u' => Atom::Character(self.unicode().ok_or_else(unknown)?),
            other if other.is_ascii_punctuation() => Atom::Character(other),
            _ => return Err(unknown()),
        })
    }

    /// Reads `{Name}` or `{Name=Value}`.
    fn property(&mut self, kind: char) -> Option<String> {
        let behind = self.pattern[self.at..].strip_prefix(&['{'])?;
        let name: String = behind.iter().take_while(|&&character| character != '}').collect();
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_=".contains(&byte));
        (is_name && self.take(&format!("{{{name}}}"))).then(|| format!("\\{kind}{{{name}}}"))
    }

    fn hexadecimal(&mut self, length: usize) -> Option<u32> {
        let digits: String = self.pattern.get(self.at..self.at + length)?.iter().collect();
        let is_number = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.at += if is_number { length } else { 0 };
        u32::from_str_radix(&digits, 16).ok().filter(|_| is_number)
    }

    /// Reads `{1f432}`, `0041` or two halves of a character.
    fn unicode(&mut self) -> Option<char> {
        if self.take("{") {
            let length = self.pattern[self.at..].iter().position(|&character| character == '}')?;
            let number = self.hexadecimal(length)?;
            self.at += 1;
            return char::from_u32(number);
        }
        let first = self.hexadecimal(4)?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first);
        }
        let start = self.at;
        let second = if self.take("\\u") { self.hexadecimal(4) } else { None };
        match second.filter(|second| first < 0xdc00 && (0xdc00..0xe000).contains(second)) {
            Some(second) => char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)),
            None => {
                self.at = start;
                self.unsupported = Some("half a character");
                Some(char::REPLACEMENT_CHARACTER)
            }
        }
    }

    /// Reads a class behind its `[`, which may be repeated.
    fn class(&mut self, start: usize) -> Result<bool, PatternError> {
        let negated = self.take("^");
        self.out.push_str(if negated { "[^" } else { "[" });
        let empty = self.out.len();
        loop {
            let place = self.at;
            match self.class_atom(start)? {
                None => break,
                Some(Atom::Set(set)) => self.out.push_str(&set),
                Some(Atom::Character(first)) => self.range(first, place, start)?,
            }
        }
        if self.out.len() == empty {
            // `[]` has no character, `[^]` all of them.
            self.out.truncate(empty - 1 - usize::from(negated));
            self.out.push_str(if negated { r"[\x00-\x{10ffff}]" } else { r"[^\x00-\x{10ffff}]" });
        } else {
            self.out.push(']');
        }
        Ok(true)
    }

    /// Writes a character of a class, or the range that begins with it.
    fn range(&mut self, first: char, place: usize, start: usize) -> Result<(), PatternError> {
        write_literal(&mut self.out, first);
        if self.pattern.get(self.at + 1) == Some(&']') || !self.take("-") {
            return Ok(());
        }
        match self.class_atom(start)? {
            Some(Atom::Character(last)) if last < first => {
                return Err(syntax("the ends of a range are in the wrong order", place));
            }
            Some(Atom::Character(last)) => {
                self.out.push('-');
                write_literal(&mut self.out, last);
            }
            Some(Atom::Set(set)) => {
                write_literal(&mut self.out, '-');
                self.out.push_str(&set);
            }
            None => return Err(syntax("`[` has no end", start)),
        }
        Ok(())
    }

    /// Reads one element of a class; `None` is its end.
    fn class_atom(&mut self, start: usize) -> Result<Option<Atom>, PatternError> {
        let place = self.at;
        let character = self.peek().ok_or_else(|| syntax("`[` has no end", start))?;
        self.at += 1;
        Ok(match character {
            ']' => None,
            '\\' if self.take("b") => Some(Atom::Character('\u{8}')),
            '\\' => Some(self.atom_escape(place)?),
            other => Some(Atom::Character(other)),
        })
    }

    /// Groups may stand behind the references to them.
    fn check_references(&self) -> Result<(), PatternError> {
        let number = self.numbers.iter().find(|(number, _)| *number > self.groups).map(|(_, place)| *place);
        let named = self.named.iter().find(|(name, _)| !self.names.contains(name)).map(|(_, place)| *place);
        let lost = number.into_iter().chain(named).min();
        lost.map_or(Ok(()), |place| Err(syntax("a reference to a group that is not there", place)))
    }
}

fn write_literal(out: &mut String, character: char) {
    if character.is_ascii() && !character.is_ascii_alphanumeric() {
        write!(out, "\\x{{{:x}}}", u32::from(character)).expect("writing to a String cannot fail");
    } else {
        out.push(character);
    }
}

/// Places count from 0 in here, and from 1 for people.
fn syntax(what: &'static str, place: usize) -> PatternError {
    PatternError::Syntax { what, position: place + 1 }
}

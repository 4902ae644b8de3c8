//! As much of the shell's syntax as reading a script needs: lines, words and simple commands.
//!
//! Nothing is executed or evaluated but plain assignments. What this reader does not understand stays in its words, and
//! so shows up as a command that nobody emulates.

use std::collections::BTreeMap;

use crate::platform::Platform;

/// A line of a script with its continuation lines and its here-document joined in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The number of its first line, from 1.
    pub(crate) number: usize,
    /// The text, without a comment line's own.
    pub(crate) text: String,
    /// The debhelper program whose marked section it stands in.
    pub(crate) helper: Option<String>,
}

/// A word or an operator of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word without its quotes; variables and substitutions stay as written.
    Word(String),
    /// `;`, `&&`, `|`, `(`, `>` and their kin.
    Operator(String),
}

/// Splits a script into lines; comments and empty lines are left out.
pub(crate) fn lines(script: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut helper = None;
    let mut rest = script.lines().enumerate();
    while let Some((index, line)) = rest.next() {
        if let Some(comment) = line.trim_start().strip_prefix('#') {
            section(comment.trim(), &mut helper);
            continue;
        }
        let mut text = line.trim().to_owned();
        while text.ends_with('\\') {
            text.pop();
            let Some((_, next)) = rest.next() else { break };
            text = format!("{} {}", text.trim_end(), next.trim());
        }
        if let Some(end) = here_document(&text) {
            rest.by_ref().find(|(_, line)| line.trim_start_matches('\t') == end);
        }
        if !text.is_empty() {
            found.push(Line { number: index + 1, text, helper: helper.clone() });
        }
    }
    found
}

/// Follows the comments that debhelper puts around what it adds.
fn section(comment: &str, helper: &mut Option<String>) {
    if let Some(name) = comment.strip_prefix("Automatically added by ") {
        *helper = Some(name.split('/').next().unwrap_or(name).to_owned());
    } else if comment.starts_with("End automatically added section") {
        *helper = None;
    }
}

/// Returns the word that ends the here-document which the line begins.
fn here_document(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("<<")?;
    let word: String = rest
        .trim_start_matches('-')
        .trim_start()
        .chars()
        .take_while(|c| !c.is_whitespace() && !";|&)".contains(*c))
        .collect();
    let word = word.trim_matches(['"', '\'', '\\']).to_owned();
    (!word.is_empty()).then_some(word)
}

/// Splits a line into words and operators.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' | '"' => word.get_or_insert_default().push_str(&until(&mut characters, character)),
            '`' => {
                let inner = until(&mut characters, '`');
                word.get_or_insert_default().extend(["$(", &inner, ")"]);
            }
            '$' if characters.peek() == Some(&'(') => {
                word.get_or_insert_default().push_str(&substitution(&mut characters));
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            '#' if word.is_none() => break,
            ';' | '&' | '|' | '(' | ')' | '<' | '>' => {
                tokens.extend(word.take().map(Token::Word));
                let mut operator = character.to_string();
                operator.extend(characters.next_if_eq(&character));
                tokens.push(Token::Operator(operator));
            }
            character if character.is_whitespace() => tokens.extend(word.take().map(Token::Word)),
            character => word.get_or_insert_default().push(character),
        }
    }
    tokens.extend(word.map(Token::Word));
    tokens
}

fn until(characters: &mut impl Iterator<Item = char>, end: char) -> String {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' if end == '"' => text.extend(characters.next()),
            character if character == end => break,
            character => text.push(character),
        }
    }
    text
}

/// Returns `$(…)` whole, with what is nested in it.
fn substitution(characters: &mut impl Iterator<Item = char>) -> String {
    let mut text = "$".to_owned();
    let mut depth = 0;
    for character in characters {
        text.push(character);
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    text
}

/// Returns the simple commands of a line as lists of words; labels of `case` are left out, redirections stay as words.
pub(crate) fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands: Vec<Vec<String>> = vec![Vec::new()];
    let mut open = 0;
    for token in tokens(text) {
        let current = commands.last_mut().expect("there is always a last command");
        match token {
            Token::Word(word) if current.is_empty() && is_keyword(&word) => {}
            Token::Word(word) => current.push(word),
            Token::Operator(operator) if operator.starts_with(['<', '>']) => current.push(operator),
            // `2>&1`: the `&` belongs to the redirection.
            Token::Operator(operator)
                if operator == "&" && current.last().is_some_and(|word| word.starts_with('>')) => {}
            Token::Operator(operator) => {
                match &*operator {
                    "(" => open += 1,
                    ")" if open == 0 || commands.iter().all(|command| command.len() <= 1) => commands.clear(),
                    ")" => open -= 1,
                    _ => {}
                }
                commands.push(Vec::new());
            }
        }
    }
    commands.retain(|command| !command.is_empty());
    commands
}

fn is_keyword(word: &str) -> bool {
    matches!(
        word,
        "if" | "then" | "else" | "elif" | "fi" | "while" | "until" | "do" | "done" | "!" | "{" | "}" | "esac"
    )
}

/// The variables that a script sets to plain values.
#[derive(Clone, Debug)]
pub(crate) struct Variables(BTreeMap<String, String>);

impl Variables {
    /// Collects the assignments of a script. A variable set to two different values is unknown.
    pub(crate) fn of(lines: &[Line], platform: Platform) -> Self {
        let mut values: BTreeMap<String, Option<String>> =
            BTreeMap::from([("DPKG_ROOT".to_owned(), Some(String::new()))]);
        let mut known = Self(BTreeMap::from([("DPKG_ROOT".to_owned(), String::new())]));
        for line in lines {
            for command in commands(&line.text) {
                let [assignment] = &command[..] else { continue };
                let Some((name, value)) = assignment.split_once('=').filter(|(name, _)| is_name(name)) else {
                    continue;
                };
                let value = known.value(value, platform);
                match values.get(name) {
                    Some(present) if *present != value => drop(values.insert(name.to_owned(), None)),
                    _ => drop(values.insert(name.to_owned(), value)),
                }
            }
            known = Self(values.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect());
        }
        known
    }

    fn value(&self, text: &str, platform: Platform) -> Option<String> {
        match text.strip_prefix("$(").and_then(|text| text.strip_suffix(')')).map(str::trim) {
            Some("dpkg --print-architecture") => Some(platform.debian().to_owned()),
            Some("dpkg-architecture -qDEB_HOST_MULTIARCH") => Some(platform.triplet().to_owned()),
            Some(_) => None,
            None => Some(self.expand(text)).filter(|value| !value.contains('$')),
        }
    }

    /// Replaces the known variables in a word; others stay as written.
    pub(crate) fn expand(&self, word: &str) -> String {
        let mut expanded = String::new();
        let mut rest = word;
        while let Some(start) = rest.find('$') {
            expanded.push_str(&rest[..start]);
            let after = &rest[start + 1..];
            let (name, written, end) =
                if let Some((name, _)) = after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                    (name, name.len() + 3, name.len() + 2)
                } else {
                    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                    (&after[..end], end + 1, end)
                };
            match self.0.get(name) {
                Some(value) => expanded.push_str(value),
                None => expanded.push_str(&rest[start..start + written]),
            }
            rest = &after[end..];
        }
        expanded + rest
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_joined_and_comments_and_documents_left_out() {
        let script = "#!/bin/sh\n# Automatically added by dh_python3\npy a \\\n  b\n# End automatically added section\ncat > x <<-'EOF'\n\trm -rf /\n\tEOF\nend\n";
        let line = |number, text: &str, helper: Option<&str>| Line {
            number,
            text: text.into(),
            helper: helper.map(Into::into),
        };
        let expected = [line(3, "py a b", Some("dh_python3")), line(6, "cat > x <<-'EOF'", None), line(9, "end", None)];
        assert_eq!(lines(script), expected);
    }

    #[test]
    fn commands_are_found_behind_keywords_conditions_and_labels() {
        let cases: [(&str, &[&[&str]]); 8] = [
            ("if [ \"$1\" = x ]; then a b; fi", &[&["[", "$1", "=", "x", "]"], &["a", "b"]]),
            ("configure|abort-upgrade) run it", &[&["run", "it"]]),
            ("case \"$1\" in configure) a;; esac", &[&["a"]]),
            ("(configure)", &[]),
            ("a 2>/dev/null || b # c", &[&["a", "2", ">", "/dev/null"], &["b"]]),
            ("a >&2", &[&["a", ">", "2"]]),
            ("x=$(a (b) c) y", &[&["x=$(a (b) c)", "y"]]),
            ("(cd x; rm y)", &[&["cd", "x"], &["rm", "y"]]),
        ];
        for (text, expected) in cases {
            assert_eq!(commands(text), expected, "{text}");
        }
    }

    #[test]
    fn plain_variables_are_expanded_and_doubtful_ones_are_not() {
        let platform = "linux/arm64".parse().unwrap();
        let lines = lines("A=x\nB=\"$A/y\"\nC=$(date)\nD=1\nD=2\nE=`dpkg --print-architecture`\n");
        let variables = Variables::of(&lines, platform);
        assert_eq!(variables.expand("${B}-$A.$C$D${E}$"), "x/y-x.$C$Darm64$");
    }
}

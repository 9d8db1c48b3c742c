//! Rust source with its comments and the insides of its literals blanked out, so that a rule about code
//! does not stumble over words in prose.

use std::iter::Peekable;
use std::str::Chars;

/// `source` with a space in place of each such character; line breaks stay, so lines keep their numbers.
pub(super) fn code_of(source: &str) -> String {
    let mut scanner = Scanner {
        rest: source.chars().peekable(),
        code: String::with_capacity(source.len()),
    };
    while let Some(character) = scanner.rest.next() {
        match (character, scanner.rest.peek().copied()) {
            ('/', Some('/')) => scanner.line_comment(),
            ('/', Some('*')) => scanner.block_comment(),
            ('"', _) => scanner.literal('"'),
            ('\'', _) if scanner.is_character() => scanner.literal('\''),
            ('r', Some('"' | '#')) if !scanner.in_word() => scanner.raw_string(),
            _ => scanner.code.push(character),
        }
    }
    scanner.code
}

/// Whether `word` stands in `text` with nothing around it that could be part of a word.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let part_of_word = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(word).any(|(start, _)| {
        !text[..start].ends_with(part_of_word)
            && !text[start + word.len()..].starts_with(part_of_word)
    })
}

struct Scanner<'a> {
    rest: Peekable<Chars<'a>>,
    code: String,
}

impl Scanner<'_> {
    fn blank(&mut self, character: char) {
        self.code.push(if character == '\n' { '\n' } else { ' ' });
    }

    fn line_comment(&mut self) {
        self.blank('/');
        while let Some(character) = self.rest.next_if(|next| *next != '\n') {
            self.blank(character);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 1_u32;
        self.blank('/');
        self.rest.next();
        self.blank('*');
        while let Some(character) = self.rest.next() {
            self.blank(character);
            let pair = (character, self.rest.peek());
            if pair == ('*', Some(&'/')) {
                depth -= 1;
            } else if pair == ('/', Some(&'*')) {
                depth += 1;
            } else {
                continue;
            }
            self.rest.next();
            self.blank(' ');
            if depth == 0 {
                break;
            }
        }
    }

    fn literal(&mut self, quote: char) {
        self.code.push(quote);
        while let Some(character) = self.rest.next() {
            if character == quote {
                self.code.push(quote);
                break;
            }
            self.blank(character);
            if character == '\\'
                && let Some(escaped) = self.rest.next()
            {
                self.blank(escaped);
            }
        }
    }

    /// What follows an `r`: `"…"` or `#"…"#` with any number of signs; `r#name` is code.
    fn raw_string(&mut self) {
        self.code.push('r');
        let mut end = String::from("\"");
        while self.rest.next_if_eq(&'#').is_some() {
            self.code.push('#');
            end.push('#');
        }
        if self.rest.next_if_eq(&'"').is_none() {
            return;
        }
        self.code.push('"');
        let mut inside = String::new();
        for character in self.rest.by_ref() {
            inside.push(character);
            if inside.ends_with(&end) {
                break;
            }
        }
        for character in inside.chars() {
            self.blank(character);
        }
    }

    /// After a `'`: is it a character, not the name of a lifetime?
    fn is_character(&self) -> bool {
        let mut ahead = self.rest.clone();
        let first = ahead.next();
        first == Some('\\') || ahead.next() == Some('\'')
    }

    fn in_word(&self) -> bool {
        self.code
            .ends_with(|before: char| before.is_alphanumeric() || before == '_')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(source: &str) -> String {
        code_of(source)
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn comments_and_literals_are_blank_and_code_stays() {
        assert_eq!(
            squeezed("let a = 1; // unsafe\nlet b = 2;"),
            "let a = 1; let b = 2;"
        );
        assert_eq!(squeezed("a /* x /* unsafe */ y */ b"), "a b");
        assert_eq!(
            squeezed(r#"f("unsafe \" x", 'u', b"y", '\'')"#),
            "f(\" \", ' ', b\" \", ' ')"
        );
        assert_eq!(squeezed("r\"unsafe\" r#\"a \" unsafe\"# b"), "r\" r#\" b");
        assert_eq!(
            squeezed("fn f<'a>(x: &'a str) { r#type }"),
            "fn f<'a>(x: &'a str) { r#type }"
        );
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = "a\n/* b\nc */\n\"d\ne\"\nf";
        assert_eq!(code_of(source).lines().count(), source.lines().count());
        assert_eq!(code_of(source).lines().last(), Some("f"));
    }

    #[test]
    fn a_word_is_found_only_as_a_whole() {
        assert!(has_word("an unsafe block", "unsafe"));
        assert!(has_word("unsafe", "unsafe"));
        assert!(!has_word("unsafe_code", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }
}

//! Takes secrets out of what clients of storages say: they print the requests that failed, and in these are passwords of
//! endpoints, tokens and signatures.

/// What ends a word in an error.
const ENDS: [char; 9] = [' ', '\n', '\t', '"', '\'', '<', '>', '(', ')'];

/// Names of what is secret, or of what may be.
const SECRETS: [&str; 8] = [
    "sig",
    "signature",
    "token",
    "password",
    "secret",
    "credential",
    "authorization",
    "key",
];

/// The text without the user and the query of any URL in it, and without the value of what is called a secret.
pub(crate) fn redact(text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    let mut hides_next = false;
    for word in text.split_inclusive(ENDS) {
        let (word, end) = match word.char_indices().next_back() {
            Some((at, last)) if ENDS.contains(&last) => word.split_at(at),
            _ => (word, ""),
        };
        if hides_next && !word.is_empty() {
            redacted.push('…');
            hides_next = false;
        } else {
            push_word(&mut redacted, word);
            // A header: its name, a colon, and its value in quotes or behind a space.
            hides_next |= end.trim() != "," && is_header_of_secret(word);
        }
        redacted.push_str(end);
    }
    redacted
}

fn push_word(redacted: &mut String, word: &str) {
    let Some((scheme, rest)) = word.split_once("://") else {
        return push_pairs(redacted, word);
    };
    redacted.push_str(scheme);
    redacted.push_str("://");
    // A password may hold what nobody escaped.
    let rest = match rest.rfind('@') {
        Some(at) => {
            redacted.push_str("…@");
            &rest[at + 1..]
        }
        None => rest,
    };
    match rest.split_once('?') {
        Some((address, _)) => {
            redacted.push_str(address);
            redacted.push_str("?…");
        }
        None => redacted.push_str(rest),
    }
}

/// `name=value&name=value`, each without the value if the name says that it is secret.
fn push_pairs(redacted: &mut String, word: &str) {
    for (n, pair) in word.split('&').enumerate() {
        if n > 0 {
            redacted.push('&');
        }
        match pair.split_once('=') {
            Some((name, value)) if !value.is_empty() && is_secret(name) => {
                redacted.push_str(name);
                redacted.push_str("=…");
            }
            _ => redacted.push_str(pair),
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRETS.iter().any(|secret| name.ends_with(secret))
}

fn is_header_of_secret(word: &str) -> bool {
    word.strip_suffix(':')
        .is_some_and(|name| is_secret(name) && !name.eq_ignore_ascii_case("key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_left_and_everything_else_is() {
        for (text, expected) in [
            (
                "all is well: a=b, key not found",
                "all is well: a=b, key not found",
            ),
            (
                "at https://me:pa?ss/w@rd@host:1/x failed",
                "at https://…@host:1/x failed",
            ),
            (
                "at https://me:s3cr3t@host:1/x failed",
                "at https://…@host:1/x failed",
            ),
            (
                "uri: https://a.blob/c/v1?sv=1&sig=abc%2B, kind: 5",
                "uri: https://a.blob/c/v1?… kind: 5",
            ),
            ("sv=2&sig=abc&se=3", "sv=2&sig=…&se=3"),
            (
                "x-amz-security-token: abc, more",
                "x-amz-security-token: … more",
            ),
            ("AccountKey=abc== more", "AccountKey=… more"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}

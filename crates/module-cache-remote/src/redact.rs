//! Takes secrets out of what clients of storages say: they print the requests that failed, and in these are passwords of
//! endpoints, tokens and signatures.

/// What ends a word in an error.
const ENDS: [char; 9] = [' ', '\n', '\t', '"', '\'', '<', '>', '(', ')'];

/// What ends a credential beside that. A password in a URL may have these.
const CREDENTIAL_ENDS: [char; 6] = ['[', ']', '{', '}', '`', ','];

/// Names of what is secret, or of what may be.
const SECRETS: [&str; 6] = [
    "signature",
    "token",
    "password",
    "secret",
    "credential",
    "authorization",
];

/// What is behind so much of an error tells nobody anything.
const LONGEST: usize = 4 << 10;

/// The text without the user and the query of any URL in it, and without the value of what is called a secret; cut where it is
/// long, and on one line, as a server may have written it.
pub(crate) fn redact(text: &str) -> String {
    let text = &*hide_credentials(&text[..text.floor_char_boundary(LONGEST)]);
    let mut redacted = String::with_capacity(text.len());
    let (mut hides_next, mut last_is_secret) = (false, false);
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
            // What is behind the scheme of a header, however that is written, or behind `token=`.
            let (name, last) = word.rsplit_once(['=', ':']).unwrap_or(("", word));
            let last_word = last.to_ascii_lowercase();
            hides_next |= last_word == "token" || (last.is_empty() && is_secret(name));
            // A header, a field of JSON or an element of XML: its name, and its value behind a mark.
            let name = word.strip_suffix(':');
            hides_next |= name.is_some_and(|name| {
                if name.is_empty() {
                    last_is_secret
                } else {
                    is_secret(name)
                }
            }) || (end == ">" && !word.starts_with('/') && is_secret(word));
        }
        if !word.is_empty() {
            last_is_secret = is_secret(word);
        }
        redacted.push_str(end);
    }
    redacted.replace(char::is_control, " ")
}

/// The text without what is behind the scheme of a header, in whatever way that is quoted.
fn hide_credentials(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let (mut hidden, mut at) = (String::with_capacity(text.len()), 0);
    let next = |at: usize| {
        let schemes = ["basic ", "bearer "].into_iter();
        schemes
            .filter_map(|scheme| Some(at + lower[at..].find(scheme)? + scheme.len()))
            .min()
    };
    while let Some(secret) = next(at) {
        let is_end = |c: char| ENDS.contains(&c) || CREDENTIAL_ENDS.contains(&c);
        let end = text[secret..].find(is_end).unwrap_or(text.len() - secret);
        hidden.push_str(&text[at..secret]);
        hidden.push('…');
        at = secret + end;
    }
    hidden.push_str(&text[at..]);
    hidden
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
        match pair.split_once(['=', ':']) {
            Some((name, value)) if !value.is_empty() && is_secret(name) => {
                redacted.push_str(name);
                redacted.push_str(&pair[name.len()..=name.len()]);
                redacted.push('…');
            }
            _ => redacted.push_str(pair),
        }
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "sig" || name == "accountkey" || SECRETS.iter().any(|secret| name.contains(secret))
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
            (
                "map[Authorization:[Basic abc] a:b]",
                "map[Authorization:… …] a:b]",
            ),
            (
                "auth=Basic abc, hdr:bearer abc",
                "auth=Basic …, hdr:bearer …",
            ),
            ("token:abc token=<abc> more", "token:… token=<…> more"),
            ("at https://me:a,b[c@host/", "at https://…@host/"),
            ("Authorization: Bearer abc more", "Authorization: … … more"),
            (
                "with Basic abc and token abc\nWARN more",
                "with Basic … and token … WARN more",
            ),
            (
                r#"{"access_token":"abc","a":"b"}"#,
                r#"{"access_token":"…","a":"b"}"#,
            ),
            (
                "<Token-0>abc</Token-0><a>b</a>",
                "<Token-0>…</Token-0><a>b</a>",
            ),
            (
                r#""x-auth-token": "abc", "date": "b""#,
                r#""x-auth-token": "…", "date": "b""#,
            ),
        ] {
            assert_eq!(redact(text), expected);
        }
    }
}

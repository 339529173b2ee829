//! Reads the syntax line of a command into the tree of arguments that `COMMAND DOCS` answers, from
//! which redis-cli makes its hints.

use std::iter::Peekable;

/// What an argument is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    /// A literal word.
    PureToken,
    /// One of its children.
    OneOf,
    /// All of its children.
    Block,
}

impl Kind {
    /// The word of Redis for it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::PureToken => "pure-token",
            Self::OneOf => "oneof",
            Self::Block => "block",
        }
    }
}

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// A literal word before it, or the literal word it is.
    pub(super) token: Option<&'static str>,
    pub(super) optional: bool,
    pub(super) multiple: bool,
    pub(super) children: Vec<Argument>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Repeat,
    Word(&'static str),
}

/// The arguments of a syntax line of the command table.
pub(super) fn arguments(syntax: &'static str) -> Vec<Argument> {
    let tokens = syntax
        .split_whitespace()
        .flat_map(tokens_of_word)
        .collect::<Vec<_>>();
    sequence(&mut tokens.into_iter().peekable())
}

fn tokens_of_word(word: &'static str) -> Vec<Token> {
    let (mut tokens, mut rest, mut closed) = (Vec::new(), word, 0);
    while let Some(inner) = rest.strip_prefix('[') {
        tokens.push(Token::Open);
        rest = inner;
    }
    while let Some(inner) = rest.strip_suffix(']') {
        closed += 1;
        rest = inner;
    }
    tokens.push(if rest == "..." {
        Token::Repeat
    } else {
        Token::Word(rest)
    });
    tokens.extend((0..closed).map(|_| Token::Close));
    tokens
}

fn is_literal(word: &str) -> bool {
    !word.bytes().any(|byte| byte.is_ascii_lowercase())
}

fn sequence(tokens: &mut Peekable<impl Iterator<Item = Token>>) -> Vec<Argument> {
    let mut all: Vec<Argument> = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            Token::Close => break,
            Token::Repeat => {
                if let Some(last) = all.last_mut() {
                    last.multiple = true;
                }
            }
            Token::Open => {
                let inner = sequence(tokens);
                optional(&mut all, inner);
            }
            Token::Word(word) => {
                let value = match tokens.peek() {
                    Some(Token::Word(next)) if is_literal(word) && !is_literal(next) => Some(*next),
                    Some(Token::Word(next)) if is_literal(word) && next.contains('|') => {
                        Some(*next)
                    }
                    Some(_) | None => None,
                };
                match value.filter(|_| !word.contains('|')) {
                    Some(value) => {
                        tokens.next();
                        all.push(Argument {
                            token: Some(word),
                            ..argument(value)
                        });
                    }
                    None => all.push(argument(word)),
                }
            }
        }
    }
    all
}

fn argument(word: &'static str) -> Argument {
    let leaf = |kind, token| Argument {
        name: word,
        kind,
        token,
        optional: false,
        multiple: false,
        children: Vec::new(),
    };
    if word.contains('|') {
        let children = word.split('|').map(argument).collect();
        return Argument {
            children,
            ..leaf(Kind::OneOf, None)
        };
    }
    match word {
        "n" | "e" | "v" | "ms" | "rev" | "protover" | "index" => leaf(Kind::Integer, None),
        word if is_literal(word) => leaf(Kind::PureToken, Some(word)),
        _ => leaf(Kind::Text, None),
    }
}

/// Adds what stood between brackets.
fn optional(all: &mut Vec<Argument>, mut inner: Vec<Argument>) {
    if let ([only], Some(before)) = (inner.as_slice(), all.last_mut())
        && only.multiple
        && only.name == before.name
    {
        before.multiple = true;
        return;
    }
    let Some(first) = inner.first() else { return };
    if inner.len() == 1 {
        all.extend(inner.into_iter().map(|only| Argument {
            optional: true,
            ..only
        }));
        return;
    }
    // `[channel id ...]` repeats as a whole, `[ROLES n role ...]` only its last argument.
    let repeats = first.token.is_none() && inner.last().is_some_and(|last| last.multiple);
    let name = first.token.unwrap_or(first.name);
    if let Some(last) = inner.last_mut().filter(|_| repeats) {
        last.multiple = false;
    }
    all.push(Argument {
        name,
        kind: Kind::Block,
        token: None,
        optional: true,
        multiple: repeats,
        children: inner,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the tree back, as redis-cli shows it.
    fn shown(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let name = match argument.kind {
                Kind::PureToken => String::new(),
                Kind::Text => argument.name.to_owned(),
                Kind::Integer => format!("{}:int", argument.name),
                Kind::OneOf => argument
                    .children
                    .iter()
                    .map(|c| c.name)
                    .collect::<Vec<_>>()
                    .join("|"),
                Kind::Block => shown(&argument.children),
            };
            let name = if argument.multiple {
                format!("{name} [{name} ...]")
            } else {
                name
            };
            let full = [argument.token.unwrap_or_default(), &name]
                .join(" ")
                .trim()
                .to_owned();
            if argument.optional {
                format!("[{full}]")
            } else {
                full
            }
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn syntax_lines_become_trees_and_back() {
        for (syntax, expected) in [
            ("", ""),
            ("user [user ...]", "user [user ...]"),
            (
                "user channel id [ERA e] [COUNT]",
                "user channel id [ERA e:int] [COUNT]",
            ),
            (
                "channel user [user ...] [AT TAIL|id]",
                "channel user [user ...] [AT TAIL|id]",
            ),
            ("c [ROLES n role ...]", "c [ROLES n:int role [role ...]]"),
            (
                "user channel id [channel id ...]",
                "user channel id [channel id [channel id ...]]",
            ),
            (
                "c id [LIST [LIMIT n] [AFTER u]]",
                "c id [LIST [LIMIT n:int] [AFTER u]]",
            ),
            (
                "user channel ALL|NONE [UNTIL ms]",
                "user channel ALL|NONE [UNTIL ms:int]",
            ),
            ("c [RECEIPTS OFF|COUNT]", "c [RECEIPTS OFF|COUNT]"),
            ("user UPTO id [SPACE space]", "user UPTO id [SPACE space]"),
            ("[user ...]", "[user [user ...]]"),
            (
                "[p [AUTH app key] [SETNAME name]]",
                "[p [AUTH app key] [SETNAME name]]",
            ),
            ("GET pattern [pattern ...]", "GET pattern [pattern ...]"),
        ] {
            assert_eq!(shown(&arguments(syntax)), expected);
        }
    }
}

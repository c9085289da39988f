//! Character classes, and the escapes that stand for one character or one class.

use std::fmt::Write;

/// A set of characters, as ranges.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Inclusive, in no particular order; they may overlap.
    ranges: Vec<(u32, u32)>,
}

/// What a backslash and what follows it stand for.
pub(super) enum Escape {
    /// One of several characters.
    Class(Class),
    /// This one.
    Char(char),
}

/// A small table that becomes a [`Class`] when it is needed.
pub(super) struct Ranges(&'static [(u32, u32)]);

impl Class {
    /// What ends a line in JavaScript.
    pub(super) const LINE_END: Ranges = Ranges(&[(0x0a, 0x0a), (0x0d, 0x0d), (0x2028, 0x2029)]);
    const DIGIT: Ranges = Ranges(&[(0x30, 0x39)]);
    const WORD: Ranges = Ranges(&[(0x30, 0x39), (0x41, 0x5a), (0x5f, 0x5f), (0x61, 0x7a)]);
    const SPACE: Ranges = Ranges(&[
        (0x09, 0x0d),
        (0x20, 0x20),
        (0xa0, 0xa0),
        (0x1680, 0x1680),
        (0x2000, 0x200a),
        (0x2028, 0x2029),
        (0x202f, 0x202f),
        (0x205f, 0x205f),
        (0x3000, 0x3000),
        (0xfeff, 0xfeff),
    ]);

    /// The letters, digits and underscore of `\w`.
    pub(super) fn word() -> Self {
        Self::WORD.class()
    }

    fn negated(mut self) -> Self {
        self.ranges.sort_unstable();
        let mut rest = Vec::new();
        let mut from = 0;
        for (low, high) in self.ranges {
            if low > from {
                rest.push((from, low - 1));
            }
            from = from.max(high + 1);
        }
        if from <= u32::from(char::MAX) {
            rest.push((from, char::MAX.into()));
        }
        Self { ranges: rest }
    }

    /// As `fancy-regex` writes it. The surrogates, which no Rust text has, are left out.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    pub(super) fn write(&self, out: &mut String) {
        let whole = [(0, 0xd7ff), (0xe000, char::MAX.into())];
        let parts = self.ranges.iter().flat_map(|&(low, high)| {
            whole
                .into_iter()
                .map(move |(first, last)| (low.max(first), high.min(last)))
        });
        out.push('[');
        let before = out.len();
        for (low, high) in parts.filter(|(low, high)| low <= high) {
            let _ = write!(out, r"\x{{{low:x}}}-\x{{{high:x}}}");
        }
        if out.len() == before {
            // Matches nothing; an empty class would end at the next bracket.
            out.push_str(r"^\x{0}-\x{10ffff}");
        }
        out.push(']');
    }
}

impl Ranges {
    fn class(&self) -> Class {
        Class {
            ranges: self.0.to_vec(),
        }
    }

    /// Everything else.
    pub(super) fn negated(&self) -> Class {
        self.class().negated()
    }
}

/// Reads a class whose `[` was read.
pub(super) fn read(chars: &[char], at: &mut usize) -> Result<Class, String> {
    let negated = chars.get(*at) == Some(&'^');
    *at += usize::from(negated);
    let mut class = Class { ranges: Vec::new() };
    while let Some(first) = member(chars, at)? {
        let dash = chars.get(*at) == Some(&'-') && chars.get(*at + 1).is_some_and(|c| *c != ']');
        if !dash {
            class.add(first);
            continue;
        }
        *at += 1;
        let last = member(chars, at)?.ok_or("it has a `[` without its `]`")?;
        match (first, last) {
            (Escape::Char(first), Escape::Char(last)) if first <= last => {
                class.ranges.push((first.into(), last.into()));
            }
            (Escape::Char(first), Escape::Char(last)) => {
                return Err(format!("the range `{first}-{last}` is the wrong way round"));
            }
            // With a class on either side, the dash is a dash.
            (first, last) => [first, Escape::Char('-'), last]
                .into_iter()
                .for_each(|one| class.add(one)),
        }
    }
    Ok(if negated { class.negated() } else { class })
}

impl Class {
    fn add(&mut self, member: Escape) {
        match member {
            Escape::Char(one) => self.ranges.push((one.into(), one.into())),
            Escape::Class(class) => self.ranges.extend(class.ranges),
        }
    }
}

/// Reads what stands inside a class; `None` at its end.
fn member(chars: &[char], at: &mut usize) -> Result<Option<Escape>, String> {
    let next = *chars.get(*at).ok_or("it has a `[` without its `]`")?;
    *at += 1;
    match next {
        ']' => Ok(None),
        '\\' => match chars.get(*at) {
            Some('b') => {
                *at += 1;
                Ok(Some(Escape::Char('\u{8}')))
            }
            // Only in a class, a digit or an underscore makes a control character, too.
            Some('c')
                if chars
                    .get(*at + 1)
                    .is_some_and(|c| c.is_ascii_digit() || *c == '_') =>
            {
                *at += 2;
                Ok(Some(Escape::Char(char::from(chars[*at - 1] as u8 % 32))))
            }
            _ => escape(chars, at).map(Some),
        },
        literal => Ok(Some(Escape::Char(literal))),
    }
}

/// Reads an escape whose backslash was read.
pub(super) fn escape(chars: &[char], at: &mut usize) -> Result<Escape, String> {
    let next = *chars.get(*at).ok_or("it ends in a backslash")?;
    *at += 1;
    let char = match next {
        'd' => return Ok(Escape::Class(Class::DIGIT.class())),
        'D' => return Ok(Escape::Class(Class::DIGIT.negated())),
        'w' => return Ok(Escape::Class(Class::WORD.class())),
        'W' => return Ok(Escape::Class(Class::WORD.negated())),
        's' => return Ok(Escape::Class(Class::SPACE.class())),
        'S' => return Ok(Escape::Class(Class::SPACE.negated())),
        't' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'c' => match chars.get(*at) {
            Some(letter) if letter.is_ascii_alphabetic() => {
                *at += 1;
                char::from(*letter as u8 % 32)
            }
            // Not a control character: the backslash stands for itself, and the `c` is read again.
            _ => {
                *at -= 1;
                '\\'
            }
        },
        'x' => hex(chars, at, 2).and_then(char::from_u32).unwrap_or('x'),
        'u' => unicode(chars, at)?,
        '0'..='7' => octal(chars, at),
        identity => identity,
    };
    Ok(Escape::Char(char))
}

/// The number `digits` hexadecimal digits stand for, if they are there.
fn hex(chars: &[char], at: &mut usize, digits: usize) -> Option<u32> {
    let digits = chars.get(*at..*at + digits)?;
    let number = digits
        .iter()
        .try_fold(0, |number, c| Some(number * 16 + c.to_digit(16)?))?;
    *at += digits.len();
    Some(number)
}

fn unicode(chars: &[char], at: &mut usize) -> Result<char, String> {
    let Some(unit) = hex(chars, at, 4) else {
        return Ok('u');
    };
    if let Some(char) = char::from_u32(unit) {
        return Ok(char);
    }
    // The two halves of a pair are one character here.
    if unit < 0xdc00 && chars.get(*at..*at + 2) == Some(&['\\', 'u']) {
        let mut after = *at + 2;
        if let Some(low @ 0xdc00..=0xdfff) = hex(chars, &mut after, 4) {
            *at = after;
            let pair = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            return char::from_u32(pair).ok_or_else(|| "it has an impossible surrogate pair".into());
        }
    }
    Err(format!(r"`\u{unit:04x}` is half a character"))
}

/// Up to three octal digits, as long as they make a byte; the first was read.
fn octal(chars: &[char], at: &mut usize) -> char {
    let mut number = chars[*at - 1].to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        match chars.get(*at).and_then(|c| c.to_digit(8)) {
            Some(digit) if number * 8 + digit <= 0xff => number = number * 8 + digit,
            _ => break,
        }
        *at += 1;
    }
    // The code points up to 255 are those bytes.
    char::from(u8::try_from(number).unwrap_or_default())
}

//! Quotes, substitutions and arithmetic.

use super::{AGAIN_LIMIT, Reader, Simple, Unreadable};

impl Reader {
    /// Reads `(expression))` as arithmetic, or nothing if the parentheses do not close together: then it
    /// is a subshell in a subshell, as `bash` has it.
    pub(super) fn arithmetic(&mut self, found: &mut Vec<Simple>) -> Result<bool, Unreadable> {
        let (at, count) = (self.at, found.len());
        self.at += 1;
        let mut open = 1;
        while open > 0 {
            match self.next() {
                Some('(') => open += 1,
                Some(')') => open -= 1,
                Some('$') => drop(self.dollar(true, found)?),
                Some('`') => self.backtick(found)?,
                Some(_) => {}
                None => return Err("a parenthesis without its other half"),
            }
        }
        if self.next() == Some(')') {
            return Ok(true);
        }
        self.again += 1;
        if self.again > AGAIN_LIMIT {
            return Err("too many parentheses that could be arithmetic");
        }
        self.at = at;
        found.truncate(count);
        Ok(false)
    }

    /// What follows a `$`; returns it as it was written.
    pub(super) fn dollar(&mut self, quotes: bool, found: &mut Vec<Simple>) -> Result<String, Unreadable> {
        let before = self.at - 1;
        self.deeper()?;
        match self.peek() {
            Some('(') => {
                self.at += 1;
                let arithmetic = self.peek() == Some('(') && self.arithmetic(found)?;
                if !arithmetic {
                    self.nested(found)?;
                }
            }
            Some('{') => {
                self.at += 1;
                self.braces(found)?;
            }
            Some('\'') if quotes => {
                self.at += 1;
                self.depth -= 1;
                return self.ansi_quoted();
            }
            _ => {}
        }
        self.depth -= 1;
        Ok(self.chars[before..self.at].iter().collect())
    }

    fn braces(&mut self, found: &mut Vec<Simple>) -> Result<(), Unreadable> {
        loop {
            match self.next().ok_or("a `${` without its `}`")? {
                '}' => return Ok(()),
                '\\' => drop(self.next()),
                '\'' => drop(self.until('\'')?),
                '"' => drop(self.double_quoted(found)?),
                '$' => drop(self.dollar(true, found)?),
                '`' => self.backtick(found)?,
                _ => {}
            }
        }
    }

    pub(super) fn until(&mut self, end: char) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            match self.next().ok_or("a quote without its other half")? {
                c if c == end => return Ok(text),
                c => text.push(c),
            }
        }
    }

    fn ansi_quoted(&mut self) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            match self.next().ok_or("a quote without its other half")? {
                '\'' => return Ok(text),
                // What it stands for could be anything, the name of the command included.
                '\\' => return Err("a `$'..'` with escapes in it"),
                c => text.push(c),
            }
        }
    }

    pub(super) fn double_quoted(&mut self, found: &mut Vec<Simple>) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            let before = self.at;
            match self.next().ok_or("a quote without its other half")? {
                '"' => return Ok(text),
                '\\' => match self.next().ok_or("a quote without its other half")? {
                    '\n' => {}
                    c @ ('"' | '$' | '`' | '\\') => text.push(c),
                    c => text.extend(['\\', c]),
                },
                '$' => text.push_str(&self.dollar(false, found)?),
                '`' => {
                    self.backtick(found)?;
                    text.extend(&self.chars[before..self.at]);
                }
                c => text.push(c),
            }
        }
    }

    pub(super) fn backtick(&mut self, found: &mut Vec<Simple>) -> Result<(), Unreadable> {
        let mut inside = String::new();
        loop {
            match self.next().ok_or("a backtick without its other half")? {
                '`' => break,
                '\\' => match self.next().ok_or("a backtick without its other half")? {
                    c @ ('`' | '$' | '\\') => inside.push(c),
                    c => inside.extend(['\\', c]),
                },
                c => inside.push(c),
            }
        }
        let mut inside = Self::inside(&inside, self.depth + 1, self.again)?;
        inside.all(found)?;
        self.again = inside.again;
        Ok(())
    }
}

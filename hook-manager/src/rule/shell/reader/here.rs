//! Redirections and here-documents.

use super::{Current, Reader, Simple, Unreadable};

impl Reader {
    /// What follows the first character of a redirection.
    pub(super) fn redirection(
        &mut self,
        current: &mut Current,
        found: &mut Vec<Simple>,
    ) -> Result<(), Unreadable> {
        let reads = self.chars[self.at - 1] == '<';
        // The number of a file descriptor belongs to it.
        let number =
            |word: &(usize, String)| !word.1.is_empty() && word.1.chars().all(|c| c.is_ascii_digit());
        if current.word.as_ref().is_some_and(number) {
            current.word = None;
        }
        current.end_word();
        match self.peek() {
            Some('(') => {
                self.at += 1;
                return self.nested(found);
            }
            Some('<') if reads => {
                self.at += 1;
                match self.peek() {
                    Some('<') => self.at += 1,
                    _ => return self.here_delimiter(),
                }
            }
            Some('>' | '|' | '&') => self.at += 1,
            _ => {}
        }
        current.redirects = true;
        Ok(())
    }

    fn here_delimiter(&mut self) -> Result<(), Unreadable> {
        let tabs = self.peek() == Some('-');
        self.at += usize::from(tabs);
        while matches!(self.peek(), Some(' ' | '\t')) {
            self.at += 1;
        }
        let (mut text, mut quoted) = (String::new(), false);
        while let Some(c) = self.peek() {
            if c.is_whitespace() || matches!(c, ';' | '&' | '|' | '<' | '>' | '(' | ')') {
                break;
            }
            self.at += 1;
            match c {
                '\'' | '"' => {
                    quoted = true;
                    text.push_str(&self.until(c)?);
                }
                '\\' => {
                    quoted = true;
                    text.extend(self.next());
                }
                c => text.push(c),
            }
        }
        if text.is_empty() {
            return Err("a here-document without a delimiter");
        }
        self.here.push((text, quoted, tabs));
        Ok(())
    }

    pub(super) fn here_documents(&mut self, found: &mut Vec<Simple>) -> Result<(), Unreadable> {
        for (delimiter, quoted, tabs) in std::mem::take(&mut self.here) {
            let mut body = String::new();
            loop {
                if self.at >= self.chars.len() {
                    return Err("a here-document without an end");
                }
                let rest = &self.chars[self.at..];
                let line: String = rest.iter().take_while(|c| **c != '\n').collect();
                self.at = self.chars.len().min(self.at + line.chars().count() + 1);
                let compared = if tabs {
                    line.trim_start_matches('\t')
                } else {
                    &line
                };
                if compared == delimiter {
                    break;
                }
                body.push_str(&line);
                body.push('\n');
            }
            // The shell expands substitutions in it, unless its delimiter is quoted.
            if !quoted {
                let mut inside = Self::inside(&body, self.depth + 1, self.again)?;
                while let Some(c) = inside.next() {
                    match c {
                        '\\' => drop(inside.next()),
                        '$' => drop(inside.dollar(false, found)?),
                        '`' => inside.backtick(found)?,
                        _ => {}
                    }
                }
                self.again = inside.again;
            }
        }
        Ok(())
    }
}
